"""The models that the comparison runs on, made once into a cache folder.

Two shapes:
  llama-3.2-1b   random weights from a fixed seed in Llama-3.2-1B's shape, saved in bfloat16 as a
                 Hugging Face directory (speed does not depend on the values)
  smollm2-8      the first eight layers of SmolLM2-135M with a random score head: the shape of the
                 default model

Each as a Hugging Face directory, as a bitsandbytes NF4 checkpoint, as OpenVINO IR in several
weight formats, as GGUF for llama.cpp and as .slant; every form is made when a peer asks for it.
"""

import json
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import smollm2_reference  # noqa: E402

SEED = 20240925

LLAMA_1B = {
    "architectures": ["LlamaForSequenceClassification"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "id2label": {"0": "Left", "1": "Center", "2": "Right"},
    "initializer_range": 0.02,
    "intermediate_size": 8192,
    "label2id": {"Left": 0, "Center": 1, "Right": 2},
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "pad_token_id": 128004,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}

SMOLLM2_8 = {
    "architectures": ["LlamaForSequenceClassification"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "id2label": {"0": "Left", "1": "Center", "2": "Right"},
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "label2id": {"Left": 0, "Center": 1, "Right": 2},
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 8,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 49152,
}

CONFIGS = {"llama-3.2-1b": LLAMA_1B, "smollm2-8": SMOLLM2_8}


def cache_dir():
    base = os.environ.get("SLANT_BENCH_CACHE")
    if base:
        return pathlib.Path(base)
    return (
        pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
        / "slant-bench"
    )


def linear_parameters(config):
    """Weights of the linear layers of one pass: what a token is multiplied with."""
    hidden, inter = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim") or hidden // config["num_attention_heads"]
    q = config["num_attention_heads"] * head_dim
    kv = config["num_key_value_heads"] * head_dim
    per_layer = hidden * (q + 2 * kv) + q * hidden + 3 * hidden * inter
    return per_layer * config["num_hidden_layers"]


def _made(path, make):
    """Makes a folder or file under a temporary name and renames it: a cut run leaves no half."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part-" + path.name)
    if part.is_dir():
        shutil.rmtree(part)
    make(part)
    os.rename(part, path)
    return path


def hf_dir(shape):
    """The Hugging Face directory of a shape, in bfloat16."""
    config = CONFIGS[shape]

    def make(path):
        import torch
        from gguf import GGUFReader
        from safetensors.torch import save_file

        path.mkdir()
        generator = torch.Generator().manual_seed(SEED)
        hidden, inter = config["hidden_size"], config["intermediate_size"]
        head_dim = config.get("head_dim") or hidden // config["num_attention_heads"]
        q, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
        shapes = {
            "model.embed_tokens.weight": (config["vocab_size"], hidden),
            "model.norm.weight": (hidden,),
            "score.weight": (3, hidden),
        }
        for i in range(config["num_hidden_layers"]):
            for name, shape_ in (
                ("input_layernorm", (hidden,)),
                ("post_attention_layernorm", (hidden,)),
                ("self_attn.q_proj", (q, hidden)),
                ("self_attn.k_proj", (kv, hidden)),
                ("self_attn.v_proj", (kv, hidden)),
                ("self_attn.o_proj", (hidden, q)),
                ("mlp.gate_proj", (inter, hidden)),
                ("mlp.up_proj", (inter, hidden)),
                ("mlp.down_proj", (hidden, inter)),
            ):
                shapes[f"model.layers.{i}.{name}.weight"] = shape_
        tensors = {}
        for name, shape_ in shapes.items():
            if len(shape_) == 1:
                tensors[name] = torch.ones(shape_, dtype=torch.bfloat16)
            else:
                values = torch.empty(shape_, dtype=torch.bfloat16)
                tensors[name] = values.normal_(0, config["initializer_range"], generator=generator)
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        smollm2_reference.gguf_tokenizer(GGUFReader(smollm2_reference.gguf_path())).save(
            str(path / "tokenizer.json")
        )

    return _made(cache_dir() / shape / "hf", make)


def load_transformers(shape, dtype):
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(hf_dir(shape), dtype=dtype)
    return model.eval().requires_grad_(False)


def nf4_dir(shape):
    """bitsandbytes NF4 with double quantisation, bfloat16 compute, saved before any evaluation."""

    def make(path):
        import torch
        from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

        quantisation = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        model = AutoModelForSequenceClassification.from_pretrained(
            hf_dir(shape), dtype=torch.bfloat16, quantization_config=quantisation, device_map="cpu"
        )
        model.save_pretrained(path)

    return _made(cache_dir() / shape / "nf4", make)


def openvino_ir(shape, weights):
    """OpenVINO IR; weights: "bf16", "int8" (per channel) or "int4" (symmetric, group 64)."""

    def make(path):
        import nncf
        import openvino as ov
        import torch

        class Pooled(torch.nn.Module):
            """The logits of the last real token, given its index."""

            def __init__(self, model):
                super().__init__()
                self.model = model

            def forward(self, input_ids, attention_mask, last):
                hidden = self.model.model(
                    input_ids=input_ids, attention_mask=attention_mask, use_cache=False
                ).last_hidden_state
                rows = hidden[torch.arange(hidden.shape[0]), last]
                return self.model.score(rows)

        path.mkdir()
        model = Pooled(load_transformers(shape, torch.float32))
        example = {
            "input_ids": torch.ones(2, 8, dtype=torch.int64),
            "attention_mask": torch.ones(2, 8, dtype=torch.int64),
            "last": torch.full((2,), 7, dtype=torch.int64),
        }
        converted = ov.convert_model(model, example_input=example)
        for port in converted.inputs:
            port.get_node().set_partial_shape(ov.PartialShape([-1] * len(port.partial_shape)))
        converted.validate_nodes_and_infer_types()
        if weights == "int8":
            converted = nncf.compress_weights(converted, mode=nncf.CompressWeightsMode.INT8_SYM)
        elif weights == "int4":
            converted = nncf.compress_weights(
                converted, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=64, ratio=1.0
            )
        ov.save_model(converted, path / "model.xml", compress_to_fp16=weights == "bf16")

    return _made(cache_dir() / shape / f"openvino-{weights}", make) / "model.xml"


def gguf_file(shape, kind):
    """GGUF for llama.cpp with the linear weights in Q4_0 or Q8_0, without a vocabulary."""
    config = CONFIGS[shape]

    def make(path):
        import gguf
        import numpy as np
        import torch
        from safetensors import safe_open

        names = {
            "self_attn.q_proj": "attn_q",
            "self_attn.k_proj": "attn_k",
            "self_attn.v_proj": "attn_v",
            "self_attn.o_proj": "attn_output",
            "mlp.gate_proj": "ffn_gate",
            "mlp.up_proj": "ffn_up",
            "mlp.down_proj": "ffn_down",
            "input_layernorm": "attn_norm",
            "post_attention_layernorm": "ffn_norm",
        }
        writer = gguf.GGUFWriter(path, "llama")
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_rope_dimension_count(head_dim)
        writer.add_rope_freq_base(config["rope_theta"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        writer.add_vocab_size(config["vocab_size"])
        writer.add_tokenizer_model("none")
        block_type = gguf.GGMLQuantizationType[kind]
        with safe_open(hf_dir(shape) / "model.safetensors", "pt") as source:
            for name in source.keys():
                values = source.get_tensor(name).to(torch.float32).numpy()
                if name == "score.weight":
                    continue
                if name == "model.embed_tokens.weight":
                    target = "token_embd.weight"
                elif name == "model.norm.weight":
                    target = "output_norm.weight"
                else:
                    _, _, layer, module = name.removesuffix(".weight").split(".", 3)
                    target = f"blk.{layer}.{names[module]}.weight"
                if values.ndim == 1:
                    writer.add_tensor(target, values.astype(np.float32))
                else:
                    wanted = (
                        gguf.GGMLQuantizationType.Q8_0 if "token_embd" in target else block_type
                    )
                    writer.add_tensor(target, gguf.quantize(values, wanted), raw_dtype=wanted)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    return _made(cache_dir() / shape / f"{kind.lower()}.gguf", make)


def slant_model(shape, program):
    """(model, adapter) for slant: the default model itself, or the shape imported in 4 bits."""
    if shape == "smollm2-8":
        folder = pathlib.Path(__file__).resolve().parent.parent / "models" / "news-bias"
        return folder / "base.slant", folder

    def make(path):
        import subprocess

        subprocess.run([program, "import", hf_dir(shape), "--load-in-4bit", "-o", path], check=True)

    return _made(cache_dir() / shape / "base.slant", make), "-"
