"""The parts that the tiny golden models are made of: tokenizer, weights, configurations, and every
form that they are stored in. make_model_goldens.py puts them together; this does nothing by itself.
"""

import copy
import json
import math
import pathlib
import shutil
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCAB = 320
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|pad|>"
TRAINING_TEXT = [
    "The senator said that the bill would lower taxes for working families and the council.",
    "The mayor called the vote a hard choice and promised to find the money next year.",
    "Protesters filled the square on Tuesday as the council voted to close the library.",
    "Year after year the numbers rose, and the numbers that rose were the numbers of the year.",
    "Opponents said the choice was not hard at all, and that they would remember it in May.",
]


# --- tokenizer ---------------------------------------------------------------------------------


def make_tokenizer(with_bos):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TRAINING_TEXT * 4,
        trainers.BpeTrainer(
            vocab_size=VOCAB,
            special_tokens=[BOS, EOS, PAD],
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )
    assert tokenizer.get_vocab_size() == VOCAB
    if with_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A",
            pair=f"{BOS} $A {BOS} $B",
            special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
        )
    return tokenizer


# --- weights -----------------------------------------------------------------------------------


class Weights:
    """Random tensors in Hugging Face names, scaled so that every part of the model matters: the
    layers move the residual as much as the embedding did, attention is far from uniform, and
    logits differ between texts by about a half: with 64 inputs the errors of int8 average out far
    less than in a real model, and this keeps them within the same promise."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, std):
        return torch.empty(shape).normal_(0, std, generator=self.generator)

    def norm(self, n):
        return 1 + self.normal(n, std=0.2)

    def model(self, config, labels=0, lm_head=False):
        c = config
        hidden, inter = c["hidden_size"], c["intermediate_size"]
        head_dim = c.get("head_dim") or hidden // c["num_attention_heads"]
        q = c["num_attention_heads"] * head_dim
        kv = c.get("num_key_value_heads", c["num_attention_heads"]) * head_dim
        qwen2, qwen3 = c["model_type"] == "qwen2", c["model_type"] == "qwen3"
        shapes = {
            "self_attn.q_proj": (q, hidden, 1.3),
            "self_attn.k_proj": (kv, hidden, 1.3),
            "self_attn.v_proj": (kv, hidden, 1.2),
            "self_attn.o_proj": (hidden, q, 1.0),
            "mlp.gate_proj": (inter, hidden, 1.5),
            "mlp.up_proj": (inter, hidden, 1.2),
            "mlp.down_proj": (hidden, inter, 1.0),
        }
        tensors = {"model.embed_tokens.weight": self.normal(c["vocab_size"], hidden, std=1.0)}
        for i in range(c["num_hidden_layers"]):
            prefix = f"model.layers.{i}."
            for name, (rows, columns, gain) in shapes.items():
                tensors[prefix + name + ".weight"] = self.normal(
                    rows, columns, std=gain / math.sqrt(columns)
                )
                attention = name.startswith("self_attn")
                biased = c.get("attention_bias", False) if attention else c.get("mlp_bias", False)
                if biased or (qwen2 and attention and "o_proj" not in name):
                    tensors[prefix + name + ".bias"] = self.normal(rows, std=0.3)
            tensors[prefix + "input_layernorm.weight"] = self.norm(hidden)
            tensors[prefix + "post_attention_layernorm.weight"] = self.norm(hidden)
            if qwen3:
                tensors[prefix + "self_attn.q_norm.weight"] = 1.5 + self.normal(head_dim, std=0.2)
                tensors[prefix + "self_attn.k_norm.weight"] = 1.5 + self.normal(head_dim, std=0.2)
        tensors["model.norm.weight"] = self.norm(hidden)
        if labels:
            tensors["score.weight"] = self.head(labels, hidden)
        if lm_head:
            tensors["lm_head.weight"] = self.normal(c["vocab_size"], hidden, std=0.1)
        return tensors

    def head(self, labels, hidden):
        return self.normal(labels, hidden, std=0.6 / math.sqrt(hidden))


def llama(**changes):
    """A small Llama in today's config style; None removes a key."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dtype": "bfloat16",
        "eos_token_id": 1,
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": 64,
        "initializer_range": 0.02,
        "intermediate_size": 96,
        "max_position_embeddings": 512,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": 2,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": True,
        "transformers_version": "5.23.0",
        "use_cache": True,
        "vocab_size": VOCAB,
    }
    return changed(config, **changes)


def changed(config, **changes):
    config = copy.deepcopy(config)
    for key, value in changes.items():
        if value is None:
            config.pop(key, None)
        else:
            config[key] = value
    return config


