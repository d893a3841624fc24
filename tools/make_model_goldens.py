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

import copy
import json
import math
import pathlib
import shutil
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from nf4_reference import LINEARS, expand_checkpoint, round_linears

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "models"
VOCAB = 320
LLAMA3_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|pad|>"

TEXTS = [
    "The senator said that the bill would lower taxes for working families.",
    "a",
    "Protesters filled the square on Tuesday as the council voted 7-2 to close the library; "
    "the mayor called the vote \"a hard choice\" and promised to find the money next year. "
    "Opponents said the choice was not hard at all, and that they would remember it in May.",
    "Des élus ont dit: «C’est assez.» 選挙は日曜日に行われる。 Выборы 🗳️🙂 \u0928\u092e\u0938\u094d\u0924\u0947",
    "  spaces   and\ttabs\r\n\r\nand\u00a0lines \n ",
    f"Before the pad.{PAD} After the pad.",
    f"The pads at the end do not count.{PAD}{PAD}{PAD}",
    f"A text may end itself.{EOS}",
    "Year after year the numbers rose: 1, 12, 123, 1234, 12345678.",
    PAD,
]
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
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TRAINING_TEXT * 4, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=[BOS, EOS, PAD], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    assert tokenizer.get_vocab_size() == VOCAB
    if with_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B",
            special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
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
        shapes = {"self_attn.q_proj": (q, hidden, 1.3), "self_attn.k_proj": (kv, hidden, 1.3),
                  "self_attn.v_proj": (kv, hidden, 1.2), "self_attn.o_proj": (hidden, q, 1.0),
                  "mlp.gate_proj": (inter, hidden, 1.5), "mlp.up_proj": (inter, hidden, 1.2),
                  "mlp.down_proj": (hidden, inter, 1.0)}
        tensors = {"model.embed_tokens.weight": self.normal(c["vocab_size"], hidden, std=1.0)}
        for i in range(c["num_hidden_layers"]):
            prefix = f"model.layers.{i}."
            for name, (rows, columns, gain) in shapes.items():
                tensors[prefix + name + ".weight"] = self.normal(
                    rows, columns, std=gain / math.sqrt(columns))
                attention = name.startswith("self_attn")
                biased = (c.get("attention_bias", False) if attention else c.get("mlp_bias", False))
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
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 0, "dtype": "bfloat16", "eos_token_id": 1, "head_dim": 16,
        "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02,
        "intermediate_size": 96, "max_position_embeddings": 512, "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 2, "pad_token_id": 2, "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": True, "transformers_version": "5.23.0", "use_cache": True,
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


OLD_STYLE = dict(rope_parameters=None, dtype=None, head_dim=None, rope_theta=10000.0,
                 torch_dtype="bfloat16", pretraining_tp=1, transformers_version="4.40.0.dev0")


def names(*labels):
    return {"id2label": {str(i): label for i, label in enumerate(labels)},
            "label2id": {label: i for i, label in enumerate(labels)}}


BIAS_LABELS = names("Left", "Center", "Right")


# --- files -------------------------------------------------------------------------------------

def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_tensors(path, tensors, dtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {n: (t.to(dtype) if dtype else t).contiguous() for n, t in tensors.items()}
    save_file(kept, path, metadata={"format": "pt"})


def write_sharded(folder, shards, dtype):
    """shards: a list of tensor dicts; names as transformers gives them, with the index."""
    weight_map, total = {}, 0
    for i, tensors in enumerate(shards):
        name = shard_name(i + 1, len(shards))
        write_tensors(folder / name, tensors, dtype)
        for tensor, values in tensors.items():
            weight_map[tensor] = name
            total += values.numel() * torch.empty(0, dtype=dtype).element_size()
    write_json(folder / "model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": weight_map})


def lay_out(files, folder):
    """Puts a case's files where it says, as the test does."""
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(OUT / source, target)


# --- reference ---------------------------------------------------------------------------------

def reference_base(folder, tensors=None, config_changes=None, labels=None):
    """The base in fp32. tensors: weights already expanded, instead of those in the folder."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config_json = json.loads((folder / "config.json").read_text())
    config_json.pop("quantization_config", None)
    config_json.update(config_changes or {})
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "config.json").write_text(json.dumps(config_json))
        if tensors is None:
            for file in folder.iterdir():
                if "safetensors" in file.name:
                    shutil.copy(file, scratch / file.name)
        else:
            save_file({n: t.contiguous() for n, t in tensors.items()}, scratch / "model.safetensors",
                      metadata={"format": "pt"})
        config = AutoConfig.from_pretrained(scratch)
        if labels is not None and config.num_labels != labels:
            config.num_labels = labels
        model = AutoModelForSequenceClassification.from_pretrained(
            scratch, config=config, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def function_of(config):
    """What transformers' text-classification pipeline applies."""
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


