"""A comparison's results in words: tables for a terminal, tables for the README.

python bench/report.py build/bench/results.json [--markdown]
"""

import argparse
import json
import pathlib

HELD_NOTE = """\
Held to {isa}: slant by SLANT_ISA, PyTorch by ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and
MKL_ENABLE_INSTRUCTIONS, OpenVINO by ONEDNN_MAX_CPU_ISA, which its own copy of oneDNN honours, and by
fp32 for what is not quantised; its attention asks the processor itself. Who cannot be held is left
out."""

SHAPE_NAMES = {"llama-3.2-1b": "Llama-3.2-1B", "smollm2-8": "embedded model"}


def work_name(workload):
    if workload.startswith("article-"):
        return f"one article of {int(workload.removeprefix('article-')):,} tokens"
    return {"short-64": "64 short texts", "corpus": "corpus"}[workload]


def shapes_of(result):
    return list(dict.fromkeys(row["shape"] for row in result["rows"]))


def rows_of(result, shape, workload=None):
    """Those that did the workload, the fastest first."""
    rows = [row for row in result["rows"] if row["shape"] == shape]
    if workload is None:
        return rows
    rows = [row for row in rows if workload in row["work"]]
    return sorted(rows, key=lambda row: -row["work"][workload]["tokens_per_s"])


def workloads_of(result, shape):
    return list(dict.fromkeys(w for row in rows_of(result, shape) for w in row["work"]))


def is_slant(row):
    return row["peer"].startswith("slant")


def family_rates(result, shape, workload):
    """family -> (row, figures) of its fastest."""
    best = {}
    for row in rows_of(result, shape, workload):
        best.setdefault(row["family"], (row, row["work"][workload]))
    return best


def _table(result, shape, workload):
    ranked = rows_of(result, shape, workload)
    others = [row for row in ranked if not is_slant(row)] or ranked
    base = others[0]["work"][workload]["tokens_per_s"]
    lines = [
        f"\n{shape}, {workload}: {ranked[0]['work'][workload]['articles']} articles, "
        f"{ranked[0]['work'][workload]['tokens']:,} tokens",
        f"{'':22} tokens/s     (best)  articles/s  ratio  share of peak   memory  batch     load",
    ]
    for row in ranked:
        f = row["work"][workload]
        lines.append(
            f"{row['peer']:22} {f['tokens_per_s']:8.0f} {f['best_tokens_per_s']:10.0f}"
            f" {f['articles_per_s']:11.4g} {f['tokens_per_s'] / base:6.2f}"
            f" {100 * f['share_of_peak']:7.1f} % {row['arithmetic']:5} {f['peak_rss_mb']:6.0f} MB"
            f" {f['batch'] or '':6} {row['load_s']:6.2f} s"
        )
    return lines


def _ratios(result, shape):
    """slant's tokens per second over those of each family's fastest."""
    lines = [f"\n{shape}: how many times as fast as each one's fastest setting"]
    for workload in workloads_of(result, shape):
        best = family_rates(result, shape, workload)
        for ours in [family for family in best if family.startswith("slant")]:
            rate = best[ours][1]["tokens_per_s"]
            over = [
                f"{family} {rate / figures['tokens_per_s']:.2f}"
                for family, (_, figures) in best.items()
                if not family.startswith("slant")
            ]
            if over:
                lines.append(f"  {workload:13} {ours:11} {', '.join(over)}")
    return lines if len(lines) > 1 else []


def _growth(result):
    lines = []
    for row in result["rows"]:
        if "article-8192" in row["work"] and "article-512" in row["work"]:
            short, long_ = row["work"]["article-512"], row["work"]["article-8192"]
            lines.append(
                f"{row['shape']}, {row['peer']}: a token of 8,192 costs "
                f"{short['tokens_per_s'] / long_['tokens_per_s']:.2f} × one of 512"
            )
    return ["", *lines] if lines else []


def _processes(result):
    ours, theirs = result["processes"].get("slant"), result["processes"].get("python")
    if not ours:
        return []
    lines = ["\none article of 800 words, embedded model, process from start to exit"]
    lines.append(f"  slant classify           {ours['median_s']:8.3f} s")
    if theirs:
        lines.append(
            f"  transformers + PEFT      {theirs['median_s']:8.3f} s, "
            f"{theirs['median_s'] / ours['median_s']:.0f} × as long"
        )
    return lines


# --- training ----------------------------------------------------------------------------------


def training_of(result):
    """(workload, what it is) of each, its rows the fastest first."""
    for name, found in result.get("training", {}).items():
        rows = sorted(found["rows"], key=lambda row: -row["tokens_per_s"])
        if rows:
            yield name, {**found, "rows": rows}


def training_name(found):
    layers = {"qv": "q_proj and v_proj", "all": "all linear layers"}[found["modules"]]
    return (
        f"{SHAPE_NAMES[found['shape']]}, {found['articles']} × {found['article_tokens']} tokens a "
        f"step, LoRA on {layers}"
    )


def _training_ratios(rows):
    """slant's settings over each family's fastest."""
    best = {}
    for row in rows:
        best.setdefault(row["family"], row)
    lines = []
    for ours in filter(is_slant, rows):
        over = [
            f"{family} {ours['tokens_per_s'] / row['tokens_per_s']:.2f} ({row['peer']})"
            for family, row in best.items()
            if not is_slant(row)
        ]
        if over:
            lines.append(f"  {ours['peer']:28} {', '.join(over)}")
    return ["how many times as fast as each one's fastest setting", *lines] if lines else []


def _training(result):
    lines = []
    for name, found in training_of(result):
        lines.append(f"\n{name}: {training_name(found)}")
        lines.append(f"{'':30} tokens/s   (best)    memory  share of the threads")
        for row in found["rows"]:
            lines.append(
                f"{row['peer']:30} {row['tokens_per_s']:8.1f} {row['best_tokens_per_s']:8.1f}"
                f" {row['peak_rss_mb']:6.0f} MB {100 * row['share_of_threads']:10.0f} %"
            )
        lines += _training_ratios(found["rows"])
        lines += dict.fromkeys(f"  {row['peer']}: {row['version']}" for row in found["rows"])
    return lines


def _training_markdown(found):
    """tokens/s and memory of everybody, and each of slant's settings over it."""
    ours = [row for row in found["rows"] if is_slant(row)]
    titles = [f"{row['peer']} ÷ it" for row in ours]
    lines = [
        f"| {' | '.join([training_name(found), 'tokens/s', *titles, 'memory, GB'])} |",
        "|---|" + "---:|" * (2 + len(titles)),
    ]
    for row in found["rows"]:
        over = [
            "–" if is_slant(row) else f"{our['tokens_per_s'] / row['tokens_per_s']:.2f}"
            for our in ours
        ]
        memory = row["peak_rss_mb"] / 1024
        cells = [row["peer"], f"{row['tokens_per_s']:,.0f}", *over, f"{memory:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def text(result):
    peaks = ", ".join(
        f"{kind} {result['peak_gops'][kind]:,.0f}" for kind in ("fp32", "bf16", "int16", "int8")
    )
    lines = [
        f"{result['processor']}, {result['threads']} threads; peak GOP/s: {peaks}; "
        f"load {result['load_before']:.1f} before, {result['load_after']:.1f} after"
    ]
    for shape in shapes_of(result):
        for workload in workloads_of(result, shape):
            lines += _table(result, shape, workload)
    for shape in shapes_of(result):
        lines += _ratios(result, shape)
    lines += _growth(result) + _processes(result) + _training(result)
    lines += ["", *dict.fromkeys(f"{row['peer']}: {row['version']}" for row in result["rows"])]
    if result["isa"] != "best":
        lines += ["", HELD_NOTE.format(isa=result["isa"])]
    lines.append(
        f"\nratio: to the fastest peer; medians of {result['rounds']} × {result['repeats']}; share: "
        "the operations of the linear layers over all the time; share of the threads: processor time "
        "over time × threads, less where others disturb"
    )
    return "\n".join(lines)


# --- README ------------------------------------------------------------------------------------

COLUMNS = [
    ("slant", "slant"),
    ("slant bf16", "slant, bf16"),
    ("OpenVINO", "OpenVINO"),
    ("transformers", "transformers"),
    ("bitsandbytes NF4", "+ bitsandbytes"),
    ("llama.cpp", "llama.cpp"),
    ("ONNX Runtime", "ONNX Runtime"),
]
SHOWN = ["article-512", "article-1024", "article-8192", "short-64", "corpus"]


def _cell(best, family, value):
    return value(best[family][1]) if family in best else "–"


def _markdown_row(title, best, columns, value):
    cells = " | ".join(_cell(best, family, value) for family, _ in columns)
    return f"| {title} | {cells} |"


def _inference_markdown(result):
    families = {row["family"] for row in result["rows"]}
    columns = [column for column in COLUMNS if column[0] in families]
    lines = [
        "| tokens per second | " + " | ".join(title for _, title in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for shape in shapes_of(result):
        name = SHAPE_NAMES[shape]
        for workload in [w for w in SHOWN if w in workloads_of(result, shape)]:
            best = family_rates(result, shape, workload)
            title = f"{name}, {work_name(workload)}"
            lines.append(_markdown_row(title, best, columns, lambda f: f"{f['tokens_per_s']:,.0f}"))
        for workload in [w for w in ("article-1024",) if w in workloads_of(result, shape)]:
            best = family_rates(result, shape, workload)
            title = f"{name}, memory, GB"
            lines.append(
                _markdown_row(title, best, columns, lambda f: f"{f['peak_rss_mb'] / 1024:.2f}")
            )
    return lines


def markdown(result):
    tables = [_inference_markdown(result)] if result["rows"] else []
    tables += [_training_markdown(found) for _, found in training_of(result)]
    return "\n\n".join("\n".join(lines) for lines in tables)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--markdown", action="store_true", help="the README's tables")
    args = parser.parse_args()
    result = json.loads(args.results.read_text())
    print(markdown(result) if args.markdown else text(result))


if __name__ == "__main__":
    main()
