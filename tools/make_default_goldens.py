#!/usr/bin/env python3
"""Makes tests/golden/default: what transformers + PEFT answer with the default model's adapter.

    python tools/make_default_goldens.py ADAPTER ARTICLES.jsonl.zst IDS.json

ADAPTER is the PEFT directory, ARTICLES the AllSides articles (JSON lines with id, text, label) and
IDS a JSON list of objects whose `id` names the articles to keep. Writes articles.jsonl.zst (id and
text alone) and expected.json. Where the objects of IDS carry `logits`, they must agree.
"""

import json
import pathlib
import subprocess
import sys

import smollm2_reference as reference

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "default"


def read_articles(path, wanted):
    found = {}
    with subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE, text=True) as lines:
        for line in lines.stdout:
            article = json.loads(line)
            if article["id"] in wanted:
                found[article["id"]] = article
    missing = [i for i in wanted if i not in found]
    if missing:
        raise SystemExit(f"{path} has no article {missing[0]}")
    return [found[i] for i in wanted]


def main(adapter, articles_path, ids_path):
    wanted = {row["id"]: row for row in json.load(open(ids_path))}
    articles = read_articles(articles_path, list(wanted))
    model, tokenizer = reference.load(adapter)
    expected, worst = [], 0.0
    for article in articles:
        ids = tokenizer.encode(article["text"]).ids
        read = reference.head_tail(ids)
        logits, scores = reference.answer(model, read)
        given = wanted[article["id"]]
        for mine, theirs in zip(logits, given.get("logits", logits)):
            worst = max(worst, abs(mine - theirs))
        assert given.get("tokens", len(ids)) == len(ids), article["id"]
        expected.append(
            {
                "id": article["id"],
                "label": int(article["label"]),
                "tokens": len(ids),
                "tokens_read": len(read),
                "logits": logits,
                "scores": scores,
            }
        )
    print(f"{len(expected)} articles; logits differ from the given ones by at most {worst:.2e}")
    if worst > 1e-3:
        raise SystemExit("that is more than rounding: the reference has moved")
    OUT.mkdir(parents=True, exist_ok=True)
    lines = "".join(
        json.dumps({"id": a["id"], "text": a["text"]}, ensure_ascii=False) + "\n" for a in articles
    ).encode()
    subprocess.run(
        [
            "zstd",
            "-19",
            "-q",
            "-f",
            f"--stream-size={len(lines)}",
            "-o",
            OUT / "articles.jsonl.zst",
        ],
        input=lines,
        check=True,
    )
    (OUT / "expected.json").write_text(
        "[\n" + ",\n".join(json.dumps(row) for row in expected) + "\n]\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
