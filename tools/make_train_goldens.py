#!/usr/bin/env python3
"""Writes tests/golden/train/: what PyTorch + transformers + PEFT compute for small models.

Weights, ids and labels come from a formula that the tests share (tests/unit/train_model.h), so that
only results are stored. gradients/CASE.safetensors holds, for one packed batch, the logits, the
loss, the norm of all gradients and the gradient of every trainable tensor under PEFT's own name;
steps/CASE.safetensors holds the trainable tensors after 30 optimiser steps with accumulation,
clipping and a schedule, and what the Trainer would have logged. trainer/ is a run of the Trainer itself over a tiny model: its articles, the
adapter that it starts from, its trainer_state.json and the adapter that it ends with.
peft/ holds adapter_config.json as PEFT writes it. order.safetensors holds shuffles and schedules, loss.safetensors losses
and their derivatives, scaler.safetensors GradScaler's scales.
"""
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from tokenizers import Tokenizer
from transformers import (LlamaConfig, LlamaForSequenceClassification, MistralConfig,
                          MistralForSequenceClassification, Qwen2Config,
                          Qwen2ForSequenceClassification, Qwen3Config,
                          Qwen3ForSequenceClassification, Trainer, TrainingArguments,
                          get_scheduler)
from transformers.trainer_pt_utils import LabelSmoother, get_length_grouped_indices

ROOT = Path(__file__).parent.parent / "tests/golden/train"
MASK = (1 << 64) - 1
VOCAB, LABELS, RANK, ALPHA = 96, 3, 4, 8
LENGTHS = [7, 1, 70, 13, 33]
SHAPE = dict(vocab_size=VOCAB, hidden_size=48, intermediate_size=80, num_attention_heads=4,
             num_key_value_heads=2, num_labels=LABELS, pad_token_id=0, max_position_embeddings=256,
             rms_norm_eps=1e-5, attn_implementation="eager")
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ARCHITECTURES = {
    "llama": (LlamaConfig, LlamaForSequenceClassification, dict(num_hidden_layers=3)),
    "mistral": (MistralConfig, MistralForSequenceClassification,
                dict(num_hidden_layers=4, sliding_window=16)),
    "qwen2": (Qwen2Config, Qwen2ForSequenceClassification, dict(num_hidden_layers=3)),
    "qwen3": (Qwen3Config, Qwen3ForSequenceClassification,
              dict(num_hidden_layers=2, head_dim=16)),
}
# name: architecture, LoraConfig
CASES = {
    "llama": ("llama", dict(target_modules=["q_proj", "v_proj"])),
    "llama_all": ("llama", dict(target_modules=ALL, use_rslora=True)),
    "llama_o": ("llama", dict(target_modules=["o_proj"])),
    "llama_gate": ("llama", dict(target_modules=["gate_proj"], layers_to_transform=[1, 2])),
    "llama_down": ("llama", dict(target_modules=["down_proj"])),
    "mistral_upper": ("mistral", dict(target_modules=ALL, layers_to_transform=[1, 2],
                                      rank_pattern={"q_proj": 7}, alpha_pattern={"up_proj": 3})),
    "qwen2": ("qwen2", dict(target_modules=["q_proj", "v_proj"])),
    "qwen2_all": ("qwen2", dict(target_modules=ALL)),
    "qwen3": ("qwen3", dict(target_modules=["q_proj", "v_proj"])),
    "qwen3_all": ("qwen3", dict(target_modules=ALL)),
}


def hash_of(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h


def integers(name, n):
    """n draws of 24 bits: splitmix64 of the name's hash plus the index."""
    with np.errstate(over="ignore"):
        z = np.uint64(hash_of(name)) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.int64)


def uniform(name, shape):
    """In (-1, 1), exact in fp32."""
    draws = integers(name, math.prod(shape))
    return torch.from_numpy(((draws * 2 + 1 - (1 << 24)) / (1 << 24)).astype(np.float32)).reshape(shape)


