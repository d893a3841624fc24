#!/usr/bin/env python3
"""slant beside its peers: the same work on the same machine in one run.

    make bench                                   everything that is installed
    python bench/compare.py --peers slant openvino-int8 --shapes smollm2-8 --rounds 5
    python bench/compare.py --isa avx2           everybody held to AVX2

Each round visits every peer once, in a fresh process: it loads, warms up and times each workload a
few times. What is reported is the median over all rounds, so a disturbance of the machine meets
all peers alike. The shapes are in models.py, the workloads in work.py, training steps in training.py.
Peers get token ids, merged weights and the batch size that is best for them; slant gets the texts,
tokenises them, and runs its adapter unmerged.

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
import rounds
import training
import work
from rounds import ALL, BEST, WIDE, environment, load_average

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent


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
    _transformers("fp32", ALL),  # the faster one where the processor has no bf16
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
    names = [peer.name for peer in PEERS + training.PEERS]
    parser.add_argument("--peers", nargs="+", choices=list(dict.fromkeys(names)))
    parser.add_argument(
        "--shapes", nargs="+", choices=list(models.CONFIGS), default=list(models.CONFIGS)
    )
    every = work.NAMES + training.NAMES
    parser.add_argument("--workloads", nargs="+", choices=every, default=every)
    parser.add_argument(
        "--isa", choices=list(rounds.HELD), default="best", help="hold everybody to it"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="timings of a workload per visit")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--corpus", type=pathlib.Path, help="JSONL with the articles as 'text'")
    parser.add_argument("--corpus-articles", type=int, default=400, help="where none is given")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "bench")
    args = parser.parse_args()
    args.build = args.build.resolve()
    args.training = [name for name in args.workloads if name in training.NAMES]
    args.workloads = [name for name in args.workloads if name in work.NAMES]
    return args


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
        env=environment(args.isa),
    )
    machine = json.loads(done.stdout)["machine"]
    sets = machine["instruction_sets"]
    first = next(i for i, one in enumerate(sets) if one["used"])
    kinds = ("fp32", "bf16", "int16", "int8")
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
        return rounds.make_form(f"{peer.name} on {shape}", shape, *peer.form)

    def visit(self, peer, shape):
        """One visit's figures, or None with the reason on standard error."""
        todo = self.work_of(peer, shape)
        work.write(todo, self.folder, "visit")
        env = environment(self.args.isa)
        answer = rounds.ask(f"{peer.name} on {shape}", self.command(peer, shape, "visit"), env)
        if answer is None:
            return None
        for w in todo:
            if answer["work"][w.name]["tokens"] != w.tokens:
                raise SystemExit(f"{peer.name}, {w.name}: not {w.tokens} tokens")
        found = {name: w["batch"] for name, w in answer["work"].items() if "batch" in w}
        self.batches.setdefault((shape, peer.name), found)
        return answer

    def visit_all(self):
        chosen = self.chosen()
        for shape in self.args.shapes:
            peers = [p for p in chosen if shape in p.shapes and self.work_of(p, shape)]
            peers = {peer.name: peer for peer in peers if self.prepare(peer, shape)}
            print(f"{shape}:", file=sys.stderr)
            answers = rounds.visit_all(
                list(peers), self.args.rounds, lambda name: self.visit(peers[name], shape)
            )
            self.visits.update({(shape, name): each for name, each in answers.items()})

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
                seconds, answer = time_process(command, environment(self.args.isa))
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
    machine, peaks = measure_machine(args)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(args, pathlib.Path(scratch))
        if run.work:
            run.visit_all()
        if "process" in args.workloads and "smollm2-8" in args.shapes:
            run.time_processes()
    trained = training.compare(args)
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
        "training": trained,
    }
    (args.out / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    if result["rows"]:
        (args.out / "chart.svg").write_text(chart.draw(result), encoding="utf-8")
    print(report.text(result))
    print(f"\n{args.out}/results.json{', chart.svg' if result['rows'] else ''}")


if __name__ == "__main__":
    main()
