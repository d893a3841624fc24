"""The models that the comparison runs on, made once into a cache folder.

Two shapes:
  llama-3.2-1b   random weights from a fixed seed in Llama-3.2-1B's shape, saved in bfloat16 as a
                 Hugging Face directory (speed does not depend on the values)
  smollm2-8      the base of the default model: the first eight layers of SmolLM2-135M, the linear
                 weights rounded to NF4, with a random score head

Each as a Hugging Face directory, as a bitsandbytes NF4 checkpoint, as OpenVINO IR and as ONNX in
several weight formats, as GGUF for llama.cpp and as .slant; every form is made when a peer asks for
it:

    python models.py SHAPE FUNCTION [ARGUMENT]...      e.g. llama-3.2-1b openvino_ir int8

slant runs a LoRA adapter beside the weights (r = 16, on q_proj and v_proj or on all linear
layers); the others have it merged, which costs them nothing.
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


def _sizes(config):
    """(inputs, outputs) of a layer's linear modules."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim") or hidden // config["num_attention_heads"]
    q, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    return {
        "self_attn.q_proj": (hidden, q),
        "self_attn.k_proj": (hidden, kv),
        "self_attn.v_proj": (hidden, kv),
        "self_attn.o_proj": (q, hidden),
        "mlp.gate_proj": (hidden, wide),
        "mlp.up_proj": (hidden, wide),
        "mlp.down_proj": (wide, hidden),
    }


def linear_parameters(config):
    """Weights of the linear layers of one pass: what a token is multiplied with."""
    per_layer = sum(n_in * n_out for n_in, n_out in _sizes(config).values())
    return per_layer * config["num_hidden_layers"]


def last_layer_pooled(config):
    """Those of the last layer that only the pooled token needs: all but keys and values."""
    return sum(
        n_in * n_out
        for name, (n_in, n_out) in _sizes(config).items()
        if name not in ("self_attn.k_proj", "self_attn.v_proj")
    )


def _random_tensors(config, values):
    import torch

    hidden = config["hidden_size"]
    tensors = {
        "model.embed_tokens.weight": values(config["vocab_size"], hidden),
        "model.norm.weight": torch.ones(hidden, dtype=torch.bfloat16),
    }
    for i in range(config["num_hidden_layers"]):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{i}.{norm}.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
        for name, (n_in, n_out) in _sizes(config).items():
            tensors[f"model.layers.{i}.{name}.weight"] = values(n_out, n_in)
    return tensors


def hf_dir(shape):
    """The Hugging Face directory of a shape, in bfloat16."""
    config = CONFIGS[shape]

    def make(path):
        import torch
        from gguf import GGUFReader
        from safetensors.torch import save_file

        path.mkdir()
        generator = torch.Generator().manual_seed(SEED)

        def values(*size):
            tensor = torch.empty(size, dtype=torch.bfloat16)
            return tensor.normal_(0, config["initializer_range"], generator=generator)

        reader = GGUFReader(smollm2_reference.gguf_path())
        if shape == "smollm2-8":
            tensors = smollm2_reference.base_tensors(reader, config["num_hidden_layers"])
            tensors = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
        else:
            tensors = _random_tensors(config, values)
        tensors["score.weight"] = values(3, config["hidden_size"])
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        smollm2_reference.gguf_tokenizer(reader).save(str(path / "tokenizer.json"))

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


