#!/bin/sh
# Kills a training run by SIGKILL at random moments and resumes it, over and over, and compares the
# adapter that comes out with that of a run left alone: the bytes must be the same.
#
#     tools/torture.sh build/release/slant [SECONDS]
set -eu

slant=$1
seconds=${2:-60}
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/base"
ln -s "$root/tests/golden/models/llama/config.json" "$root/tests/golden/models/llama/model.safetensors" \
    "$root/tests/golden/models/tokenizer.json" "$work/base"

train() { # OUTPUT
    exec "$slant" train --quiet --model "$work/base" --output-dir "$1" \
        --train "$root/tests/golden/train/trainer/train.jsonl" \
        --eval "$root/tests/golden/train/trainer/eval.jsonl" --labels Left,Center,Right \
        --target-modules all-linear --lora-dropout 0.1 --learning-rate 1e-3 --fp16 \
        --per-device-train-batch-size 4 --gradient-accumulation-steps 2 --max-steps 60 \
        --optim paged_adamw_32bit --logging-steps 1 --eval-strategy steps --eval-steps 7 \
        --save-steps 5 --save-total-limit 3 --resume-from-checkpoint last
}

start=$(date +%s%N)
(train "$work/whole")
whole=$((($(date +%s%N) - start) / 1000000))
want=$(sha256sum <"$work/whole/adapter_model.safetensors")
end=$(($(date +%s) + seconds))
runs=0 kills=0
while [ "$(date +%s)" -lt "$end" ]; do
    rm -rf "$work/out"
    while :; do
        (train "$work/out") &
        child=$!
        moment=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
        sleep "$(awk "BEGIN { print $moment % $((whole + 50)) / 1000 }")"
        kill -KILL "$child" 2>/dev/null || true
        status=0
        wait "$child" 2>/dev/null || status=$?
        case $status in
        0) break ;;
        137) kills=$((kills + 1)) ;; # by the signal; anything else is a failure of its own
        *)
            echo "torture: after $kills kills a run ended with exit status $status" >&2
            exit 1
            ;;
        esac
    done
    if [ "$(sha256sum <"$work/out/adapter_model.safetensors")" != "$want" ]; then
        echo "torture: the adapter differs after $kills kills" >&2
        exit 1
    fi
    runs=$((runs + 1))
done
echo "torture: $runs runs, $kills kills, every adapter the same to the bit"