@torch.no_grad()
def answers(model, tokenizer):
    """Per text: the pooled position, logits and scores; nothing padded, all attended."""
    base_config = model.config if not hasattr(model, "peft_config") else model.base_model.model.config
    function, pad = function_of(base_config), base_config.pad_token_id
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        logits = model(input_ids=torch.tensor([ids])).logits[0].float()
        real = [i for i, token in enumerate(ids) if pad is None or token != pad]
        scores = {"softmax": lambda x: torch.softmax(x, -1), "sigmoid": torch.sigmoid,
                  "none": lambda x: x}[function](logits)
        rows.append({"pooled": (real or [0])[-1], "tokens": len(ids),
                     "logits": [float(x) for x in logits], "scores": [float(x) for x in scores]})
    spread = torch.tensor([row["logits"] for row in rows]).std(dim=0)
    assert spread.min() > 0.15, f"logits hardly differ between texts: {spread}"
    return function, rows


# --- quantised forms ---------------------------------------------------------------------------

def write_bnb(folder, config, tensors, double_quant):
    """As AutoModelForSequenceClassification.save_pretrained leaves it, before any evaluation."""
    from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        write_json(scratch / "plain" / "config.json", config)
        write_tensors(scratch / "plain" / "model.safetensors", tensors, torch.bfloat16)
        model = AutoModelForSequenceClassification.from_pretrained(
            scratch / "plain", dtype=torch.bfloat16, device_map="cpu",
            quantization_config=BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16,
                bnb_4bit_use_double_quant=double_quant))
        model.save_pretrained(scratch / "saved")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "model.safetensors"):
            shutil.copy(scratch / "saved" / name, folder / name)


GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
              "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm",
              "self_attn.k_norm": "attn_k_norm"}


def permute(tensor, heads):
    """Rows as converters write them for llama: interleaved pairs within each head."""
    shape = tensor.shape
    return tensor.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


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
        heads = {"self_attn.q_proj": c["num_attention_heads"],
                 "self_attn.k_proj": c["num_key_value_heads"]}.get(module)
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


# --- adapters ----------------------------------------------------------------------------------

def peft_adapter(folder, base_folder, seed, labels=3, tensor_dtype=None, **settings):
    """An adapter as PEFT saves it, with B and the head as if trained."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    base = reference_base(base_folder, labels=labels)
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", **settings))
    weights = Weights(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.copy_(weights.normal(*parameter.shape, std=1 / math.sqrt(parameter.shape[1])))
            elif "lora_B" in name:
                module = model.get_submodule(name.rsplit(".lora_B", 1)[0])
                scale = module.scaling["default"]
                parameter.copy_(weights.normal(
                    *parameter.shape, std=0.5 / scale / math.sqrt(parameter.shape[1])))
            elif "score.modules_to_save" in name:
                parameter.copy_(weights.head(*parameter.shape))
    model.peft_config["default"].base_model_name_or_path = "example/tiny-base"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        model.save_pretrained(scratch)
        config = json.loads((scratch / "adapter_config.json").read_text())
        tensors = load_file(scratch / "adapter_model.safetensors")
    if isinstance(config["target_modules"], list):
        config["target_modules"] = sorted(config["target_modules"])  # a set's order is arbitrary
    write_json(folder / "adapter_config.json", config)
    write_tensors(folder / "adapter_model.safetensors", tensors, tensor_dtype)
    return config, tensors


def trainer_output(folder, base_folder, tokenizer, seed):
    """A training output directory as the Trainer leaves it: its own adapter, two checkpoints."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(seed)
    model = get_peft_model(reference_base(base_folder, labels=3),
                           LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=16))
    model.base_model.model.score.modules_to_save["default"].weight.data.mul_(6)
    model.peft_config["default"].base_model_name_or_path = "example/tiny-base"
    rows = [{"input_ids": tokenizer.encode(t).ids, "labels": i % 3} for i, t in enumerate(TEXTS[:6])]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model, train_dataset=rows, eval_dataset=rows[:3],
            args=TrainingArguments(output_dir=scratch, per_device_train_batch_size=1,
                                   per_device_eval_batch_size=1, max_steps=12,
                                   save_steps=4, eval_steps=4, eval_strategy="steps", seed=seed,
                                   learning_rate=5e-2, logging_steps=4, report_to=[], use_cpu=True,
                                   metric_for_best_model="eval_loss", greater_is_better=True,
                                   save_total_limit=None, load_best_model_at_end=False,
                                   disable_tqdm=True))
        trainer.train()
        trainer.save_model()
        scratch = pathlib.Path(scratch)
        for source in ("", "checkpoint-4", "checkpoint-8", "checkpoint-12"):
            for name in ("adapter_config.json", "adapter_model.safetensors", "trainer_state.json"):
                if (scratch / source / name).exists():
                    (folder / source).mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(scratch / source / name, folder / source / name)
        for state in folder.rglob("trainer_state.json"):
            values = json.loads(state.read_text().replace(str(scratch), "output"))
            for entry in values["log_history"]:
                for key in entry:
                    if "runtime" in key or "per_second" in key:
                        entry[key] = 1.0  # the one thing that differs from run to run
            write_json(state, values)
        for config in folder.rglob("adapter_config.json"):
            values = json.loads(config.read_text())
            values["target_modules"] = sorted(values["target_modules"])
            write_json(config, values)


