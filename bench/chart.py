"""A comparison's results as an SVG that is legible on light and on dark pages.

    python bench/chart.py build/bench/results.json docs/img/speed.svg

One panel for each shape: tokens per second of one article of 512 tokens, each family by its fastest
setting, slant's int8 beside its bf16.
"""

import argparse
import html
import json
import pathlib

import report

WORKLOADS = ("article-512", "article-1024", "short-64", "corpus", "article-8192")  # first found
WIDTH, LABEL, VALUE, BAR, GAP = 760, 210, 170, 18, 8

STYLE = """\
text { fill: #1f2328; font: 13px system-ui, -apple-system, "Segoe UI", sans-serif }
.title { font-size: 16px; font-weight: 600 }
.shape { font-weight: 600 }
.faint { fill: #59636e }
.ours { fill: #c2410c }
.theirs { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .faint { fill: #9198a1 }
  .ours { fill: #f0883e }
  .theirs { fill: #656c76 }
}"""


def _text(x, y, words, css="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _bar(row, figures, longest, y):
    ours = report.is_slant(row)
    width = max(2.0, (WIDTH - LABEL - VALUE) * figures["tokens_per_s"] / longest)
    value = f"{figures['tokens_per_s']:,.0f}, {figures['peak_rss_mb'] / 1024:.2f} GB"
    return [
        _text(LABEL - 10, y + 14, row["peer"], anchor="end"),
        f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3" '
        f'class="{"ours" if ours else "theirs"}"/>',
        _text(LABEL + width + 8, y + 14, value, css="faint"),
    ]


def _panel(result, shape, top):
    found = report.workloads_of(result, shape)
    workload = next(name for name in WORKLOADS if name in found)
    best = list(report.family_rates(result, shape, workload).values())
    longest = best[0][1]["tokens_per_s"]
    title = f"{report.SHAPE_NAMES[shape]}, {report.work_name(workload)}"
    parts, y = [_text(0, top + 13, title, css="shape")], top + 24
    for row, figures in best:
        parts += _bar(row, figures, longest, y)
        y += BAR + GAP
    return parts, y + 16


def draw(result):
    parts, top = [], 46
    for shape in report.shapes_of(result):
        panel, top = _panel(result, shape, top)
        parts += panel
    where = f"{result['processor']}, {result['threads']} threads"
    if result["isa"] != "best":
        where += f", held to {result['isa']}"
    title = "Tokens per second, and peak memory"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 0 {WIDTH + 16} {top}" '
            f'width="{WIDTH + 16}" height="{top}" role="img" aria-label="{title}">',
            f"<style>\n{STYLE}\n</style>",
            _text(0, 20, title, css="title"),
            _text(WIDTH, 20, where, css="faint", anchor="end"),
            *parts,
            "</svg>\n",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("svg", type=pathlib.Path)
    args = parser.parse_args()
    args.svg.write_text(draw(json.loads(args.results.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
