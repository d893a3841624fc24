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

import json
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import load_file

from golden_parts import (
    BIAS_LABELS,
    OLD_STYLE,
    VOCAB,
    Weights,
    changed,
    llama,
    llama3_factors,
    make_tokenizer,
    names,
    shard_name,
    write_bnb,
    write_gguf,
    write_json,
    write_sharded,
    write_tensors,
)
from golden_reference import TEXTS, answers, peft_adapter, reference_base, trainer_output
from nf4_reference import LINEARS, expand_checkpoint, round_linears

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "models"


def lay_out(files, folder):
    """Puts a case's files where it says, as the test does."""
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(OUT / source, target)


# --- the cases ---------------------------------------------------------------------------------


class Goldens:
    def __init__(self):
        self.tokenizers = {
            "tokenizer.json": make_tokenizer(True),
            "tokenizer-nobos.json": make_tokenizer(False),
        }
        for name, tokenizer in self.tokenizers.items():
            (OUT / name).write_text(tokenizer.to_str())
        self.tokenizer = self.tokenizers["tokenizer.json"]
        self.cases = []

    def config(self, path, config):
        write_json(OUT / path, config)
        return path

    def case(
        self,
        name,
        model,
        adapter=None,
        tensors=None,
        config_changes=None,
        options=None,
        adapter_reference=None,
        tokenizer="tokenizer.json",
        labels=None,
        open_as="",
        reference_config=None,
    ):
        """model, adapter: {"name in the directory": "file here"}. adapter_reference: the files that
        PEFT is given instead where it cannot load those of the case itself. open_as: the file in
        the laid out directory that is opened; "" the directory. reference_config: config.json for
        transformers where the model brings none."""
        from peft import PeftModel

        print(name, flush=True)
        if not open_as:
            model = {**model, "tokenizer.json": tokenizer}
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            lay_out(model, scratch / "model")
            if reference_config:
                write_json(scratch / "model/config.json", reference_config)
            count = labels
            if adapter:
                lay_out(adapter_reference or adapter, scratch / "adapter")
                peft = load_file(scratch / "adapter" / "adapter_model.safetensors")
                count = next(t for n, t in peft.items() if "score" in n).shape[0]
            reference = reference_base(scratch / "model", tensors, config_changes, count)
            if adapter:
                reference = PeftModel.from_pretrained(reference, scratch / "adapter").eval()
                reference.float()
            function, rows = answers(reference, self.tokenizers[tokenizer])
            config = reference.base_model.model.config if adapter else reference.config
            id2label = [config.id2label[i] for i in range(config.num_labels)]
        self.cases.append(
            {
                "name": name,
                "model": model,
                "open": open_as,
                "adapter": adapter or {},
                "options": options or {},
                "tokenizer": tokenizer,
                "labels": id2label,
                "function": function,
                "articles": rows,
            }
        )

    def write(self):
        texts = [
            {"text": text, **{name: t.encode(text).ids for name, t in self.tokenizers.items()}}
            for text in TEXTS
        ]
        lines = [json.dumps(case) for case in self.cases]
        (OUT / "expected.json").write_text(
            '{"texts": '
            + json.dumps(texts, indent=1)
            + ',\n"cases": [\n'
            + ",\n".join(lines)
            + "\n]}\n"
        )


def adapter_files(name):
    return {f: f"adapters/{name}/{f}" for f in ("adapter_config.json", "adapter_model.safetensors")}


def headed(config, labels):
    """The one Llama body and a head of so many labels, as two shards."""
    return {
        "config.json": config,
        shard_name(1): "llama/model.safetensors",
        shard_name(2): f"heads/{labels}/score.safetensors",
        "model.safetensors.index.json": f"heads/{labels}/model.safetensors.index.json",
    }


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
