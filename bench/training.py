"""Training steps of slant and of PyTorch: forward, backward, clipping and AdamW of a LoRA adapter.

train-1b        4 × 256 tokens a step, q_proj and v_proj, on a random model in Llama-3.2-1B's shape
train-default   16 × 256 tokens a step, all linear layers, on the default model's base

Each article has as many tokens as the others, so nobody pads, and each step has its own. The first
step warms up; the others are timed, each by itself. slant is `slant train` as everybody runs it: the
times are those of its event file, which has one entry a step. Its peers are transformers and PEFT
(peers/peft_training.py) on the base in 4 bits by bitsandbytes, in bf16 and in fp32, each with and
without gradient checkpointing.
"""

import dataclasses
import importlib.util
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import models
import rounds
import work
from rounds import ALL, BEST

NAMES = ["train-1b", "train-default"]
TOKENS = 256  # of an article
LORA = {"r": 16, "lora_alpha": 64, "lora_dropout": 0.1}
LEARNING_RATE = 2e-4
LOOK_S = 0.05  # between two looks at a process's memory


@dataclasses.dataclass
class Workload:
    name: str
    shape: str
    articles: int  # of a step
    modules: str  # models.LORA_MODULES
    texts: list
    ids: list

    @property
    def step_tokens(self):
        return self.articles * TOKENS


@dataclasses.dataclass
class Peer:
    name: str
    family: str
    weights: str  # how the base is held; "": slant, in NF4
    compute: str
    checkpointing: bool = False
    isas: tuple = ALL

    @property
    def is_slant(self):
        return not self.weights


def _peft(weights, compute, family, isas):
    name = f"peft-{weights}" if compute == weights else f"peft-{weights}-{compute}"
    return [
        Peer(name + suffix, family, weights, compute, bool(suffix), isas)
        for suffix in ("", "-checkpointing")
    ]


PEERS = [
    Peer("slant", "slant", "", "auto"),
    Peer("slant-int16", "slant int16", "", "int16"),
    Peer("slant-int8", "slant int8", "", "int8"),
    # The recipe computes in bf16; where the processor has no such products, fp32 may be faster.
    *_peft("nf4", "bf16", "bitsandbytes NF4", BEST),
    *_peft("nf4", "fp32", "bitsandbytes NF4", BEST),
    *_peft("bf16", "bf16", "bf16", BEST),
    *_peft("fp32", "fp32", "fp32", ALL),
]


def make(name, steps):
    """A workload with articles for so many steps."""
    shape, articles, modules = {
        "train-1b": ("llama-3.2-1b", 4, "qv"),
        "train-default": ("smollm2-8", 16, "all"),
    }[name]
    texts = work.articles(steps * articles, TOKENS)
    return Workload(name, shape, articles, modules, texts, work.encode(texts, TOKENS))


# --- slant -------------------------------------------------------------------------------------


def slant_command(args, peer, w, train, out):
    base, _ = models.slant_model(w.shape, args.build / "slant", "qv")
    settings = {
        "model": base,
        "train": train,
        "output-dir": out,
        "labels": ",".join(models.CONFIGS[w.shape]["label2id"]),
        "max-length": TOKENS,
        "compute": peer.compute,
        "target-modules": ",".join(models.LORA_MODULES[w.modules]),
        "lora-r": LORA["r"],
        "lora-alpha": LORA["lora_alpha"],
        "lora-dropout": LORA["lora_dropout"],
        "per-device-train-batch-size": w.articles,
        "max-steps": len(w.texts) // w.articles,
        "train-sampling-strategy": "sequential",
        "learning-rate": LEARNING_RATE,
        "logging-steps": 1,
        "save-strategy": "no",
        "threads": args.threads,
    }
    command = [args.build / "slant", "train"]
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    return command


def _looks(process):
    """Peak memory in MB, and (time, processor seconds) at short intervals, until the process ends."""
    peak, looks, ticks = 0.0, [], os.sysconf("SC_CLK_TCK")
    folder = Path("/proc") / str(process.pid)
    while process.poll() is None:
        try:
            status, stat = (folder / "status").read_text(), (folder / "stat").read_text()
        except OSError:
            break
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
        if found:  # not of one that has ended and waits for us
            peak = max(peak, int(found.group(1)) / 1024)
            user, system = stat.rsplit(")", 1)[1].split()[11:13]
            looks.append((time.time(), (int(user) + int(system)) / ticks))
        time.sleep(LOOK_S)
    process.wait()
    return peak, looks


def _step_ends(folder):
    """When each step ended, by the run's event file: records of a length, its check, an event and
    its check; an event begins with its time (a key of one byte, a double)."""
    (path,) = (folder / "runs").glob("events.out.tfevents.*")
    data, at, ends = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        event = data[at + 12 : at + 12 + size]
        if b"train/loss" in event:
            ends += struct.unpack_from("<d", event, 1)
        at += 12 + size + 4
    return ends


def _processor_s(looks, when):
    """Processor seconds at a moment between two looks."""
    for (t0, p0), (t1, p1) in zip(looks, looks[1:]):
        if t0 <= when <= t1:
            return p0 + (p1 - p0) * (when - t0) / (t1 - t0)
    return looks[-1][1]