OLD_STYLE = dict(
    rope_parameters=None,
    dtype=None,
    head_dim=None,
    rope_theta=10000.0,
    torch_dtype="bfloat16",
    pretraining_tp=1,
    transformers_version="4.40.0.dev0",
)


def names(*labels):
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


BIAS_LABELS = names("Left", "Center", "Right")


# --- files -------------------------------------------------------------------------------------


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_tensors(path, tensors, dtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {n: (t.to(dtype) if dtype else t).contiguous() for n, t in tensors.items()}
    save_file(kept, path, metadata={"format": "pt"})


def shard_name(number, of=2):
    return f"model-{number:05d}-of-{of:05d}.safetensors"


def write_sharded(folder, shards, dtype):
    """shards: a list of tensor dicts; names as transformers gives them, with the index."""
    weight_map, total = {}, 0
    for i, tensors in enumerate(shards):
        name = shard_name(i + 1, len(shards))
        write_tensors(folder / name, tensors, dtype)
        for tensor, values in tensors.items():
            weight_map[tensor] = name
            total += values.numel() * torch.empty(0, dtype=dtype).element_size()
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": weight_map},
    )


# --- quantised forms ---------------------------------------------------------------------------


def write_bnb(folder, config, tensors, double_quant):
    """As AutoModelForSequenceClassification.save_pretrained leaves it, before any evaluation."""
    from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        write_json(scratch / "plain" / "config.json", config)
        write_tensors(scratch / "plain" / "model.safetensors", tensors, torch.bfloat16)
        model = AutoModelForSequenceClassification.from_pretrained(
            scratch / "plain",
            dtype=torch.bfloat16,
            device_map="cpu",
            quantization_config=BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=torch.bfloat16,
                bnb_4bit_use_double_quant=double_quant,
            ),
        )
        model.save_pretrained(scratch / "saved")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "model.safetensors"):
            shutil.copy(scratch / "saved" / name, folder / name)


GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}


def permute(tensor, heads):
    """Rows as converters write them for llama: interleaved pairs within each head."""
    shape = tensor.shape
    return (
        tensor.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)
    )


def write_gguf(path, config, tensors, tokenizer, kind_of, rope_freqs=None, output=False):
    """kind_of(name): "F32", "Q4_0", … per linear weight or "token_embd". Returns the expanded
    tensors under their Hugging Face names."""
    import gguf

    c = config
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, c["model_type"])
    head_dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_rope_dimension_count(head_dim)
    if head_dim * c["num_attention_heads"] != c["hidden_size"]:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_rope_freq_base(c["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_vocab_size(c["vocab_size"])
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t in (BOS, EOS, PAD) else 1 for t in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(True)
    expanded = {}

    def add(target, name, values, kind):
        block = gguf.GGMLQuantizationType[kind]
        if kind == "F32":
            writer.add_tensor(target, values.astype(np.float32))
            back = values
        elif kind == "F16":
            writer.add_tensor(target, values.astype(np.float16))
            back = values.astype(np.float16).astype(np.float32)
        else:
            packed = gguf.quantize(values, block)
            writer.add_tensor(target, packed, raw_dtype=block)
            back = gguf.dequantize(packed, block)
        if name:
            expanded[name] = torch.from_numpy(np.ascontiguousarray(back, dtype=np.float32))

    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        if name == "model.embed_tokens.weight":
            add("token_embd.weight", name, values, kind_of("token_embd"))
            continue
        if name == "model.norm.weight":
            add("output_norm.weight", name, values, "F32")
            continue
        layer, rest = name.removeprefix("model.layers.").split(".", 1)
        module, what = rest.rsplit(".", 1)
        target = f"blk.{layer}.{GGUF_NAMES[module]}.{what}"
        kind = kind_of(module) if values.ndim == 2 else "F32"
        heads = {
            "self_attn.q_proj": c["num_attention_heads"],
            "self_attn.k_proj": c["num_key_value_heads"],
        }.get(module)
        if heads and c["model_type"] == "llama":
            add(target, name, np.ascontiguousarray(permute(values, heads)), kind)
            inverse = np.argsort(permute(np.arange(values.shape[0]), heads))
            expanded[name] = expanded[name][torch.from_numpy(inverse)].contiguous()
        else:
            add(target, name, values, kind)
    if output:
        add("output.weight", None, tensors["model.embed_tokens.weight"].float().numpy(), "Q8_0")
    if rope_freqs is not None:
        add("rope_freqs.weight", None, np.asarray(rope_freqs, np.float32), "F32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expanded


def llama3_factors(theta, head_dim, factor, low, high, original):
    """The rope_freqs tensor: what each inverse frequency is divided by."""
    factors = []
    for i in range(head_dim // 2):
        inverse = theta ** (-2 * i / head_dim)
        wavelength = 2 * math.pi / inverse
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors
