#!/usr/bin/env python3
"""How much faster several ranks train than one: the same run by 1 rank and by N under mpirun, with
the same articles in each step, in alternating order.

    bench/ranks.py --slant build/release/slant --model models/news-bias/base.slant --train train.jsonl

Scaling efficiency is N ranks' tokens per second over N × one rank's. Each rank computes with one
thread, so N cores are needed, and nothing else on them: `chrt -r 1` in front keeps others off."""

import argparse
import os
import re
import statistics
import subprocess
import tempfile


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slant", default="build/release/slant")
    parser.add_argument("--model", default="models/news-bias/base.slant")
    parser.add_argument("--train", required=True, help="labelled articles")
    parser.add_argument("--labels", default="Left,Center,Right")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="articles in a rank's batch")
    parser.add_argument("--length", type=int, default=256, help="tokens of an article at most")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def tokens_per_second(args, ranks):
    """Of one run, without what comes before the first step."""
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)]
    if os.geteuid() == 0:
        launcher.insert(1, "--allow-run-as-root")
    with tempfile.TemporaryDirectory() as out:
        settings = {
            "model": args.model,
            "train": args.train,
            "labels": args.labels,
            "output-dir": out,
            "target-modules": "all-linear",
            "max-length": args.length,
            "per-device-train-batch-size": args.batch,
            "gradient-accumulation-steps": args.ranks // ranks,
            "max-steps": args.steps,
            "save-strategy": "no",
            "threads": 1,
        }
        command = [*(launcher if ranks > 1 else []), args.slant, "train"]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    return float(re.search(r"steps in \S+, (\d+) tokens/s", done.stderr).group(1))


def main():
    args = arguments()
    speeds = {1: [], args.ranks: []}
    for number in range(args.rounds):
        for ranks in speeds if number % 2 == 0 else reversed(speeds):
            speeds[ranks].append(tokens_per_second(args, ranks))
            print(
                f"round {number + 1}: {ranks} × 1 thread, {speeds[ranks][-1]:.0f} tokens/s",
                flush=True,
            )
    one, several = (statistics.median(speeds[ranks]) for ranks in (1, args.ranks))
    print(
        f"median: {one:.0f} tokens/s by 1 rank, {several:.0f} by {args.ranks}; "
        f"scaling efficiency {several / one / args.ranks:.1%}"
    )


if __name__ == "__main__":
    main()
