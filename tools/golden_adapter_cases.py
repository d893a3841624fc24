"""The cases with adapters: PEFT's, today's, older and odd. make_model_goldens.py puts it all
together; this does nothing by itself.
"""

import json
import pathlib
import tempfile

import torch
from safetensors.torch import load_file

from golden_cases import OUT, adapter_files, headed, lay_out
from golden_parts import VOCAB, Weights, write_json, write_tensors
from golden_reference import peft_adapter, trainer_output
from nf4_reference import round_linears


def adapter_cases(g):
    """PEFT adapters, today's, older and odd, over one causal base without a head."""
    base = {"config.json": "llama/config.json", "model.safetensors": "llama/model.safetensors"}
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

    def made(name, seed, on="llama", **settings):
        return peft_adapter(OUT / f"adapters/{name}", OUT / on, seed, **settings)

    def edited(name, source, config_edit=None, tensor_edit=None, reference=None):
        """A second adapter from source's files; reference: what PEFT is given instead."""
        config = json.loads((OUT / f"adapters/{source}/adapter_config.json").read_text())
        tensors = load_file(OUT / f"adapters/{source}/adapter_model.safetensors")
        files = adapter_files(source)
        if config_edit:
            write_json(OUT / f"adapters/{name}/adapter_config.json", config_edit(config))
            files["adapter_config.json"] = f"adapters/{name}/adapter_config.json"
        if tensor_edit:
            write_tensors(OUT / f"adapters/{name}/adapter_model.safetensors", tensor_edit(tensors))
            files["adapter_model.safetensors"] = f"adapters/{name}/adapter_model.safetensors"
        g.case(
            "adapter-" + name,
            base,
            files,
            adapter_reference=adapter_files(reference) if reference else None,
        )

    made("default", 100, r=4, lora_alpha=16)
    g.case("adapter-default", base, adapter_files("default"))
    g.case(
        "adapter-default-load-in-4bit",
        base,
        adapter_files("default"),
        tensors=round_linears(load_file(OUT / "llama/model.safetensors")),
        options={"load_in_4bit": True},
    )
    made("all-linear", 101, r=2, lora_alpha=8, lora_dropout=0.1, target_modules="all-linear")
    g.case("adapter-all-linear", base, adapter_files("all-linear"))
    made(
        "patterns",
        102,
        r=3,
        lora_alpha=6,
        target_modules=every,
        rank_pattern={"q_proj": 1, "layers.1.mlp.down_proj": 5},
        alpha_pattern={"v_proj": 12, r"layers\.0\.self_attn\.o_proj": 2},
    )
    g.case("adapter-patterns", base, adapter_files("patterns"))
    made("rslora", 103, r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "up_proj"])
    g.case("adapter-rslora", base, adapter_files("rslora"))
    made(
        "layers",
        104,
        r=2,
        lora_alpha=4,
        layers_to_transform=[1],
        target_modules=["v_proj", "down_proj"],
    )
    g.case("adapter-layers-to-transform", base, adapter_files("layers"))
    edited(
        "layers-int",
        "layers",
        lambda c: {**c, "layers_to_transform": 1, "layers_pattern": "layers"},
    )
    made(
        "regex",
        105,
        r=2,
        lora_alpha=4,
        target_modules=r".*\.layers\.[01]\.(self_attn\.(q|o)_proj|mlp\.gate_proj)",
    )
    g.case("adapter-regex", base, adapter_files("regex"))
    made(
        "exclude",
        106,
        r=2,
        lora_alpha=4,
        target_modules=every,
        exclude_modules=["k_proj", "o_proj"],
    )
    g.case("adapter-exclude", base, adapter_files("exclude"))
    made("f16", 107, r=2, lora_alpha=4, tensor_dtype=torch.float16)
    g.case("adapter-f16", base, adapter_files("f16"))
    made("bf16", 108, r=2, lora_alpha=4, tensor_dtype=torch.bfloat16)
    g.case("adapter-bf16", base, adapter_files("bf16"))
    edited(
        "mixed-dtypes",
        "default",
        tensor_edit=lambda t: {
            n: v.to(
                torch.bfloat16
                if "score" in n
                else torch.float16
                if "lora_A" in n
                else torch.float32
            )
            for n, v in t.items()
        },
    )
    edited("all-linear-string", "all-linear", lambda c: {**c, "target_modules": "all-linear"})
    edited(
        "duplicates",
        "default",
        lambda c: {**c, "modules_to_save": ["classifier", "score", "classifier", "score"]},
    )
    edited("modules-null", "default", lambda c: {**c, "modules_to_save": None})
    edited(
        "peft-0.3",
        "default",
        lambda c: {
            "base_model_name_or_path": "example/tiny-base",
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "init_lora_weights": True,
            "lora_alpha": 16,
            "lora_dropout": 0.1,
            "modules_to_save": ["classifier", "score"],
            "peft_type": "LORA",
            "r": 4,
            "target_modules": ["q_proj", "v_proj"],
            "task_type": "SEQ_CLS",
        },
    )
    edited(
        "peft-0.2",
        "default",
        lambda c: {
            "base_model_name_or_path": "example/tiny-base",
            "bias": "none",
            "enable_lora": None,
            "fan_in_fan_out": False,
            "inference_mode": True,
            "lora_alpha": 16,
            "lora_dropout": 0.1,
            "merge_weights": False,
            "modules_to_save": ["classifier", "score"],
            "peft_type": "LORA",
            "r": 4,
            "target_modules": ["q_proj", "v_proj"],
            "task_type": "SEQ_CLS",
        },
    )
    edited(
        "odd-values",
        "default",
        lambda c: {
            **c,
            "lora_alpha": 16.0,
            "use_rslora": None,
            "use_dora": None,
            "fan_in_fan_out": True,
            "layers_pattern": [],
            "bias": "lora_only",
            "task_type": "SEQ_CLS",
            "runtime_config": {"ephemeral_gpu_offload": False},
            "a_key_of_tomorrow": {"x": 1},
        },
    )
    edited(
        "named-default",
        "default",
        tensor_edit=lambda t: {
            n.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default."): v
            for n, v in t.items()
        },
        reference="default",
    )
    edited(
        "score-modules-to-save",
        "default",
        tensor_edit=lambda t: {
            n.replace("model.score.weight", "model.score.modules_to_save.default.weight"): v
            for n, v in t.items()
        },
        reference="default",
    )
    edited(
        "score-original-module",
        "default",
        tensor_edit=lambda t: {
            **t,
            "base_model.model.score.original_module.weight": torch.ones(3, 64),
        },
    )
    edited(
        "embedding",
        "default",
        tensor_edit=lambda t: {
            **t,
            "base_model.model.model.embed_tokens.weight": Weights(120)
            .normal(VOCAB, 64, std=1.0)
            .to(torch.bfloat16),
        },
    )

    trainer_output(OUT / "adapters/output", OUT / "llama", g.tokenizer, 130)
    files = {
        str(f.relative_to(OUT / "adapters/output")): str(f.relative_to(OUT))
        for f in sorted((OUT / "adapters/output").rglob("*"))
        if f.is_file()
    }
    states = {
        n: json.loads((OUT / s).read_text()) for n, s in files.items() if n.endswith("state.json")
    }
    newest = states["checkpoint-12/trainer_state.json"]
    best = pathlib.Path(newest["best_model_checkpoint"]).name
    assert best != "checkpoint-12", "the best checkpoint should not be the last one"
    for choice, source in (
        ("", ""),
        ("last", "checkpoint-12/"),
        ("best", best + "/"),
        ("4", "checkpoint-4/"),
    ):
        g.case(
            "adapter-output" + ("-" + choice if choice else ""),
            base,
            files,
            adapter_reference={f: f"adapters/output/{source}{f}" for f in adapter_files("x")},
            options={"checkpoint": choice} if choice else {},
        )
    without = {n: s for n, s in files.items() if n.startswith("checkpoint-")}
    g.case(
        "adapter-output-checkpoints-only",
        base,
        without,
        adapter_reference={f: f"adapters/output/checkpoint-12/{f}" for f in adapter_files("x")},
    )

    # A base that has a head of its own, and bases of the other architectures.
    g.case("adapter-over-head", headed("llama/config-new-style.json", 3), adapter_files("default"))
    for arch, config in (
        ("mistral", "config-window.json"),
        ("qwen2", "config-window.json"),
        ("qwen3", "config.json"),
    ):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            lay_out(
                {
                    "config.json": f"{arch}/{config}",
                    "model.safetensors": f"{arch}/model.safetensors",
                },
                scratch,
            )
            peft_adapter(OUT / f"adapters/{arch}", scratch, 110, r=2, lora_alpha=4)
        g.case(
            "adapter-" + arch,
            {"config.json": f"{arch}/{config}", "model.safetensors": f"{arch}/model.safetensors"},
            adapter_files(arch),
        )
