#!/usr/bin/env python3
"""Draws what slant really prints on a terminal as an SVG, for the README.

    tools/make_picture.py docs/img/classify.svg -- build/release/slant classify examples/budget-vote.txt

Runs the command with a terminal for its output, reads the characters and their colours, and writes
them as text, so that the picture stays sharp and small. Python's own library is all it needs.
"""

import html
import os
import pty
import re
import subprocess
import sys

CHAR_WIDTH, LINE_HEIGHT, FONT_SIZE, MARGIN = 8.4, 19, 14, 18
BACKGROUND, FOREGROUND = "#14181f", "#d7dbe2"
COLORS = {31: "#f0716b", 32: "#7cc77f", 33: "#e2b65a", 34: "#6aa5f2", 35: "#b893e8", 36: "#5fc3c3"}
BLOCKS = "█▏▎▍▌▋▊▉"


def record(command):
    primary, secondary = pty.openpty()
    env = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8")
    env.pop("NO_COLOR", None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=secondary, env=env)
    os.close(secondary)
    shown = b""
    while True:
        try:
            piece = os.read(primary, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    if child.wait() != 0:
        sys.exit(f"the command failed: {child.returncode}")
    return shown.decode().replace("\r\n", "\n").rstrip("\n")


def spans(line, style):
    """Pieces of a line with the style that each has; style carries over from line to line."""
    for piece in re.split(r"(\x1b\[[\d;]*m)", line):
        if piece.startswith("\x1b"):
            for code in (int(c or 0) for c in piece[2:-1].split(";")):
                if code == 0:
                    style.clear()
                elif code == 1:
                    style["bold"] = True
                elif code == 2:
                    style["dim"] = True
                elif code == 39:
                    style.pop("color", None)
                elif code in COLORS:
                    style["color"] = COLORS[code]
        elif piece:
            yield piece, dict(style)


def draw_bar(x, y, piece, color):
    """Blocks as one rectangle: fonts leave gaps between them."""
    cells = sum(1 if c == "█" else BLOCKS.index(c) / 8 for c in piece)
    return f'<rect x="{x:.1f}" y="{y - 12}" width="{cells * CHAR_WIDTH:.1f}" height="13" rx="1.5" fill="{color}"/>'


def draw_text(x, y, piece, style):
    weight = ' font-weight="bold"' if style.get("bold") else ""
    opacity = ' opacity="0.62"' if style.get("dim") else ""
    color = style.get("color", FOREGROUND)
    return f'<text x="{x:.1f}" y="{y}" fill="{color}"{weight}{opacity} xml:space="preserve">{html.escape(piece)}</text>'


def draw(lines):
    style, parts, widest = {}, [], 0
    for row, line in enumerate(lines):
        column, y = 0, MARGIN + 34 + row * LINE_HEIGHT
        for piece, look in spans(line, style):
            for part in re.findall(
                rf"[{BLOCKS}]+| +|[^{BLOCKS} ](?:[^{BLOCKS}]*[^{BLOCKS} ])?", piece
            ):
                x = MARGIN + column * CHAR_WIDTH
                if part[0] in BLOCKS:
                    parts.append(draw_bar(x, y, part, look.get("color", FOREGROUND)))
                elif part.strip():
                    parts.append(draw_text(x, y, part, look))
                column += len(part)
        widest = max(widest, column)
    width = 2 * MARGIN + widest * CHAR_WIDTH
    height = 2 * MARGIN + 24 + len(lines) * LINE_HEIGHT
    dots = "".join(
        f'<circle cx="{MARGIN + 4 + 18 * i}" cy="{MARGIN}" r="5" fill="{c}"/>'
        for i, c in enumerate(("#f0716b", "#e2b65a", "#7cc77f"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{FONT_SIZE}">\n'
        f'<rect width="100%" height="100%" rx="9" fill="{BACKGROUND}"/>\n{dots}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def main():
    target, command = sys.argv[1], sys.argv[sys.argv.index("--") + 1 :]
    prompt = "\x1b[32m$\x1b[0m slant " + " ".join(command[1:])
    svg = draw([prompt, "", *record(command).split("\n")])
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    with open(target, "w", encoding="utf-8") as f:
        f.write(svg)


if __name__ == "__main__":
    main()
