"""The comparison as an SVG: bars of tokens per second, one panel per shape and workload."""

import html

WIDTH, LABEL, BAR, GAP = 760, 190, 16, 6
OURS, THEIRS, INK, FAINT = "#c2410c", "#94a3b8", "#0f172a", "#64748b"


def _panel(rows, workload, top):
    ranked = sorted(rows, key=lambda row: -row["work"][workload]["tokens_per_s"])
    longest = ranked[0]["work"][workload]["tokens_per_s"]
    parts = [
        f'<text x="0" y="{top + 14}" font-weight="600">{html.escape(ranked[0]["shape"])}, '
        f"{html.escape(workload)}</text>"
    ]
    y = top + 24
    for row in ranked:
        figures = row["work"][workload]
        width = (WIDTH - LABEL - 190) * figures["tokens_per_s"] / longest
        colour = OURS if row["peer"].startswith("slant") else THEIRS
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">'
            f"{html.escape(row['peer'])}</text>"
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 12}" fill="{FAINT}">'
            f"{figures['tokens_per_s']:,.0f} tokens/s, {row['peak_rss_mb'] / 1024:.2f} GB</text>"
        )
        y += BAR + GAP
    return "\n".join(parts), y + 14


def draw(result):
    panels, top = [], 40
    for shape in dict.fromkeys(row["shape"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["shape"] == shape]
        for workload in rows[0]["work"]:
            panel, top = _panel(rows, workload, top)
            panels.append(panel)
    title = f"{result['processor']}, {result['threads']} threads"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 {WIDTH + 20} {top}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">\n'
        f'<rect x="-10" width="{WIDTH + 20}" height="{top}" fill="#ffffff"/>\n'
        f'<text x="0" y="20" font-size="14" font-weight="700">'
        "Classifying articles: tokens per second</text>\n"
        f'<text x="{WIDTH}" y="20" text-anchor="end" fill="{FAINT}">{html.escape(title)}</text>\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )
