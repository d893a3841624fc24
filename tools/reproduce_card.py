#!/usr/bin/env python3
"""The reference model card's run on this machine, at a fraction of its size.

    tools/reproduce_card.py build/release/slant DATA [FRACTION] [FOLDER]

Splits labelled articles 64/16/20, trains the default's base with the card's recipe and prints the
F1 on the three parts beside the card's. DATA is a file that slant reads, or a folder with
articles.jsonl, .jsonl.gz or .jsonl.zst in it. Interrupted, the same command goes on from the last
checkpoint. What is made stays in FOLDER (build/card-FRACTION).
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = ROOT / "models" / "news-bias" / "base.slant"
RECIPE = ROOT / "recipes" / "news-bias-llama-3.2-1b.json"
PARTS = ("train", "eval", "test")
CARD = {"train": 0.9666, "eval": 0.9666, "test": 0.9630}
SEED = 42


def find_articles(data):
    data = pathlib.Path(data)
    if not data.is_dir():
        return data
    for ending in ("", ".gz", ".zst"):
        if (data / f"articles.jsonl{ending}").exists():
            return data / f"articles.jsonl{ending}"
    sys.exit(f"{data}: expected articles.jsonl, articles.jsonl.gz or articles.jsonl.zst in it")


def slant(program, *arguments):
    """Runs the program to its end; what it says goes where this script's own words go."""
    status = subprocess.run([program, *map(str, arguments)]).returncode
    if status < 0:
        sys.exit(f"stopped; the same command goes on from there (slant {arguments[0]})")
    if status > 0:
        sys.exit(status)


def train(program, folder):
    slant(program, "train", "--recipe", RECIPE, "--model", BASE,
          "--train", folder / "train.jsonl", "--eval", folder / "eval.jsonl",
          "--output-dir", folder / "adapter", "--save-steps", 25, "--save-total-limit", 2,
          "--resume-from-checkpoint", "last")


def evaluate(program, folder):
    figures = folder / "figures.json"
    slant(program, "evaluate", "--model", BASE, "--adapter", folder / "adapter",
          "--format", "json", "-o", figures, *(folder / f"{part}.jsonl" for part in PARTS))
    return dict(zip(PARTS, json.loads(figures.read_text())["files"]))


def row(name, cells):
    print(f"{name:<28}" + "".join(f"{cell:>10}" for cell in cells))


def report(figures, fraction):
    print()
    row("", PARTS)
    row("articles", [f"{figures[part]['articles']:,}" for part in PARTS])
    row("F1 here (macro)", [f"{figures[part]['eval_f1']:.4f}" for part in PARTS])
    row("F1 of the card", [f"{CARD[part]:.4f}" for part in PARTS])
    row("accuracy here", [f"{figures[part]['accuracy']:.4f}" for part in PARTS])
    print(
        f"\nHere: {fraction:g} of the articles, and the default's base, which has a twentieth of the "
        "card's weights;\nevery setting that the card names, and what it leaves open as the recipe "
        "assumes it. A random\nsplit shares outlets between its parts: neither line says anything "
        "of outlets that the model\nnever saw. slant is a supplementary tool, not an arbiter."
    )


def main():
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    program = str(pathlib.Path(sys.argv[1]).resolve())
    fraction = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    folder = pathlib.Path(sys.argv[4] if len(sys.argv) > 4 else ROOT / f"build/card-{fraction:g}")
    slant(program, "data", "split", find_articles(sys.argv[2]), "--ratios", "64,16,20",
          "--fraction", fraction, "--seed", SEED, "-o", folder, "--format", "table")
    train(program, folder)
    report(evaluate(program, folder), fraction)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from there")
