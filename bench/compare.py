#!/usr/bin/env python3
"""slant beside its peers: the same work on the same machine in one run.

    make bench                                   everything that is installed
    python bench/compare.py --peers slant openvino-int8 --shapes smollm2-8 --rounds 5

Each round visits every peer once, in a fresh process: it loads, warms up and times each workload a
few times. What is reported is the median over all rounds, so a disturbance of the machine meets
all peers alike. Two shapes: a random Llama-3.2-1B and the default model's (models.py). Three
workloads: one article of 512 tokens, one of 1,024, and 64 short texts. Peers get token ids and
merged weights; slant gets the texts, tokenises them, and runs the default model's adapter unmerged.

Writes results.json and chart.svg into --out and prints a table. The share is of what a loop of
independent instructions of that arithmetic reaches on the machine (peak.c): 2 × the weights of the
linear layers per token.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

import chart
import models

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent

# name, script, --variant, module that must be installed, arithmetic of its products
PEERS = [
    ("slant", None, "auto", None, None),
    ("slant-int8", None, "int8", None, "int8"),
    ("slant-bf16", None, "bf16", None, "bf16"),
    ("transformers-bf16", "transformers_bf16", "", "transformers", "bf16"),
    ("transformers-nf4", "transformers_nf4", "", "bitsandbytes", "bf16"),
    ("openvino-int8", "openvino_ir", "int8", "openvino", "int8"),
    ("openvino-int8-dq128", "openvino_ir", "int8-dq128", "openvino", "int8"),
    ("openvino-int4-dq32", "openvino_ir", "int4-dq32", "openvino", "int8"),
    ("openvino-int4-dq64", "openvino_ir", "int4-dq64", "openvino", "int8"),
    ("openvino-int4-dq128", "openvino_ir", "int4-dq128", "openvino", "int8"),
    ("llama.cpp-Q8_0", "llamacpp", "Q8_0", "llama_cpp", "int8"),
    ("llama.cpp-Q4_0", "llamacpp", "Q4_0", "llama_cpp", "int8"),
]


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peers", nargs="+", choices=[p[0] for p in PEERS])
    parser.add_argument(
        "--shapes", nargs="+", choices=list(models.CONFIGS), default=list(models.CONFIGS)
    )
    parser.add_argument(
        "--workloads",
        nargs="+",
        choices=["article-512", "article-1024", "short-64"],
        default=["article-512", "article-1024", "short-64"],
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="timings of a workload per visit")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "bench")
    return parser.parse_args()


# --- work --------------------------------------------------------------------------------------


def make_work(names):
    """name -> (texts, max_length, ids): from the invented articles in examples/."""
    from gguf import GGUFReader

    tokenizer = models.smollm2_reference.gguf_tokenizer(
        GGUFReader(models.smollm2_reference.gguf_path())
    )
    prose = " ".join(
        " ".join(p.read_text(encoding="utf-8").split())
        for p in sorted((ROOT / "examples").glob("*.txt"))
    )
    words = (prose + " ").split(" ")
    while len(words) < 4000:
        words += words
    work = {}
    for name in names:
        if name == "short-64":
            texts = [" ".join(words[i * 37 : i * 37 + 12 + i * 7 % 28]) for i in range(64)]
            limit = 512
        else:
            limit = int(name.removeprefix("article-"))
            texts = [" ".join(words[:limit])]
        ids = [tokenizer.encode(text).ids[:limit] for text in texts]
        if name != "short-64":
            assert len(ids[0]) == limit
        work[name] = (texts, limit, ids)
    return work


def write_work(work, folder):
    lines = []
    for name, (texts, limit, _) in work.items():
        lines += [f"{name} {limit} {len(texts)}", *texts]
    (folder / "work.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "work.json").write_text(json.dumps({name: ids for name, (_, _, ids) in work.items()}))


# --- running -----------------------------------------------------------------------------------


def measure_peak(threads, folder):
    """Billions of operations per second of a pure loop, per arithmetic."""
    subprocess.run(
        ["cc", "-O2", "-march=native", "-fopenmp", HERE / "peak.c", "-o", folder / "peak"],
        check=True,
    )
    kinds = json.loads(
        subprocess.run(
            [folder / "peak", str(threads)], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    )
    return {
        "fp32": kinds["fp32"],
        "bf16": max(kinds["fp32"], kinds["bf16"], kinds["amx_bf16"]),
        "int8": max(kinds["int8"], kinds["amx_int8"]),
        "kinds": kinds,
    }


def build_slant_peer(build, folder):
    if not (build / "libslant.so").exists():
        return None
    subprocess.run(
        [
            "cc",
            "-O2",
            "-D_GNU_SOURCE",
            f"-I{ROOT / 'include'}",
            HERE / "peers" / "slant_peer.c",
            "-o",
            folder / "slant_peer",
            f"-L{build}",
            "-lslant",
            f"-Wl,-rpath,{build}",
        ],
        check=True,
    )
    return folder / "slant_peer"


def command_of(peer, shape, args, folder, slant_peer):
    name, script, variant, _, _ = peer
    if script:
        return [
            sys.executable,
            HERE / "peers" / f"{script}.py",
            "--shape",
            shape,
            "--variant",
            variant,
            "--work",
            folder / "work.json",
            "--threads",
            str(args.threads),
            "--repeats",
            str(args.repeats),
        ]
    model, adapter = models.slant_model(shape, args.build / "slant")
    return [
        slant_peer,
        model,
        adapter,
        variant,
        str(args.threads),
        str(args.repeats),
        folder / "work.txt",
    ]


def visit(peer, shape, args, folder, slant_peer):
    """One visit's figures, or None with the reason on standard error."""
    done = subprocess.run(
        command_of(peer, shape, args, folder, slant_peer),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    print(f"{peer[0]} on {shape}: {reason[0]}", file=sys.stderr)
    return None


def installed(peer, slant_peer):
    return (
        slant_peer is not None if peer[1] is None else importlib.util.find_spec(peer[3]) is not None
    )


def run_all(args, work, folder, slant_peer):
    """(shape, peer) -> list of visits."""
    chosen = [
        p for p in PEERS if (not args.peers or p[0] in args.peers) and installed(p, slant_peer)
    ]
    for peer in PEERS:
        if (not args.peers or peer[0] in args.peers) and peer not in chosen:
            print(f"{peer[0]}: not installed, left out", file=sys.stderr)
    visits, dropped = {}, set()
    for shape in args.shapes:
        for round_ in range(args.rounds):
            for peer in chosen if round_ % 2 == 0 else reversed(chosen):
                if (shape, peer[0]) in dropped:
                    continue
                answer = visit(peer, shape, args, folder, slant_peer)
                if answer is None:
                    dropped.add((shape, peer[0]))
                    continue
                expected = {name: sum(map(len, ids)) for name, (_, _, ids) in work.items()}
                for name, figures in answer["work"].items():
                    if figures["tokens"] != expected[name]:
                        raise SystemExit(
                            f"{peer[0]}, {name}: {figures['tokens']} tokens, not {expected[name]}"
                        )
                visits.setdefault((shape, peer[0]), []).append(answer)
                print(f"round {round_ + 1}: {shape} {peer[0]}", file=sys.stderr)
    return visits


# --- reporting ---------------------------------------------------------------------------------


def summarise(visits, peak):
    rows = []
    arithmetic = {p[0]: p[4] for p in PEERS}
    for (shape, name), answers in visits.items():
        kind = arithmetic[name] or {"fp32": "fp32", "bf16": "bf16"}.get(
            answers[-1].get("compute"), "int8"
        )
        row = {
            "shape": shape,
            "peer": name,
            "version": answers[-1]["version"],
            "arithmetic": kind,
            "load_s": statistics.median(a["load_s"] for a in answers),
            "peak_rss_mb": max(a["peak_rss_mb"] for a in answers),
            "work": {},
        }
        for workload in answers[0]["work"]:
            seconds = [s for a in answers for s in a["work"][workload]["seconds"]]
            rate = answers[0]["work"][workload]["tokens"] / statistics.median(seconds)
            row["work"][workload] = {
                "tokens_per_s": rate,
                "best_tokens_per_s": answers[0]["work"][workload]["tokens"] / min(seconds),
                "share_of_peak": 2e-9
                * models.linear_parameters(models.CONFIGS[shape])
                * rate
                / peak[kind],
                "seconds": seconds,
            }
        rows.append(row)
    return rows


def print_table(rows):
    for shape in dict.fromkeys(row["shape"] for row in rows):
        here = [row for row in rows if row["shape"] == shape]
        for workload in here[0]["work"]:
            ranked = sorted(here, key=lambda row: -row["work"][workload]["tokens_per_s"])
            others = [r for r in ranked if not r["peer"].startswith("slant")] or ranked
            base = others[0]["work"][workload]["tokens_per_s"]
            print(
                f"\n{shape}, {workload}\n{'':22} tokens/s     (best)  ratio"
                "  share of peak   memory    load"
            )
            for row in ranked:
                figures = row["work"][workload]
                print(
                    f"{row['peer']:22} {figures['tokens_per_s']:8.0f}"
                    f" {figures['best_tokens_per_s']:10.0f} {figures['tokens_per_s'] / base:6.2f}"
                    f" {100 * figures['share_of_peak']:7.1f} % {row['arithmetic']:5}"
                    f" {row['peak_rss_mb']:6.0f} MB {row['load_s']:6.2f} s"
                )


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        peak = measure_peak(args.threads, folder)
        work = make_work(args.workloads)
        write_work(work, folder)
        visits = run_all(args, work, folder, build_slant_peer(args.build.resolve(), folder))
    rows = summarise(visits, peak)
    result = {
        "processor": processor(),
        "threads": args.threads,
        "peak_gops": peak,
        "rows": rows,
        "rounds": args.rounds,
        "repeats": args.repeats,
    }
    (args.out / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.out / "chart.svg").write_text(chart.draw(result), encoding="utf-8")
    print(
        f"{result['processor']}, {args.threads} threads; peak GOP/s: "
        + ", ".join(f"{kind} {peak[kind]:,.0f}" for kind in ("fp32", "bf16", "int8"))
    )
    print_table(rows)
    print(
        f"\nratio: to the fastest peer; medians of {args.rounds} × {args.repeats}; "
        f"{args.out}/results.json, chart.svg"
    )


if __name__ == "__main__":
    main()
