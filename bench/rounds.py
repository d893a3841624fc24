"""Visits to those that are compared, each in a process of its own, in rounds of alternating order."""

import json
import os
import pathlib
import subprocess
import sys
import time

import models

HERE = pathlib.Path(__file__).resolve().parent

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


def environment(isa):
    """SLANT_MODEL: a program outside of the source tree would not find the embedded model."""
    own = {"SLANT_MODEL": str(models.DEFAULT_MODEL), "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **own, **HELD[isa]}


def load_average():
    return os.getloadavg()[0]


def complain(who, status, errors):
    reason = errors.strip().splitlines()[-1:] or [f"exit status {status}"]
    print(f"{who}: {reason[0]}", file=sys.stderr)


def make_form(who, shape, function, *arguments):
    """Makes what a peer loads, in a process of its own: conversion takes memory that is no part of
    the peer's. False where that fails."""
    done = subprocess.run(
        [sys.executable, HERE / "models.py", shape, function, *arguments],
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if done.returncode != 0:
        complain(who, done.returncode, done.stderr)
    return done.returncode == 0


def ask(who, command, env):
    """The JSON object that a process prints last, or None with the reason on standard error."""
    done = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    complain(who, done.returncode, done.stderr)
    return None


def visit_all(names, n_rounds, visit):
    """Name -> what visit(name) gave in each round. Every other round goes backwards; whose visit
    gives None is not visited again."""
    answers, dropped = {}, set()
    for number in range(n_rounds):
        for name in names if number % 2 == 0 else list(reversed(names)):
            if name in dropped:
                continue
            started, load = time.monotonic(), load_average()
            answer = visit(name)
            if answer is None:
                dropped.add(name)
                continue
            answers.setdefault(name, []).append(answer)
            seconds = time.monotonic() - started
            print(f"round {number + 1}: {name}, {seconds:.0f} s, load {load:.1f}", file=sys.stderr)
    return answers