def value_of(name, shape):
    u = uniform(name, shape)
    if name.endswith("norm.weight"):
        return 1 + u * 0.25
    if name.endswith("bias"):
        return u * 0.25
    if "embed_tokens" in name:
        return u
    if "lora_B" in name:
        return u * 0.125
    return u * float(np.float32(1.5 / math.sqrt(shape[1])))


def make_model(case):
    architecture, lora = CASES[case]
    config_class, model_class, more = ARCHITECTURES[architecture]
    model = model_class(config_class(**SHAPE, **more)).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(value_of(name, tuple(parameter.shape)))
    config = LoraConfig(task_type="SEQ_CLS", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, **lora)
    model = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            parameter.copy_(value_of(name, tuple(parameter.shape)))
    return model.train()


def trainable(model):
    """Under the names of adapter_model.safetensors, in PEFT's order."""
    return {name.replace(".default", "").replace(".modules_to_save", ""): parameter
            for name, parameter in model.named_parameters() if parameter.requires_grad}


def article(number, length):
    return torch.from_numpy(1 + integers(f"article {number}", length) % (VOCAB - 1))


def label(number):
    return int(integers(f"label {number}", 1)[0] % LABELS)


def batch(numbers, lengths):
    longest = max(lengths)
    ids = torch.zeros(len(numbers), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (number, length) in enumerate(zip(numbers, lengths)):
        ids[row, :length] = article(number, length)
        mask[row, :length] = 1
    return dict(input_ids=ids, attention_mask=mask, labels=torch.tensor([label(n) for n in numbers]))


def norm_of(tensors):
    return torch.sqrt(sum((t.double() ** 2).sum() for t in tensors))


def write_gradients(case):
    model = make_model(case)
    out = model(**batch(range(len(LENGTHS)), LENGTHS))
    out.loss.backward()
    gradients = {name: p.grad for name, p in trainable(model).items()}
    tensors = {name: g.contiguous().clone() for name, g in gradients.items()}
    tensors["logits"] = out.logits.detach().contiguous()
    tensors["loss"] = out.loss.detach().reshape(1)
    tensors["grad_norm"] = norm_of(gradients.values()).float().reshape(1)
    save_file(tensors, ROOT / "gradients" / f"{case}.safetensors")


def lengths_of(step, micro):
    return [1 + int(n % 24) for n in integers(f"lengths {step} {micro}", 4)]


def write_steps(case, scheduler, weight_decay, max_norm):
    """30 steps of 4 micro-batches of 4, warm-up 2, clipping at a norm that bites now and then."""
    model = make_model(case)
    parameters = trainable(model)
    optimizer = torch.optim.AdamW(parameters.values(), lr=2e-3, weight_decay=weight_decay)
    schedule = get_scheduler(scheduler, optimizer, num_warmup_steps=2, num_training_steps=30)
    log, number = [], 0
    for step in range(30):
        total = 0.0
        for micro in range(4):
            lengths = lengths_of(step, micro)
            loss = model(**batch(range(number, number + 4), lengths)).loss
            (loss / 4).backward()
            total += float(loss.detach()) / 4
            number += 4
        norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), max_norm)
        log.append([total, float(norm), schedule.get_last_lr()[0]])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    tensors = {name: p.detach().contiguous().clone() for name, p in parameters.items()}
    tensors["log"] = torch.tensor(log, dtype=torch.float32)
    save_file(tensors, ROOT / "steps" / f"{case}_{scheduler}.safetensors")


def write_order():
    """The Trainer's shuffles by epoch and learning-rate factors by step."""
    tensors = {}
    for n, seed in ((1, 42), (17, 43), (1000, 42)):
        generator = torch.Generator().manual_seed(seed)
        tensors[f"randperm {n} {seed}"] = torch.randperm(n, generator=generator).int()
    lengths = [1 + int(n % 50) for n in integers("group lengths", 200)]
    for batch_size, n in ((4, 200), (16, 30)):
        generator = torch.Generator().manual_seed(42)
        order = get_length_grouped_indices(lengths[:n], batch_size, generator=generator)
        tensors[f"grouped {n} {batch_size}"] = torch.tensor(order).int()
    for kind in ("linear", "cosine", "constant", "constant_with_warmup"):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = get_scheduler(kind, optimizer, num_warmup_steps=3, num_training_steps=20)
        factors = []
        for _ in range(20):
            factors.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        tensors[kind] = torch.tensor(factors, dtype=torch.float32)
    save_file(tensors, ROOT / "order.safetensors")