def _pooled(shape):
    """The fp32 model as a module of ids, mask and last indices to the logits of the last tokens, and
    an example of its inputs."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, last):
            hidden = self.model.model(
                input_ids=input_ids, attention_mask=attention_mask, use_cache=False
            ).last_hidden_state
            rows = hidden[torch.arange(hidden.shape[0]), last]
            return self.model.score(rows)

    example = {
        "input_ids": torch.ones(2, 8, dtype=torch.int64),
        "attention_mask": torch.ones(2, 8, dtype=torch.int64),
        "last": torch.full((2,), 7, dtype=torch.int64),
    }
    return Pooled(load_transformers(shape, torch.float32)), example


def openvino_ir(shape, weights):
    """OpenVINO IR; weights: "bf16", "int8" (per channel) or "int4" (symmetric, group 64)."""

    def make(path):
        import nncf
        import openvino as ov

        path.mkdir()
        model, example = _pooled(shape)
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


def onnx_file(shape, weights):
    """ONNX; weights: "fp32" as exported, "int8" (per channel, activations quantised on the fly) or
    "int4" (MatMulNBits: symmetric blocks of 64, int8 activations)."""

    def export(path):
        import torch

        path.mkdir()
        model, example = _pooled(shape)
        batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
        grid = {0: batch, 1: length}
        torch.onnx.export(
            model,
            tuple(example.values()),
            str(path / "model.onnx"),
            input_names=list(example),
            output_names=["logits"],
            dynamic_shapes=(grid, grid, {0: batch}),
            dynamo=True,
            external_data=True,
            opset_version=21,
        )

    def quantise(path):
        source = str(onnx_file(shape, "fp32"))
        path.mkdir()
        target = str(path / "model.onnx")
        if weights == "int8":
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(
                source,
                target,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                use_external_data_format=True,
                extra_options={"MatMulConstBOnly": True},
            )
        else:
            import onnx
            from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

            quantiser = MatMulNBitsQuantizer(
                onnx.load(source), block_size=64, is_symmetric=True, accuracy_level=4
            )
            quantiser.process()
            quantiser.model.save_model_to_file(target, True)

    make = export if weights == "fp32" else quantise
    return _made(cache_dir() / shape / f"onnx-{weights}", make) / "model.onnx"


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


LORA_MODULES = {
    "qv": ["q_proj", "v_proj"],
    "all": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}


def lora_dir(shape, modules):
    """A PEFT adapter of random values with a score head: r = 16, modules "qv" or "all"."""
    config = CONFIGS[shape]

    def make(path):
        import torch
        from safetensors.torch import save_file

        path.mkdir()
        generator = torch.Generator().manual_seed(SEED)

        def values(*size):
            return torch.empty(size).normal_(0, 0.02, generator=generator)

        tensors = {"base_model.model.score.weight": values(3, config["hidden_size"])}
        for layer in range(config["num_hidden_layers"]):
            for module, (n_in, n_out) in _sizes(config).items():
                if module.split(".")[1] not in LORA_MODULES[modules]:
                    continue
                name = f"base_model.model.model.layers.{layer}.{module}"
                tensors[f"{name}.lora_A.weight"] = values(16, n_in)
                tensors[f"{name}.lora_B.weight"] = values(n_out, 16)
        save_file(tensors, path / "adapter_model.safetensors", metadata={"format": "pt"})
        settings = {
            "base_model_name_or_path": shape,
            "bias": "none",
            "lora_alpha": 64,
            "lora_dropout": 0.1,
            "modules_to_save": ["classifier", "score"],
            "peft_type": "LORA",
            "r": 16,
            "target_modules": LORA_MODULES[modules],
            "task_type": "SEQ_CLS",
        }
        (path / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n")

    return _made(cache_dir() / shape / f"lora-{modules}", make)


DEFAULT_MODEL = pathlib.Path(__file__).resolve().parent.parent / "models" / "news-bias"


def slant_model(shape, program, modules):
    """(model, adapter) for slant: the default model itself, or the shape imported in 4 bits."""
    if shape == "smollm2-8":
        return DEFAULT_MODEL / "base.slant", (
            DEFAULT_MODEL if modules == "qv" else lora_dir(shape, modules)
        )

    def make(path):
        import subprocess

        subprocess.run([program, "import", hf_dir(shape), "--load-in-4bit", "-o", path], check=True)

    return _made(cache_dir() / shape / "base.slant", make), lora_dir(shape, modules)


if __name__ == "__main__":
    print(globals()[sys.argv[2]](sys.argv[1], *sys.argv[3:]))