def _number(pattern, text):
    found = re.search(pattern, text)
    return int(found.group(1).replace(",", "")) if found else None


def visit_slant(args, peer, w, folder):
    train, out, errors = folder / "train.jsonl", folder / "out", folder / "errors"
    lines = [json.dumps({"text": t, "label": i % 3}) for i, t in enumerate(w.texts)]
    train.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with errors.open("w") as stream:
        process = subprocess.Popen(
            slant_command(args, peer, w, train, out),
            stdout=subprocess.DEVNULL,
            stderr=stream,
            env=rounds.environment(args.isa),
        )
        peak, looks = _looks(process)
    said = errors.read_text()
    if process.returncode != 0:
        rounds.complain(f"{peer.name} on {w.name}", process.returncode, said)
        return None
    ends = _step_ends(out)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    card = re.search(r"products \| (\w+)", (out / "README.md").read_text())
    return {
        "version": "slant train, NF4" + (f", products in {card.group(1)}" if card else ""),
        "seconds": [b - a for a, b in zip(ends, ends[1:])],
        "processor_s": _processor_s(looks, ends[-1]) - _processor_s(looks, ends[0]),
        "losses": [entry["loss"] for entry in log if "loss" in entry],
        "tokens": _number(r"([\d,]+) tokens an epoch", said),
        "peak_rss_mb": peak,
    }


# --- PyTorch -----------------------------------------------------------------------------------


def visit_peft(args, peer, w, folder):
    job = {
        "ids": w.ids,
        "articles": w.articles,
        "learning_rate": LEARNING_RATE,
        "lora": {**LORA, "target_modules": models.LORA_MODULES[w.modules]},
    }
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, rounds.HERE / "peers" / "peft_training.py", "--shape", w.shape]
    command += ["--weights", peer.weights, "--compute", peer.compute, "--job", folder / "job.json"]
    command += ["--threads", str(args.threads)]
    command += ["--checkpointing"] if peer.checkpointing else []
    return rounds.ask(f"{peer.name} on {w.name}", command, rounds.environment(args.isa))


# --- all of them -------------------------------------------------------------------------------


def chosen(args, shape):
    peers, missing = [], not all(map(importlib.util.find_spec, ("transformers", "peft")))
    for peer in PEERS:
        quantised = peer.weights == "nf4"
        if args.peers and peer.name not in args.peers:
            continue
        if args.isa not in peer.isas:
            if args.peers:
                print(f"{peer.name}: cannot be held to {args.isa}", file=sys.stderr)
        elif not peer.is_slant and missing:
            print(f"{peer.name}: not installed, left out", file=sys.stderr)
        elif quantised and importlib.util.find_spec("bitsandbytes") is None:
            print(f"{peer.name}: not installed, left out", file=sys.stderr)
        elif prepare(args, peer, shape):
            peers.append(peer)
    return peers


def prepare(args, peer, shape):
    """Makes what the peer loads. False where that fails."""
    if peer.is_slant:
        models.slant_model(shape, args.build / "slant", "qv")
        return True
    form = "nf4_dir" if peer.weights == "nf4" else "hf_dir"
    return rounds.make_form(f"{peer.name} on {shape}", shape, form)


def visit(args, peer, w):
    """One visit's figures, said as they come: a long run may be ended before its last round."""
    with tempfile.TemporaryDirectory() as folder:
        answer = (visit_slant if peer.is_slant else visit_peft)(args, peer, w, Path(folder))
    if answer is None:
        return None
    if answer["tokens"] != len(w.texts) * TOKENS:
        raise SystemExit(f"{peer.name}, {w.name}: not {TOKENS} tokens an article")
    one = summarise(peer, w, [answer], args.threads)
    print(
        f"{peer.name}: {one['tokens_per_s']:.1f} tokens/s, {100 * one['share_of_threads']:.0f} % of "
        f"the threads, {one['peak_rss_mb']:.0f} MB",
        file=sys.stderr,
    )
    return answer


def summarise(peer, w, answers, threads):
    seconds = [s for answer in answers for s in answer["seconds"]]
    processor_s = sum(answer["processor_s"] for answer in answers)
    return {
        "peer": peer.name,
        "family": peer.family,
        "version": answers[-1]["version"],
        "tokens_per_s": w.step_tokens / statistics.median(seconds),
        "best_tokens_per_s": w.step_tokens / min(seconds),
        "share_of_threads": processor_s / sum(seconds) / threads,
        "peak_rss_mb": max(answer["peak_rss_mb"] for answer in answers),
        "seconds": seconds,
        "losses": answers[-1]["losses"],
    }


def compare(args):
    """Workload -> what it is, and a row for each peer."""
    result = {}
    for name in args.training:
        w = make(name, 1 + args.repeats)
        if w.shape not in args.shapes:
            continue
        peers = {peer.name: peer for peer in chosen(args, w.shape)}
        print(f"{name}:", file=sys.stderr)
        answers = rounds.visit_all(
            list(peers), args.rounds, lambda peer: visit(args, peers[peer], w)
        )
        result[name] = {
            "shape": w.shape,
            "articles": w.articles,
            "article_tokens": TOKENS,
            "modules": w.modules,
            "rows": [summarise(peers[p], w, each, args.threads) for p, each in answers.items()],
        }
    return result