def write_losses():
    logits = (uniform("loss logits", (6, 3)) * 4).requires_grad_()
    labels = torch.tensor([label(n) for n in range(6)])
    targets = (uniform("loss targets", (6, 3)) + 1) / 2
    weight = torch.tensor([0.5, 1.0, 2.5])
    smooth = LabelSmoother(epsilon=0.125)
    functional = torch.nn.functional
    losses = {"plain": functional.cross_entropy(logits, labels),
              "weighted": functional.cross_entropy(logits, labels, weight=weight),
              "smoothed": smooth({"logits": logits}, labels),
              "multi": functional.binary_cross_entropy_with_logits(logits, targets),
              "regression": functional.mse_loss(logits, targets)}
    tensors = {}
    for name, loss in losses.items():
        tensors[name] = loss.detach().reshape(1)
        tensors[f"d {name}"] = torch.autograd.grad(loss, logits)[0]
    save_file(tensors, ROOT / "loss.safetensors")


def write_tallies():
    """Confusion matrices and scikit-learn's averages."""
    lines = []
    for case, (n, n_labels) in enumerate(((40, 3), (7, 5), (30, 2))):
        truth = [int(d % n_labels) for d in integers(f"truth {case}", n)]
        answers = [t if int(d % 3) else int(d % n_labels)
                   for t, d in zip(truth, integers(f"answers {case}", n))]
        if case == 1:
            answers = [0 if a == 3 else a for a in answers]
        matrix = confusion_matrix(truth, answers, labels=range(n_labels))
        for average in ("macro", "micro", "weighted"):
            p, r, f, _ = precision_recall_fscore_support(truth, answers, average=average,
                                                         zero_division=0)
            numbers = [n_labels, *matrix.ravel(), accuracy_score(truth, answers), p, r, f]
            lines.append(" ".join(repr(float(x)) for x in numbers))
    (ROOT / "tally.txt").write_text("\n".join(lines) + "\n")


def write_scaler():
    """Scales after each of 4,100 steps of which a few overflow, at every change."""
    scaler = torch.amp.GradScaler("cpu")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    scales = []
    for step in range(4100):
        parameter.grad = torch.full((1,), math.inf if step in (0, 1, 5, 2010) else 1.0)
        scaler.scale(torch.zeros(1))
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    tensors = {"scales": torch.tensor([[step, scale] for step, scale in enumerate(scales)
                                       if step == 0 or scale != scales[step - 1]])}
    save_file(tensors, ROOT / "scaler.safetensors")


WORDS = "tax vote bill court law senate border trade union school energy budget".split()


def trainer_text(number):
    picks = integers(f"words {number}", 3 + int(integers(f"count {number}", 1)[0] % 40))
    return " ".join(WORDS[int(pick) % len(WORDS)] for pick in picks)


class FairTrainer(Trainer):
    """Divides the loss by the micro-batches of a step, which Trainer 5.23 forgets for this model."""
    loss_is_scaled_for_ga = False


def macro_metrics(prediction):
    answers, truth = prediction.predictions.argmax(-1), prediction.label_ids
    scores = [2 * ((answers == i) & (truth == i)).sum() /
              max(1, (answers == i).sum() + (truth == i).sum()) for i in range(LABELS)]
    return {"accuracy": float((answers == truth).mean()), "f1": float(np.mean(scores))}


