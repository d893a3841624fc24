#!/usr/bin/env python3
"""Makes tests/golden/models: tiny models with what transformers, PEFT and bitsandbytes answer.

    pip install torch==2.13.0 transformers==5.23.0 peft==0.21.2 bitsandbytes==0.50.2 gguf==0.19.0
    python tools/make_model_goldens.py

Nothing here asks slant anything. The reference is transformers + PEFT with dtype=float32 on a CPU;
quantised weights are expanded to fp32 first and run as plain linear layers (bitsandbytes repacks
weights in place on its first evaluation on some CPUs, and would then not be the reference).

expected.json lists the cases. A case names the files that make up its model and its adapter, as
{"name in the directory": "file under tests/golden/models"}: configurations share weights that way,
and the test lays the directories out before it opens them.
"""

import shutil

import torch
from safetensors.torch import load_file

from golden_adapter_cases import adapter_cases
from golden_cases import OUT, Goldens, headed
from golden_parts import (
    BIAS_LABELS,
    OLD_STYLE,
    Weights,
    changed,
    llama,
    names,
    shard_name,
    write_json,
    write_sharded,
    write_tensors,
)
from golden_quantised_cases import bitsandbytes_cases, gguf_cases, load_in_4bit_cases


def base_cases(g):
    """Configurations and architectures, with and without a head in the base."""
    weights = Weights(1).model(llama())
    write_tensors(OUT / "llama/model.safetensors", weights, torch.bfloat16)
    g.config("llama/config.json", llama())
    small = dict(hidden_size=48, intermediate_size=80, num_attention_heads=3, num_key_value_heads=1)

    # The head comes from a second shard, so that one set of weights serves many configurations.
    body = load_file(OUT / "llama/model.safetensors")
    for labels in (1, 3, 4):
        folder = OUT / f"heads/{labels}"
        head = {"score.weight": Weights(10 + labels).head(labels, 64)}
        write_tensors(folder / "score.safetensors", head, torch.bfloat16)
        write_json(
            folder / "model.safetensors.index.json",
            {
                "metadata": {
                    "total_size": sum(2 * t.numel() for t in (*body.values(), *head.values()))
                },
                "weight_map": {**{n: shard_name(1) for n in body}, "score.weight": shard_name(2)},
            },
        )

    def with_head(name, config, labels=3, **more):
        g.config(f"llama/config-{name}.json", config)
        g.case("llama-" + name, headed(f"llama/config-{name}.json", labels), **more)

    cls = dict(architectures=["LlamaForSequenceClassification"])
    old = {**OLD_STYLE, **cls}
    llama3 = {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 64,
        "rope_type": "llama3",
    }
    with_head("new-style", llama(**cls, **BIAS_LABELS))
    with_head("old-style", llama(**old, **BIAS_LABELS))
    with_head("no-rope-keys", llama(**{**old, "rope_theta": None}, **BIAS_LABELS))
    with_head("theta-old", llama(**{**old, "rope_theta": 500.0}, **BIAS_LABELS))
    with_head(
        "theta-new",
        llama(**cls, **BIAS_LABELS, rope_parameters={"rope_theta": 500.0, "rope_type": "default"}),
    )
    with_head(
        "both-styles",
        llama(
            **cls,
            **BIAS_LABELS,
            rope_theta=700.0,
            rope_scaling={"type": "linear", "factor": 2.0},
            rope_parameters={"rope_theta": 50000.0, "rope_type": "default"},
        ),
    )
    with_head(
        "linear-type", llama(**old, **BIAS_LABELS, rope_scaling={"type": "linear", "factor": 4.0})
    )
    with_head(
        "linear-new",
        llama(
            **cls,
            **BIAS_LABELS,
            rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
        ),
    )
    with_head(
        "llama3-old", llama(**{**old, "rope_theta": 500000.0}, **BIAS_LABELS, rope_scaling=llama3)
    )
    with_head(
        "llama3-new",
        llama(**cls, **BIAS_LABELS, rope_parameters={**llama3, "rope_theta": 500000.0}),
    )
    with_head(
        "llama3-no-original",
        llama(
            **old,
            **BIAS_LABELS,
            max_position_embeddings=160,
            rope_scaling={
                k: v for k, v in llama3.items() if k != "original_max_position_embeddings"
            },
        ),
    )
    with_head("eps-absent", llama(**cls, **BIAS_LABELS, rms_norm_eps=None))
    with_head(
        "other-heads",
        llama(**cls, **BIAS_LABELS, head_dim=32, num_attention_heads=2, num_key_value_heads=1),
    )
    with_head("pad-null", llama(**cls, **BIAS_LABELS, pad_token_id=None))
    with_head("pad-is-eos", llama(**cls, **BIAS_LABELS, pad_token_id=1, eos_token_id=[1, 2]))
    with_head("no-bos", llama(**cls, **BIAS_LABELS), tokenizer="tokenizer-nobos.json")
    with_head(
        "label-names-absent", llama(**cls, id2label={str(i): f"LABEL_{i}" for i in range(4)}), 4
    )
    with_head("label2id-absent", llama(**cls, id2label=BIAS_LABELS["id2label"]))
    with_head("regression", llama(**cls, **names("slant"), problem_type="regression"), 1)
    with_head("one-label", llama(**cls, **names("slanted")), 1)
    with_head(
        "multi-label",
        llama(**cls, **names("a", "b", "c", "d"), problem_type="multi_label_classification"),
        4,
    )
    with_head("regression-many", llama(**cls, **BIAS_LABELS, problem_type="regression"))
    with_head(
        "single-label", llama(**cls, **BIAS_LABELS, problem_type="single_label_classification")
    )

    def single(name, config, dtype, seed, labels=3, lm_head=False, extra=None, configs=None):
        write_tensors(
            OUT / name / "model.safetensors",
            {**Weights(seed).model(config, labels, lm_head), **(extra or {})},
            dtype,
        )
        for variant, changed_config in (configs or {"": config}).items():
            file = g.config(f"{name}/config{'-' if variant else ''}{variant}.json", changed_config)
            g.case(
                name + ("-" + variant if variant else ""),
                {"config.json": file, "model.safetensors": f"{name}/model.safetensors"},
            )

    single("llama-f32", llama(**cls, **BIAS_LABELS, **small, dtype="float32"), torch.float32, 2)
    bias = llama(
        **cls,
        **BIAS_LABELS,
        attention_bias=True,
        mlp_bias=True,
        num_attention_heads=2,
        num_key_value_heads=None,
        head_dim=24,
    )
    single("llama-bias", bias, torch.bfloat16, 3)

    # fp16, four query heads to a kv head, two shards, an untied lm_head and old rotary buffers.
    wide = llama(
        **{**old, "torch_dtype": "float16"},
        **BIAS_LABELS,
        num_key_value_heads=1,
        tie_word_embeddings=False,
    )
    tensors = Weights(4).model(wide, 3, lm_head=True)
    buffers = {
        f"model.layers.{i}.self_attn.rotary_emb.inv_freq": 10000.0 ** (-torch.arange(0, 16, 2) / 16)
        for i in range(2)
    }
    first = {n: t for n, t in tensors.items() if "layers.1" not in n and n != "score.weight"}
    second = {n: t for n, t in tensors.items() if n not in first}
    write_sharded(OUT / "llama-f16", [{**first, **buffers}, second], torch.float16)
    g.config("llama-f16/config.json", wide)
    g.case(
        "llama-f16-sharded",
        {f.name: f"llama-f16/{f.name}" for f in sorted((OUT / "llama-f16").iterdir())},
    )

    mistral = changed(
        llama(),
        architectures=["MistralForSequenceClassification"],
        model_type="mistral",
        attention_bias=None,
        mlp_bias=None,
        sliding_window=16,
        **BIAS_LABELS,
    )
    single(
        "mistral",
        mistral,
        torch.bfloat16,
        5,
        configs={
            "window": mistral,
            "full": {**mistral, "sliding_window": None},
            "window-absent": changed(mistral, sliding_window=None, head_dim=None),
        },
    )

    qwen2 = changed(
        llama(),
        architectures=["Qwen2ForSequenceClassification"],
        model_type="qwen2",
        attention_bias=None,
        mlp_bias=None,
        head_dim=None,
        num_hidden_layers=3,
        sliding_window=16,
        max_window_layers=1,
        use_sliding_window=True,
        **BIAS_LABELS,
    )
    single(
        "qwen2",
        qwen2,
        torch.bfloat16,
        6,
        configs={
            "window": qwen2,
            "full": {**qwen2, "use_sliding_window": False},
            "layer-types": {
                **qwen2,
                "layer_types": ["sliding_attention", "full_attention", "full_attention"],
            },
        },
    )

    qwen3 = changed(
        llama(),
        architectures=["Qwen3ForSequenceClassification"],
        model_type="qwen3",
        mlp_bias=None,
        head_dim=32,
        num_attention_heads=4,
        num_key_value_heads=1,
        sliding_window=None,
        max_window_layers=2,
        use_sliding_window=False,
        **BIAS_LABELS,
    )
    single("qwen3", qwen3, torch.bfloat16, 7)


def main():
    torch.set_num_threads(1)
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    goldens = Goldens()
    base_cases(goldens)
    adapter_cases(goldens)
    bitsandbytes_cases(goldens)
    load_in_4bit_cases(goldens)
    gguf_cases(goldens)
    goldens.write()
    size = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file())
    print(f"{len(goldens.cases)} cases, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