# --- the cases ---------------------------------------------------------------------------------

class Goldens:
    def __init__(self):
        self.tokenizers = {"tokenizer.json": make_tokenizer(True),
                           "tokenizer-nobos.json": make_tokenizer(False)}
        for name, tokenizer in self.tokenizers.items():
            (OUT / name).write_text(tokenizer.to_str())
        self.tokenizer = self.tokenizers["tokenizer.json"]
        self.cases = []

    def config(self, path, config):
        write_json(OUT / path, config)
        return path

    def case(self, name, model, adapter=None, tensors=None, config_changes=None, options=None,
             adapter_reference=None, tokenizer="tokenizer.json", labels=None, open_as="",
             reference_config=None):
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
        self.cases.append({"name": name, "model": model, "open": open_as, "adapter": adapter or {},
                           "options": options or {}, "tokenizer": tokenizer, "labels": id2label,
                           "function": function, "articles": rows})

    def write(self):
        texts = [{"text": text, **{name: t.encode(text).ids for name, t in self.tokenizers.items()}}
                 for text in TEXTS]
        lines = [json.dumps(case) for case in self.cases]
        (OUT / "expected.json").write_text(
            '{"texts": ' + json.dumps(texts, indent=1) + ',\n"cases": [\n'
            + ",\n".join(lines) + "\n]}\n")


def adapter_files(name):
    return {f: f"adapters/{name}/{f}" for f in ("adapter_config.json", "adapter_model.safetensors")}


def shard_name(number, of=2):
    return f"model-{number:05d}-of-{of:05d}.safetensors"


