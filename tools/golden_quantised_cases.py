"""The cases with quantised weights: bitsandbytes', on load, and GGUF. make_model_goldens.py puts it all together;
this does nothing by itself.
"""

import json
import pathlib
import tempfile

import torch
from safetensors.torch import load_file

from golden_cases import OUT, adapter_files
from golden_parts import (
    BIAS_LABELS,
    Weights,
    changed,
    llama,
    llama3_factors,
    write_bnb,
    write_gguf,
    write_json,
    write_tensors,
)
from golden_reference import peft_adapter
from nf4_reference import LINEARS, expand_checkpoint, round_linears


def bitsandbytes_cases(g):
    """Serialised NF4, with and without double quantisation, and rows that split blocks."""
    cls = dict(architectures=["LlamaForSequenceClassification"], **BIAS_LABELS)
    plans = {
        # 128 × 192 is 384 blocks: more than one nested block of 256.
        "bnb-double": (llama(**cls, hidden_size=128, intermediate_size=192, head_dim=32), True, 20),
        "bnb-plain": (llama(**cls, intermediate_size=128), False, 21),
        # 96 and 160 inputs: a block of 64 runs over the end of a row.
        "bnb-odd": (
            llama(**cls, hidden_size=96, intermediate_size=160, head_dim=24, num_hidden_layers=1),
            True,
            22,
        ),
    }
    for name, (config, double, seed) in plans.items():
        write_bnb(OUT / name, config, Weights(seed).model(config, 3), double)
        expanded = expand_checkpoint(load_file(OUT / name / "model.safetensors"))
        g.case(
            name, {f: f"{name}/{f}" for f in ("config.json", "model.safetensors")}, tensors=expanded
        )
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        config, _, seed = plans["bnb-plain"]
        write_json(scratch / "config.json", config)
        write_tensors(scratch / "model.safetensors", Weights(seed).model(config, 3), torch.bfloat16)
        peft_adapter(
            OUT / "adapters/bnb", scratch, 111, r=2, lora_alpha=8, target_modules="all-linear"
        )
    g.case(
        "bnb-plain-adapter",
        {f: f"bnb-plain/{f}" for f in ("config.json", "model.safetensors")},
        adapter_files("bnb"),
        tensors=expand_checkpoint(load_file(OUT / "bnb-plain/model.safetensors")),
    )


def load_in_4bit_cases(g):
    """Plain checkpoints quantised on load."""
    for name, files in (
        (
            "llama-f32",
            {
                "config.json": "llama-f32/config.json",
                "model.safetensors": "llama-f32/model.safetensors",
            },
        ),
        (
            "qwen2",
            {
                "config.json": "qwen2/config-window.json",
                "model.safetensors": "qwen2/model.safetensors",
            },
        ),
    ):
        g.case(
            name + "-load-in-4bit",
            files,
            options={"load_in_4bit": True},
            tensors=round_linears(load_file(OUT / files["model.safetensors"])),
        )


def gguf_cases(g):
    """Every block type that slant reads; the head comes from an adapter."""

    def run(
        name,
        config,
        tensors,
        kind_of,
        adapter,
        options=None,
        reference=None,
        config_changes=None,
        **more,
    ):
        expanded = write_gguf(
            OUT / f"gguf/{name}.gguf", config, tensors, g.tokenizer, kind_of, **more
        )
        g.case(
            f"gguf-{name}",
            {"model.gguf": f"gguf/{name}.gguf"},
            adapter_files(adapter),
            tensors=(reference or (lambda t: t))(expanded),
            options=options,
            open_as="model.gguf",
            reference_config=changed(
                {**config, **(config_changes or {})}, id2label=None, label2id=None
            ),
        )

    one_layer = llama(num_hidden_layers=1, intermediate_size=64)
    tensors = Weights(30).model(one_layer)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        write_json(scratch / "config.json", one_layer)
        write_tensors(scratch / "model.safetensors", tensors)
        peft_adapter(OUT / "adapters/one-layer", scratch, 112, r=2, lora_alpha=4)
    for kind in ("F32", "F16", "BF16"):
        run(kind.lower(), one_layer, tensors, lambda module, kind=kind: kind, "one-layer")
    two = load_file(OUT / "llama/model.safetensors")
    for kind in ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"):
        run(
            kind.lower(),
            llama(),
            two,
            lambda module, kind=kind: "Q8_0" if module == "token_embd" else kind,
            "default",
            output=kind == "Q4_0",
        )
    run(
        "q4_1-load-in-4bit",
        llama(),
        two,
        lambda module: "Q8_0" if module == "token_embd" else "Q4_1",
        "default",
        options={"load_in_4bit": True},
        reference=round_linears,
    )
    (OUT / "gguf/q4_1-load-in-4bit.gguf").unlink()
    g.cases[-1]["model"] = {"model.gguf": "gguf/q4_1.gguf"}
    # One type a module, llama3 scaling as a tensor.
    kinds = dict(
        zip(LINEARS, ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_1", "Q4_1")), token_embd="Q5_0"
    )
    theta = llama(rope_parameters={"rope_theta": 500000.0, "rope_type": "default"})
    run(
        "mixed",
        theta,
        two,
        kinds.get,
        "default",
        rope_freqs=llama3_factors(500000.0, 16, 8.0, 1.0, 4.0, 64),
        config_changes={
            "rope_parameters": {
                "factor": 8.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "rope_theta": 500000.0,
                "original_max_position_embeddings": 64,
                "rope_type": "llama3",
            }
        },
    )
    for arch in ("qwen2", "qwen3"):
        config = json.loads(
            (OUT / f"{arch}/config{'-full' if arch == 'qwen2' else ''}.json").read_text()
        )
        tensors = load_file(OUT / f"{arch}/model.safetensors")
        tensors.pop("score.weight")
        run(arch, config, tensors, lambda module: "Q8_0", arch)
