#!/usr/bin/env python3
"""slant beside its peers: the same work on the same machine in one run.

    make bench                                   everything that is installed
    python bench/compare.py --peers slant openvino-int8 --shapes smollm2-8 --rounds 5
    python bench/compare.py --isa avx2           everybody held to AVX2

Each round visits every peer once, in a fresh process: it loads, warms up and times each workload a
few times. What is reported is the median over all rounds, so a disturbance of the machine meets
all peers alike. The shapes are in models.py, the workloads in work.py. Peers get token ids, merged
weights and the batch size that is best for them; slant gets the texts, tokenises them, and runs its
adapter unmerged.

Writes results.json and chart.svg into --out and prints tables (report.py). The share is of what a
loop of independent instructions of that arithmetic reaches on the machine (slant bench --machine).
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import chart
import models
import report
import work

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent

ALL, WIDE, BEST = ("best", "avx512vnni", "avx2"), ("best", "avx512vnni"), ("best",)

# What holds a library to lesser instructions. slant and PyTorch are held entirely; OpenVINO by its
# copy of oneDNN (peers/openvino_ir.py). ONNX Runtime, llama.cpp and bitsandbytes ask the processor
# themselves and cannot be held, so they are left out of a run that is.
HELD = {
    "best": {},
    "avx512vnni": {
        "SLANT_ISA": "avx512vnni",
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    },
    "avx2": {
        "SLANT_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}


@dataclasses.dataclass
class Peer:
    name: str
    family: str
    script: str  # of peers/; "": slant
    variant: str
    module: str  # that must be installed
    arithmetic: str  # of its products; "": it says itself
    form: tuple = ()  # how models.py makes what it loads: function, arguments
    isas: tuple = BEST
    shapes: tuple = tuple(models.CONFIGS)
    adapter: str = "qv"

    @property
    def is_slant(self):
        return not self.script


def _openvino(variant):
    form = ("openvino_ir", variant.split("-")[0])
    return Peer(
        *(f"openvino-{variant}", "OpenVINO", "openvino_ir", variant, "openvino", "int8"),
        *(form, WIDE),
    )


def _llamacpp(kind):
    form = ("gguf_file", kind)
    return Peer(f"llama.cpp-{kind}", "llama.cpp", "llamacpp", kind, "llama_cpp", "int8", form)


def _onnxruntime(weights):
    return Peer(
        *(f"onnxruntime-{weights}", "ONNX Runtime", "onnxruntime_onnx", weights, "onnxruntime"),
        *("int8", ("onnx_file", weights)),
    )


def _transformers(dtype, isas):
    return Peer(
        *(f"transformers-{dtype}", "transformers", "transformers_plain", dtype, "transformers"),
        *(dtype, ("hf_dir",), isas),
    )


PEERS = [
    Peer("slant", "slant", "", "auto", "", "", isas=ALL),
    Peer("slant-int8", "slant", "", "int8", "", "int8", isas=ALL),
    Peer("slant-bf16", "slant bf16", "", "bf16", "", "bf16"),
    Peer(
        *("slant-int8-all-lora", "slant", "", "int8", "", "int8"),
        shapes=("llama-3.2-1b",),
        adapter="all",
    ),
    _transformers("bf16", BEST),
    _transformers("fp32", ("avx512vnni", "avx2")),
    Peer(
        *("transformers-nf4", "bitsandbytes NF4", "transformers_nf4", "", "bitsandbytes", "bf16"),
        ("nf4_dir",),
    ),
    *[_openvino(f"int8{group}") for group in ("", "-dq32", "-dq64", "-dq128")],
    *[_openvino(f"int4-dq{group}") for group in (32, 64, 128)],
    _llamacpp("Q8_0"),
    _llamacpp("Q4_0"),
    _onnxruntime("int8"),
    _onnxruntime("int4"),
]

# Work that takes a slow peer minutes is given to those whose answer is asked for.
ONLY = {"article-8192": ("slant",), "corpus": ("slant", "transformers-bf16", "transformers-fp32")}


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peers", nargs="+", choices=[peer.name for peer in PEERS])
    parser.add_argument(
        "--shapes", nargs="+", choices=list(models.CONFIGS), default=list(models.CONFIGS)
    )
    parser.add_argument("--workloads", nargs="+", choices=work.NAMES, default=work.NAMES)
    parser.add_argument("--isa", choices=list(HELD), default="best", help="hold everybody to it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="timings of a workload per visit")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--corpus", type=pathlib.Path, help="JSONL with the articles as 'text'")
    parser.add_argument("--corpus-articles", type=int, default=400, help="where none is given")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "bench")
    args = parser.parse_args()
    args.build = args.build.resolve()
    return args


def environment(args):
    """SLANT_MODEL: a program outside of the source tree would not find the embedded model."""
    own = {"SLANT_MODEL": str(models.DEFAULT_MODEL), "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **own, **HELD[args.isa]}


def load_average():
    return os.getloadavg()[0]


# --- running -----------------------------------------------------------------------------------


def measure_machine(args):
    """What slant bench says of the machine, and billions of operations per second by arithmetic: the
    best of the instruction sets that this run may use."""
    done = subprocess.run(
        [args.build / "slant", "bench", "-q", "--machine", "--format", "json"]
        + ["--threads", str(args.threads)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(args),
    )
    machine = json.loads(done.stdout)["machine"]
    sets = machine["instruction_sets"]
    first = next(i for i, one in enumerate(sets) if one["used"])
    kinds = ("fp32", "bf16", "int8")
    return machine, {k: max(s["peaks"][k]["gops"] for s in sets[first:]) for k in kinds}


def build_slant_peer(build, folder):
    if not (build / "libslant.so").exists():
        return None
    program = folder / "slant_peer"
    subprocess.run(
        ["cc", "-O2", "-D_GNU_SOURCE", f"-I{ROOT / 'include'}", HERE / "peers" / "slant_peer.c"]
        + ["-o", program, f"-L{build}", "-lslant", f"-Wl,-rpath,{build}"],
        check=True,
    )
    return program


class Run:
    """One comparison: its work on disk, what each visit said, and the batch sizes found best."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.work = work.make(args)
        self.slant_peer = build_slant_peer(args.build, folder)
        self.visits = {}
        self.batches = {}
        self.processes = {}

    def chosen(self):
        peers = []
        for peer in PEERS:
            if self.args.peers and peer.name not in self.args.peers:
                continue
            if self.args.isa not in peer.isas:
                if self.args.peers:
                    print(f"{peer.name}: cannot be held to {self.args.isa}", file=sys.stderr)
            elif not self.installed(peer):
                print(f"{peer.name}: not installed, left out", file=sys.stderr)
            else:
                peers.append(peer)
        return peers

    def installed(self, peer):
        if peer.is_slant:
            return self.slant_peer is not None
        return importlib.util.find_spec(peer.module) is not None

    def work_of(self, peer, shape):
        return [
            w
            for w in self.work.values()
            if work.runs_on(w.name, shape) and peer.name.startswith(ONLY.get(w.name, ""))
        ]

    def command(self, peer, shape, stem):
        path, threads = self.folder / stem, str(self.args.threads)
        if peer.is_slant:
            model, adapter = models.slant_model(shape, self.args.build / "slant", peer.adapter)
            return [self.slant_peer, model, adapter, peer.variant, threads, f"{path}.txt"]
        known = json.dumps(self.batches.get((shape, peer.name), {}))
        return (
            [sys.executable, HERE / "peers" / f"{peer.script}.py", "--shape", shape]
            + ["--variant", peer.variant, "--work", f"{path}.json"]
            + ["--threads", threads, "--batches", known]
        )

    def prepare(self, peer, shape):
        """Makes what the peer loads, in a process of its own: conversion takes memory that is no part
        of the peer's. False where that fails."""
        if peer.is_slant:
            models.slant_model(shape, self.args.build / "slant", peer.adapter)
            return True
        function, *arguments = peer.form
        done = subprocess.run(
            [sys.executable, HERE / "models.py", shape, function, *arguments],
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if done.returncode != 0:
            self.complain(peer, shape, done)
        return done.returncode == 0

    @staticmethod
    def complain(peer, shape, done):
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        print(f"{peer.name} on {shape}: {reason[0]}", file=sys.stderr)

    def visit(self, peer, shape):
        """One visit's figures, or None with the reason on standard error."""
        todo = self.work_of(peer, shape)
        work.write(todo, self.folder, "visit")
        done = subprocess.run(
            self.command(peer, shape, "visit"),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(self.args),
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode != 0 or not lines:
            self.complain(peer, shape, done)
            return None
        answer = json.loads(lines[-1])
        for w in todo:
            if answer["work"][w.name]["tokens"] != w.tokens:
                raise SystemExit(f"{peer.name}, {w.name}: not {w.tokens} tokens")
        return answer

    def keep(self, peer, shape, answer):
        self.visits.setdefault((shape, peer.name), []).append(answer)
        found = {name: w["batch"] for name, w in answer["work"].items() if "batch" in w}
        self.batches.setdefault((shape, peer.name), found)

    def visit_all(self):
        chosen, dropped = self.chosen(), set()
        for shape in self.args.shapes:
            peers = [p for p in chosen if shape in p.shapes and self.work_of(p, shape)]
            peers = [peer for peer in peers if self.prepare(peer, shape)]
            for round_ in range(self.args.rounds):
                for peer in peers if round_ % 2 == 0 else reversed(peers):
                    if peer.name in dropped:
                        continue
                    started, load = time.monotonic(), load_average()
                    answer = self.visit(peer, shape)
                    if answer is None:
                        dropped.add(peer.name)
                        continue
                    self.keep(peer, shape, answer)
                    print(
                        f"round {round_ + 1}: {shape} {peer.name}, "
                        f"{time.monotonic() - started:.0f} s, load {load:.1f}",
                        file=sys.stderr,
                    )
            dropped.clear()

    def time_processes(self):
        """The same article classified by processes of each kind in turn, start to exit."""
        article = self.folder / "article.txt"
        article.write_text(work.process_text(), encoding="utf-8")
        threads = str(self.args.threads)
        commands = {
            "slant": [self.args.build / "slant", "classify", "-q", "--truncation", "head"]
            + ["--format", "json", "--threads", threads, article],
            "python": [sys.executable, HERE / "peers" / "python_pipeline.py", article, threads],
        }
        if importlib.util.find_spec("peft") is None:
            print("peft: not installed, no process to compare with", file=sys.stderr)
            del commands["python"]
        for _ in range(max(3, self.args.rounds)):
            for name, command in commands.items():
                seconds, answer = time_process(command, environment(self.args))
                entry = self.processes.setdefault(name, {"seconds": []})
                entry["seconds"].append(seconds)
                entry["answer"] = answer


def time_process(command, env):
    started = time.perf_counter()
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    )
    seconds = time.perf_counter() - started
    return seconds, json.loads(done.stdout.splitlines()[0])


# --- figures -----------------------------------------------------------------------------------


def operations(shape, figures, is_slant):
    """Of the linear layers: slant makes only keys and values in the last layer, but for one token an
    article; the others make all of it."""
    config = models.CONFIGS[shape]
    done = models.linear_parameters(config) * figures["tokens"]
    if is_slant:
        pooled = figures["tokens"] - figures["articles"]
        done -= models.last_layer_pooled(config) * pooled
    return 2.0 * done


def summarise_work(shape, name, answers, peak, is_slant):
    every = [a["work"][name] for a in answers]
    seconds = [s for figures in every for s in figures["seconds"]]
    median, figures = statistics.median(seconds), every[0]
    return {
        "tokens": figures["tokens"],
        "articles": figures["articles"],
        "batch": figures.get("batch"),
        "tokens_per_s": figures["tokens"] / median,
        "articles_per_s": figures["articles"] / median,
        "best_tokens_per_s": figures["tokens"] / min(seconds),
        "share_of_peak": 1e-9 * operations(shape, figures, is_slant) / median / peak,
        "peak_rss_mb": max(f["peak_rss_mb"] for f in every),
        "seconds": seconds,
    }


def summarise(visits, peaks):
    rows, peers = [], {peer.name: peer for peer in PEERS}
    for (shape, name), answers in visits.items():
        peer = peers[name]
        kind = peer.arithmetic or answers[-1]["compute"]
        rows.append(
            {
                "shape": shape,
                "peer": name,
                "family": peer.family,
                "version": answers[-1]["version"],
                "arithmetic": kind,
                "load_s": statistics.median(a["load_s"] for a in answers),
                "work": {
                    workload: summarise_work(shape, workload, answers, peaks[kind], peer.is_slant)
                    for workload in answers[0]["work"]
                },
            }
        )
    return rows


def main():
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    started, load = time.strftime("%Y-%m-%d"), load_average()
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(args, pathlib.Path(scratch))
        machine, peaks = measure_machine(args)
        run.visit_all()
        if "process" in args.workloads and "smollm2-8" in args.shapes:
            run.time_processes()
    result = {
        "date": started,
        "processor": machine["processor"] or platform.processor(),
        "threads": args.threads,
        "isa": args.isa,
        "instruction_sets": machine["instruction_sets"],
        "peak_gops": peaks,
        "load_before": load,
        "load_after": load_average(),
        "rounds": args.rounds,
        "repeats": args.repeats,
        "rows": summarise(run.visits, peaks),
        "processes": {
            name: {**entry, "median_s": statistics.median(entry["seconds"])}
            for name, entry in run.processes.items()
        },
    }
    (args.out / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.out / "chart.svg").write_text(chart.draw(result), encoding="utf-8")
    print(report.text(result))
    print(f"\n{args.out}/results.json, chart.svg")


if __name__ == "__main__":
    main()