def headed(config, labels):
    """The one Llama body and a head of so many labels, as two shards."""
    return {"config.json": config, shard_name(1): "llama/model.safetensors",
            shard_name(2): f"heads/{labels}/score.safetensors",
            "model.safetensors.index.json": f"heads/{labels}/model.safetensors.index.json"}


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
        write_json(folder / "model.safetensors.index.json", {
            "metadata": {"total_size": sum(2 * t.numel() for t in (*body.values(), *head.values()))},
            "weight_map": {**{n: shard_name(1) for n in body}, "score.weight": shard_name(2)}})

    def with_head(name, config, labels=3, **more):
        g.config(f"llama/config-{name}.json", config)
        g.case("llama-" + name, headed(f"llama/config-{name}.json", labels), **more)

    cls = dict(architectures=["LlamaForSequenceClassification"])
    old = {**OLD_STYLE, **cls}
    llama3 = {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
              "original_max_position_embeddings": 64, "rope_type": "llama3"}
    with_head("new-style", llama(**cls, **BIAS_LABELS))
    with_head("old-style", llama(**old, **BIAS_LABELS))
    with_head("no-rope-keys", llama(**{**old, "rope_theta": None}, **BIAS_LABELS))
    with_head("theta-old", llama(**{**old, "rope_theta": 500.0}, **BIAS_LABELS))
    with_head("theta-new", llama(**cls, **BIAS_LABELS, rope_parameters={
        "rope_theta": 500.0, "rope_type": "default"}))
    with_head("both-styles", llama(**cls, **BIAS_LABELS, rope_theta=700.0, rope_scaling={
        "type": "linear", "factor": 2.0}, rope_parameters={
        "rope_theta": 50000.0, "rope_type": "default"}))
    with_head("linear-type", llama(**old, **BIAS_LABELS, rope_scaling={"type": "linear", "factor": 4.0}))
    with_head("linear-new", llama(**cls, **BIAS_LABELS, rope_parameters={
        "rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}))
    with_head("llama3-old", llama(**{**old, "rope_theta": 500000.0}, **BIAS_LABELS, rope_scaling=llama3))
    with_head("llama3-new", llama(**cls, **BIAS_LABELS, rope_parameters={
        **llama3, "rope_theta": 500000.0}))
    with_head("llama3-no-original", llama(**old, **BIAS_LABELS, max_position_embeddings=160, rope_scaling={
        k: v for k, v in llama3.items() if k != "original_max_position_embeddings"}))
    with_head("eps-absent", llama(**cls, **BIAS_LABELS, rms_norm_eps=None))
    with_head("other-heads", llama(**cls, **BIAS_LABELS, head_dim=32, num_attention_heads=2,
                                   num_key_value_heads=1))
    with_head("pad-null", llama(**cls, **BIAS_LABELS, pad_token_id=None))
    with_head("pad-is-eos", llama(**cls, **BIAS_LABELS, pad_token_id=1, eos_token_id=[1, 2]))
    with_head("no-bos", llama(**cls, **BIAS_LABELS), tokenizer="tokenizer-nobos.json")
    with_head("label-names-absent", llama(**cls, id2label={str(i): f"LABEL_{i}" for i in range(4)}), 4)
    with_head("label2id-absent", llama(**cls, id2label=BIAS_LABELS["id2label"]))
    with_head("regression", llama(**cls, **names("slant"), problem_type="regression"), 1)
    with_head("one-label", llama(**cls, **names("slanted")), 1)
    with_head("multi-label", llama(**cls, **names("a", "b", "c", "d"),
                                   problem_type="multi_label_classification"), 4)
    with_head("regression-many", llama(**cls, **BIAS_LABELS, problem_type="regression"))
    with_head("single-label", llama(**cls, **BIAS_LABELS, problem_type="single_label_classification"))

    def single(name, config, dtype, seed, labels=3, lm_head=False, extra=None, configs=None):
        write_tensors(OUT / name / "model.safetensors",
                      {**Weights(seed).model(config, labels, lm_head), **(extra or {})}, dtype)
        for variant, changed_config in (configs or {"": config}).items():
            file = g.config(f"{name}/config{'-' if variant else ''}{variant}.json", changed_config)
            g.case(name + ("-" + variant if variant else ""),
                   {"config.json": file, "model.safetensors": f"{name}/model.safetensors"})

    single("llama-f32", llama(**cls, **BIAS_LABELS, **small, dtype="float32"), torch.float32, 2)
    bias = llama(**cls, **BIAS_LABELS, attention_bias=True, mlp_bias=True, num_attention_heads=2,
                 num_key_value_heads=None, head_dim=24)
    single("llama-bias", bias, torch.bfloat16, 3)

    # fp16, four query heads to a kv head, two shards, an untied lm_head and old rotary buffers.
    wide = llama(**{**old, "torch_dtype": "float16"}, **BIAS_LABELS, num_key_value_heads=1,
                 tie_word_embeddings=False)
    tensors = Weights(4).model(wide, 3, lm_head=True)
    buffers = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq":
               10000.0 ** (-torch.arange(0, 16, 2) / 16) for i in range(2)}
    first = {n: t for n, t in tensors.items() if "layers.1" not in n and n != "score.weight"}
    second = {n: t for n, t in tensors.items() if n not in first}
    write_sharded(OUT / "llama-f16", [{**first, **buffers}, second], torch.float16)
    g.config("llama-f16/config.json", wide)
    g.case("llama-f16-sharded", {f.name: f"llama-f16/{f.name}" for f in sorted((OUT / "llama-f16").iterdir())})

    mistral = changed(llama(), architectures=["MistralForSequenceClassification"], model_type="mistral",
                      attention_bias=None, mlp_bias=None, sliding_window=16, **BIAS_LABELS)
    single("mistral", mistral, torch.bfloat16, 5, configs={
        "window": mistral, "full": {**mistral, "sliding_window": None},
        "window-absent": changed(mistral, sliding_window=None, head_dim=None)})

    qwen2 = changed(llama(), architectures=["Qwen2ForSequenceClassification"], model_type="qwen2",
                    attention_bias=None, mlp_bias=None, head_dim=None, num_hidden_layers=3,
                    sliding_window=16, max_window_layers=1, use_sliding_window=True, **BIAS_LABELS)
    single("qwen2", qwen2, torch.bfloat16, 6, configs={
        "window": qwen2, "full": {**qwen2, "use_sliding_window": False},
        "layer-types": {**qwen2, "layer_types": ["sliding_attention", "full_attention", "full_attention"]}})

    qwen3 = changed(llama(), architectures=["Qwen3ForSequenceClassification"], model_type="qwen3",
                    mlp_bias=None, head_dim=32, num_attention_heads=4, num_key_value_heads=1,
                    sliding_window=None, max_window_layers=2, use_sliding_window=False, **BIAS_LABELS)
    single("qwen3", qwen3, torch.bfloat16, 7)


def adapter_cases(g):
    """PEFT adapters, today's, older and odd, over one causal base without a head."""
    base = {"config.json": "llama/config.json", "model.safetensors": "llama/model.safetensors"}
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

    def made(name, seed, on="llama", **settings):
        return peft_adapter(OUT / f"adapters/{name}", OUT / on, seed, **settings)

    def edited(name, source, config_edit=None, tensor_edit=None, reference=None):
        """A second adapter from source's files; reference: the adapter that PEFT is given for it."""
        config = json.loads((OUT / f"adapters/{source}/adapter_config.json").read_text())
        tensors = load_file(OUT / f"adapters/{source}/adapter_model.safetensors")
        files = adapter_files(source)
        if config_edit:
            write_json(OUT / f"adapters/{name}/adapter_config.json", config_edit(config))
            files["adapter_config.json"] = f"adapters/{name}/adapter_config.json"
        if tensor_edit:
            write_tensors(OUT / f"adapters/{name}/adapter_model.safetensors", tensor_edit(tensors))
            files["adapter_model.safetensors"] = f"adapters/{name}/adapter_model.safetensors"
        g.case("adapter-" + name, base, files,
               adapter_reference=adapter_files(reference) if reference else None)

    made("default", 100, r=4, lora_alpha=16)
    g.case("adapter-default", base, adapter_files("default"))
    g.case("adapter-default-load-in-4bit", base, adapter_files("default"),
           tensors=round_linears(load_file(OUT / "llama/model.safetensors")), options={"load_in_4bit": True})
    made("all-linear", 101, r=2, lora_alpha=8, lora_dropout=0.1, target_modules="all-linear")
    g.case("adapter-all-linear", base, adapter_files("all-linear"))
    made("patterns", 102, r=3, lora_alpha=6, target_modules=every,
         rank_pattern={"q_proj": 1, "layers.1.mlp.down_proj": 5}, alpha_pattern={
             "v_proj": 12, r"layers\.0\.self_attn\.o_proj": 2})
    g.case("adapter-patterns", base, adapter_files("patterns"))
    made("rslora", 103, r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "up_proj"])
    g.case("adapter-rslora", base, adapter_files("rslora"))
    made("layers", 104, r=2, lora_alpha=4, layers_to_transform=[1], target_modules=["v_proj", "down_proj"])
    g.case("adapter-layers-to-transform", base, adapter_files("layers"))
    edited("layers-int", "layers", lambda c: {**c, "layers_to_transform": 1, "layers_pattern": "layers"})
    made("regex", 105, r=2, lora_alpha=4,
         target_modules=r".*\.layers\.[01]\.(self_attn\.(q|o)_proj|mlp\.gate_proj)")
    g.case("adapter-regex", base, adapter_files("regex"))
    made("exclude", 106, r=2, lora_alpha=4, target_modules=every, exclude_modules=["k_proj", "o_proj"])
    g.case("adapter-exclude", base, adapter_files("exclude"))
    made("f16", 107, r=2, lora_alpha=4, tensor_dtype=torch.float16)
    g.case("adapter-f16", base, adapter_files("f16"))
    made("bf16", 108, r=2, lora_alpha=4, tensor_dtype=torch.bfloat16)
    g.case("adapter-bf16", base, adapter_files("bf16"))
    edited("mixed-dtypes", "default", tensor_edit=lambda t: {
        n: v.to(torch.bfloat16 if "score" in n else torch.float16 if "lora_A" in n else torch.float32)
        for n, v in t.items()})
    edited("all-linear-string", "all-linear", lambda c: {**c, "target_modules": "all-linear"})
    edited("duplicates", "default", lambda c: {
        **c, "modules_to_save": ["classifier", "score", "classifier", "score"]})
    edited("modules-null", "default", lambda c: {**c, "modules_to_save": None})
    edited("peft-0.3", "default", lambda c: {
        "base_model_name_or_path": "example/tiny-base", "bias": "none", "fan_in_fan_out": False,
        "inference_mode": True, "init_lora_weights": True, "lora_alpha": 16, "lora_dropout": 0.1,
        "modules_to_save": ["classifier", "score"], "peft_type": "LORA", "r": 4,
        "target_modules": ["q_proj", "v_proj"], "task_type": "SEQ_CLS"})
    edited("peft-0.2", "default", lambda c: {
        "base_model_name_or_path": "example/tiny-base", "bias": "none", "enable_lora": None,
        "fan_in_fan_out": False, "inference_mode": True, "lora_alpha": 16, "lora_dropout": 0.1,
        "merge_weights": False, "modules_to_save": ["classifier", "score"], "peft_type": "LORA", "r": 4,
        "target_modules": ["q_proj", "v_proj"], "task_type": "SEQ_CLS"})
    edited("odd-values", "default", lambda c: {
        **c, "lora_alpha": 16.0, "use_rslora": None, "use_dora": None, "fan_in_fan_out": True,
        "layers_pattern": [], "bias": "lora_only", "task_type": "SEQ_CLS", "runtime_config": {
            "ephemeral_gpu_offload": False}, "a_key_of_tomorrow": {"x": 1}})
    edited("named-default", "default", tensor_edit=lambda t: {
        n.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default."): v
        for n, v in t.items()}, reference="default")
    edited("score-modules-to-save", "default", tensor_edit=lambda t: {
        n.replace("model.score.weight", "model.score.modules_to_save.default.weight"): v
        for n, v in t.items()}, reference="default")
    edited("score-original-module", "default", tensor_edit=lambda t: {
        **t, "base_model.model.score.original_module.weight": torch.ones(3, 64)})
    edited("embedding", "default", tensor_edit=lambda t: {
        **t, "base_model.model.model.embed_tokens.weight":
        Weights(120).normal(VOCAB, 64, std=1.0).to(torch.bfloat16)})

    trainer_output(OUT / "adapters/output", OUT / "llama", g.tokenizer, 130)
    files = {str(f.relative_to(OUT / "adapters/output")): str(f.relative_to(OUT))
             for f in sorted((OUT / "adapters/output").rglob("*")) if f.is_file()}
    states = {n: json.loads((OUT / s).read_text()) for n, s in files.items() if n.endswith("state.json")}
    newest = states["checkpoint-12/trainer_state.json"]
    best = pathlib.Path(newest["best_model_checkpoint"]).name
    assert best != "checkpoint-12", "the best checkpoint should not be the last one"
    for choice, source in (("", ""), ("last", "checkpoint-12/"), ("best", best + "/"), ("4", "checkpoint-4/")):
        g.case("adapter-output" + ("-" + choice if choice else ""), base, files,
               adapter_reference={f: f"adapters/output/{source}{f}" for f in adapter_files("x")},
               options={"checkpoint": choice} if choice else {})
    without = {n: s for n, s in files.items() if n.startswith("checkpoint-")}
    g.case("adapter-output-checkpoints-only", base, without, adapter_reference={
        f: f"adapters/output/checkpoint-12/{f}" for f in adapter_files("x")})

    # A base that has a head of its own, and bases of the other architectures.
    g.case("adapter-over-head", headed("llama/config-new-style.json", 3), adapter_files("default"))
    for arch, config in (("mistral", "config-window.json"), ("qwen2", "config-window.json"),
                         ("qwen3", "config.json")):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            lay_out({"config.json": f"{arch}/{config}", "model.safetensors": f"{arch}/model.safetensors"}, scratch)
            peft_adapter(OUT / f"adapters/{arch}", scratch, 110, r=2, lora_alpha=4)
        g.case("adapter-" + arch, {"config.json": f"{arch}/{config}",
                                   "model.safetensors": f"{arch}/model.safetensors"}, adapter_files(arch))


def bitsandbytes_cases(g):
    """Serialised NF4, with and without double quantisation, and rows that split blocks."""
    cls = dict(architectures=["LlamaForSequenceClassification"], **BIAS_LABELS)
    plans = {
        # 128 × 192 is 384 blocks: more than one nested block of 256.
        "bnb-double": (llama(**cls, hidden_size=128, intermediate_size=192, head_dim=32), True, 20),
        "bnb-plain": (llama(**cls, intermediate_size=128), False, 21),
        # 96 and 160 inputs: a block of 64 runs over the end of a row.
        "bnb-odd": (llama(**cls, hidden_size=96, intermediate_size=160, head_dim=24,
                          num_hidden_layers=1), True, 22),
    }
    for name, (config, double, seed) in plans.items():
        write_bnb(OUT / name, config, Weights(seed).model(config, 3), double)
        expanded = expand_checkpoint(load_file(OUT / name / "model.safetensors"))
        g.case(name, {f: f"{name}/{f}" for f in ("config.json", "model.safetensors")}, tensors=expanded)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        config, _, seed = plans["bnb-plain"]
        write_json(scratch / "config.json", config)
        write_tensors(scratch / "model.safetensors", Weights(seed).model(config, 3), torch.bfloat16)
        peft_adapter(OUT / "adapters/bnb", scratch, 111, r=2, lora_alpha=8, target_modules="all-linear")
    g.case("bnb-plain-adapter", {f: f"bnb-plain/{f}" for f in ("config.json", "model.safetensors")},
           adapter_files("bnb"), tensors=expand_checkpoint(load_file(OUT / "bnb-plain/model.safetensors")))


def load_in_4bit_cases(g):
    """Plain checkpoints quantised on load."""
    for name, files in (
            ("llama-f32", {"config.json": "llama-f32/config.json",
                           "model.safetensors": "llama-f32/model.safetensors"}),
            ("qwen2", {"config.json": "qwen2/config-window.json",
                       "model.safetensors": "qwen2/model.safetensors"})):
        g.case(name + "-load-in-4bit", files, options={"load_in_4bit": True},
               tensors=round_linears(load_file(OUT / files["model.safetensors"])))


def gguf_cases(g):
    """Every block type that slant reads; the head comes from an adapter."""
    def run(name, config, tensors, kind_of, adapter, options=None, reference=None, config_changes=None, **more):
        expanded = write_gguf(OUT / f"gguf/{name}.gguf", config, tensors, g.tokenizer, kind_of, **more)
        g.case(f"gguf-{name}", {"model.gguf": f"gguf/{name}.gguf"}, adapter_files(adapter),
               tensors=(reference or (lambda t: t))(expanded), options=options, open_as="model.gguf",
               reference_config=changed({**config, **(config_changes or {})}, id2label=None,
                                        label2id=None))

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
        run(kind.lower(), llama(), two, lambda module, kind=kind: "Q8_0" if module == "token_embd" else kind,
            "default", output=kind == "Q4_0")
    run("q4_1-load-in-4bit", llama(), two, lambda module: "Q8_0" if module == "token_embd" else "Q4_1",
        "default", options={"load_in_4bit": True}, reference=round_linears)
    (OUT / "gguf/q4_1-load-in-4bit.gguf").unlink()
    g.cases[-1]["model"] = {"model.gguf": "gguf/q4_1.gguf"}
    # One type a module, llama3 scaling as a tensor.
    kinds = dict(zip(LINEARS, ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_1", "Q4_1")), token_embd="Q5_0")
    theta = llama(rope_parameters={"rope_theta": 500000.0, "rope_type": "default"})
    run("mixed", theta, two, kinds.get, "default",
        rope_freqs=llama3_factors(500000.0, 16, 8.0, 1.0, 4.0, 64),
        config_changes={"rope_parameters": {
            "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "rope_theta": 500000.0,
            "original_max_position_embeddings": 64, "rope_type": "llama3"}})
    for arch in ("qwen2", "qwen3"):
        config = json.loads((OUT / f"{arch}/config{'-full' if arch == 'qwen2' else ''}.json").read_text())
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
