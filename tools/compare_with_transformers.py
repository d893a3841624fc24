#!/usr/bin/env python3
"""Compares slant with transformers + PEFT on your own weights and texts.

    pip install torch transformers peft bitsandbytes safetensors
    python tools/compare_with_transformers.py --base DIR [--adapter DIR] --texts FILE [options]

DIR is a Hugging Face directory (Llama, Mistral, Qwen2, Qwen3; plain or bitsandbytes NF4). FILE is
JSON lines with a field `text`, or plain text with an article a line. The reference runs in fp32 on
the CPU, 4-bit weights expanded first; an article's error is its largest difference over the labels.

Exit status: 0 within tolerance, 1 not, 2 wrong usage. Within tolerance means a mean error of at
most --mean, a worst one of at most --worst, and the same label wherever the reference's margin
exceeds --margin. The defaults are slant's promise for --compute auto; with --compute fp32 they
are 1e-4.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", required=True, type=pathlib.Path)
    parser.add_argument("--adapter", type=pathlib.Path)
    parser.add_argument("--texts", required=True, type=pathlib.Path)
    parser.add_argument("--limit", type=int, help="the first LIMIT articles only")
    parser.add_argument("--max-length", type=int, help="ids that are read; default: all")
    parser.add_argument("--truncation", choices=("head", "tail", "head-tail"), default="head")
    parser.add_argument("--load-in-4bit", action="store_true")
    parser.add_argument("--compute", choices=("auto", "int8", "bf16", "fp32"), default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--slant", default="slant", help="the program")
    parser.add_argument("--mean", type=float)
    parser.add_argument("--worst", type=float)
    parser.add_argument("--margin", type=float, default=0.03)
    args = parser.parse_args()
    exact = args.compute == "fp32"
    args.mean = args.mean if args.mean is not None else 1e-4 if exact else 0.01
    args.worst = args.worst if args.worst is not None else 1e-4 if exact else 0.03
    return args


def read_texts(path, limit):
    texts = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        line = line.removesuffix("\r")
        if line.strip():
            texts.append(json.loads(line)["text"] if line.lstrip().startswith("{") else line)
    return texts[:limit]


def load_reference(args):
    """The model of transformers (and PEFT) in fp32."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from nf4_reference import LINEARS, expand_checkpoint, nf4_round

    config = AutoConfig.from_pretrained(args.base)
    if args.adapter:
        tensors = load_file(args.adapter / "adapter_model.safetensors")
        head = next((t for n, t in tensors.items() if "score" in n), None)
        if head is not None and head.shape[0] != config.num_labels:
            config.num_labels = head.shape[0]
    if getattr(config, "quantization_config", None) is not None:
        stored = {}
        for file in sorted(args.base.glob("*.safetensors")):
            stored.update(load_file(file))
        del config.quantization_config
        config.dtype = torch.float32
        model = AutoModelForSequenceClassification.from_config(config)
        missing = model.load_state_dict(
            {n: t for n, t in expand_checkpoint(stored).items() if n != "lm_head.weight"},
            strict=False,
        )
        if [n for n in missing.missing_keys if n != "score.weight"] or missing.unexpected_keys:
            raise SystemExit(f"{args.base}: {missing}")
        model = model.float()
    else:
        model = AutoModelForSequenceClassification.from_pretrained(
            args.base, config=config, dtype=torch.float32
        )
        if args.load_in_4bit:
            for name, module in model.named_modules():
                if name.endswith(LINEARS):
                    module.weight.data = nf4_round(module.weight.data)
    if args.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, args.adapter)
    return model.float().eval().requires_grad_(False), config


def cut(ids, prefix, max_length, truncation):
    """What is read of ids; the prefix leading special tokens are always kept."""
    if not max_length or len(ids) <= max_length:
        return ids
    if truncation == "head":
        return ids[:max_length]
    if truncation == "tail":
        return ids[:prefix] + ids[len(ids) - (max_length - prefix) :]
    return ids[: (max_length + 1) // 2] + ids[len(ids) - max_length // 2 :]


def reference_answers(args, texts):
    import torch
    from tokenizers import Tokenizer

    model, config = load_reference(args)
    tokenizer = Tokenizer.from_file(str(args.base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    prefix = len(tokenizer.encode("").ids)
    rows = []
    for i, text in enumerate(texts):
        ids = tokenizer.encode(text).ids
        read = cut(ids, prefix, args.max_length, args.truncation)
        logits = model(input_ids=torch.tensor([read])).logits[0].float()
        if config.problem_type == "regression":
            scores = logits
        elif config.problem_type == "multi_label_classification" or len(logits) == 1:
            scores = torch.sigmoid(logits)
        else:
            scores = torch.softmax(logits, -1)
        rows.append({"tokens": len(ids), "scores": scores.tolist()})
        print(f"\rtransformers: {i + 1} of {len(texts)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return rows


def slant_answers(args, texts):
    command = [
        args.slant,
        "classify",
        "--model",
        str(args.base),
        "--format",
        "jsonl",
        "--raw",
        "--compute",
        args.compute,
        "--truncation",
        args.truncation if args.max_length else "none",
    ]
    if args.adapter:
        command += ["--adapter", str(args.adapter)]
    if args.max_length:
        command += ["--max-length", str(args.max_length)]
    if args.load_in_4bit:
        command.append("--load-in-4bit")
    if args.threads:
        command += ["--threads", str(args.threads)]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
        file.flush()
        done = subprocess.run(command + [file.name], stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode not in (0, 3) or len(rows) != len(texts):
        raise SystemExit(
            f"slant answered {len(rows)} of {len(texts)} articles (status {done.returncode})"
        )
    return rows


def report(reference, answers, args):
    """Prints the table; True where all is within tolerance."""
    errors, wrong = [], 0
    print(f"{'article':>8} {'tokens':>7} {'transformers':>28} {'slant':>28} {'error':>9}")
    for i, (wanted, got) in enumerate(zip(reference, answers)):
        if "error" in got:
            print(f"{i:8d} {wanted['tokens']:7d} slant: {got['error']}")
            errors.append(float("inf"))
            continue
        scores = list(got["scores"].values())
        error = max(abs(a - b) for a, b in zip(wanted["scores"], scores, strict=True))
        errors.append(error)
        ranked = sorted(wanted["scores"], reverse=True)
        margin = ranked[0] - ranked[1] if len(ranked) > 1 else 0
        same = max(range(len(scores)), key=scores.__getitem__) == max(
            range(len(scores)), key=wanted["scores"].__getitem__
        )
        note = "" if same else "  another label"
        if not same and margin > args.margin:
            wrong += 1
            note = "  WRONG LABEL"
        if got["tokens"] != wanted["tokens"]:
            wrong += 1
            note += f"  {got['tokens']} TOKENS"
        columns = [" ".join(f"{s:.4f}" for s in row) for row in (wanted["scores"], scores)]
        print(f"{i:8d} {wanted['tokens']:7d} {columns[0]:>28} {columns[1]:>28} {error:9.2e}{note}")
    mean, worst = sum(errors) / len(errors), max(errors)
    ok = mean <= args.mean and worst <= args.worst and wrong == 0
    print(
        f"\n{len(errors)} articles: mean error {mean:.2e} (at most {args.mean:g}), "
        f"worst {worst:.2e} (at most {args.worst:g}), {wrong} wrong: "
        f"{'within' if ok else 'OUT OF'} tolerance"
    )
    return ok


def main():
    args = parse()
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    texts = read_texts(args.texts, args.limit)
    if not texts:
        raise SystemExit(f"{args.texts}: no article")
    answers = slant_answers(args, texts)
    return 0 if report(reference_answers(args, texts), answers, args) else 1


if __name__ == "__main__":
    sys.exit(main())
