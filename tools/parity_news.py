#!/usr/bin/env python3
"""How near slant's computes come to transformers + PEFT in fp32, on real articles.

    python tools/parity_news.py ARTICLES.jsonl.zst SPLIT.tsv [--articles 500] [--slant PROGRAM]
                                [--adapter models/news-bias] [--reference FILE.json]

The first articles of SPLIT (a table with a column ID) are answered by the default model once per
compute and by the reference (smollm2_reference.py). Prints per compute the mean and worst error
(an article's error is its largest difference over the labels), how many labels agree, how many
differ where the reference's margin exceeds 0.03, and accuracy. --reference keeps the reference's
answers for the next run: they take minutes. Exit status 1 where a compute is out of tolerance.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import smollm2_reference as reference
from make_default_goldens import read_articles

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCES = {
    "fp32": (1e-4, 1e-4),
    "bf16": (0.01, 0.03),
    "int8": (0.01, 0.03),
    "auto": (0.01, 0.03),
}


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("articles_file")
    parser.add_argument("split")
    parser.add_argument("--articles", type=int, default=500)
    parser.add_argument("--computes", nargs="+", choices=TOLERANCES, default=list(TOLERANCES))
    parser.add_argument("--adapter", default=ROOT / "models" / "news-bias")
    parser.add_argument("--slant", default=ROOT / "build" / "release" / "slant")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--reference", type=pathlib.Path)
    return parser.parse_args()


def reference_answers(args, articles):
    if args.reference and args.reference.exists():
        known = json.loads(args.reference.read_text())
        if [row["id"] for row in known] == [a["id"] for a in articles]:
            return known
    model, tokenizer = reference.load(args.adapter)
    rows = []
    for i, article in enumerate(articles):
        ids = tokenizer.encode(article["text"]).ids
        _, scores = reference.answer(model, reference.head_tail(ids))
        rows.append({"id": article["id"], "tokens": len(ids), "scores": scores})
        print(f"\rreference: {i + 1} of {len(articles)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if args.reference:
        args.reference.write_text(json.dumps(rows))
    return rows


def slant_answers(args, compute, articles):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for article in articles:
            file.write(json.dumps({"id": article["id"], "text": article["text"]}) + "\n")
        file.flush()
        command = [
            args.slant,
            "classify",
            "--format",
            "jsonl",
            "--raw",
            "--compute",
            compute,
            file.name,
        ]
        if args.threads:
            command += ["--threads", str(args.threads)]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [row["id"] for row in rows] == [a["id"] for a in articles]
    return rows


def largest(scores):
    return max(range(len(scores)), key=scores.__getitem__)


def compare(compute, wanted, got, articles):
    """Prints one line; True within tolerance."""
    errors, agree, wrong, right, tokens = [], 0, 0, 0, 0
    for reference_row, row, article in zip(wanted, got, articles):
        scores = [row["scores"][label] for label in reference.LABELS]
        errors.append(max(abs(a - b) for a, b in zip(reference_row["scores"], scores)))
        ranked = sorted(reference_row["scores"])
        same = largest(scores) == largest(reference_row["scores"])
        agree += same
        wrong += not same and ranked[-1] - ranked[-2] > 0.03
        right += largest(scores) == int(article["label"])
        tokens += row["tokens"] != reference_row["tokens"]
    mean, worst = sum(errors) / len(errors), max(errors)
    ordered = sorted(errors)
    print(
        f"{compute:5} mean {mean:.2e}  p99 {ordered[len(ordered) * 99 // 100]:.2e}  "
        f"worst {worst:.2e}  same label {agree}/{len(errors)}  differing where sure {wrong}  "
        f"other token counts {tokens}  accuracy {right / len(errors):.4f}"
    )
    limits = TOLERANCES[compute]
    return mean <= limits[0] and worst <= limits[1] and wrong == 0 and tokens == 0


def main():
    args = parse()
    ids = [
        line.split("\t")[0] for line in open(args.split).read().splitlines()[1 : args.articles + 1]
    ]
    articles = read_articles(args.articles_file, ids)
    wanted = reference_answers(args, articles)
    right = sum(largest(w["scores"]) == int(a["label"]) for w, a in zip(wanted, articles))
    print(f"{len(articles)} articles; reference accuracy {right / len(articles):.4f}")
    fine = [compare(c, wanted, slant_answers(args, c, articles), articles) for c in args.computes]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