def write_trainer():
    """A run with accumulation, clipping, warm-up, measurements and a short last step."""
    out, models = ROOT / "trainer", ROOT.parent / "models"
    out.mkdir(exist_ok=True)
    tokenizer = Tokenizer.from_file(str(models / "tokenizer.json"))
    rows = [{"id": f"a{n}", "text": trainer_text(n), "label": label(n)} for n in range(37)]
    for name, part in (("train", rows[:27]), ("eval", rows[27:])):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    samples = [dict(input_ids=tokenizer.encode(row["text"]).ids[:24], labels=row["label"])
               for row in rows]

    def collate(items):
        longest = max(len(item["input_ids"]) for item in items)
        pad = lambda item, value, ids: ids + [value] * (longest - len(item["input_ids"]))
        return dict(input_ids=torch.tensor([pad(i, 2, i["input_ids"]) for i in items]),
                    attention_mask=torch.tensor([pad(i, 0, [1] * len(i["input_ids"])) for i in items]),
                    labels=torch.tensor([item["labels"] for item in items]))

    model = LlamaForSequenceClassification.from_pretrained(
        models / "llama", num_labels=LABELS, dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=RANK, lora_alpha=ALPHA,
                                             target_modules=["q_proj", "v_proj", "down_proj"]))
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            parameter.copy_(value_of(name, tuple(parameter.shape)))
    model.save_pretrained(out / "start")
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch, per_device_train_batch_size=4, gradient_accumulation_steps=2,
            num_train_epochs=2.5, learning_rate=3e-3, warmup_steps=2, weight_decay=0.01, seed=7,
            max_grad_norm=1.5, logging_steps=1, eval_strategy="steps", eval_steps=4, save_steps=4,
            optim="adamw_torch", report_to="none", use_cpu=True, remove_unused_columns=False)
        trainer = FairTrainer(model=model, args=arguments, data_collator=collate,
                              train_dataset=samples[:27], eval_dataset=samples[27:],
                              compute_metrics=macro_metrics)
        trainer.train()
        trainer.save_model(out / "end")
        trainer.save_state()
        (out / "trainer_state.json").write_text((Path(scratch) / "trainer_state.json").read_text())
        print(sorted(p.name for p in Path(scratch).iterdir()))
    for path in (out / "start" / "README.md", out / "end" / "README.md",
                 out / "end" / "training_args.bin"):
        path.unlink(missing_ok=True)


def write_configs():
    """adapter_config.json for settings of all kinds."""
    (ROOT / "peft").mkdir(exist_ok=True)
    configs = {
        "plain": dict(),
        "card": dict(r=16, lora_alpha=64, lora_dropout=0.1, bias="none"),
        "everything": dict(r=4, lora_alpha=2.5, lora_dropout=0.25, use_rslora=True,
                           target_modules="all-linear", exclude_modules=["k_proj"],
                           rank_pattern={"q_proj": 7}, alpha_pattern={"up_proj": 3},
                           modules_to_save=["score"], init_lora_weights="gaussian"),
        "layers": dict(target_modules=["o_proj"], layers_to_transform=[0, 2],
                       layers_pattern="layers"),
        "pattern": dict(target_modules=r".*layers\.[01]\..*(q|gate)_proj"),
    }
    for name, settings in configs.items():
        config_class, model_class, more = ARCHITECTURES["llama"]
        model = get_peft_model(model_class(config_class(**SHAPE, **more)),
                               LoraConfig(task_type="SEQ_CLS", **settings))
        with tempfile.TemporaryDirectory() as scratch:
            model.save_pretrained(scratch)
            text = (Path(scratch) / "adapter_config.json").read_text()
            (ROOT / "peft" / f"{name}.json").write_text(text)
            with safe_open(Path(scratch) / "adapter_model.safetensors", "pt") as tensors:
                names = sorted(f"{n} {list(tensors.get_slice(n).get_shape())}" for n in tensors.keys())
            (ROOT / "peft" / f"{name}.txt").write_text("\n".join(names) + "\n")


def main():
    torch.set_num_threads(1)
    (ROOT / "gradients").mkdir(parents=True, exist_ok=True)
    (ROOT / "steps").mkdir(parents=True, exist_ok=True)
    for case in CASES:
        write_gradients(case)
    write_configs()
    write_trainer()
    write_order()
    write_losses()
    write_tallies()
    write_scaler()
    write_steps("llama", "linear", 0.0, 2.0)
    write_steps("qwen2_all", "cosine", 0.05, 2.5)


if __name__ == "__main__":
    main()
