"""transformers + PEFT: LoRA training steps on a frozen base held in 4 bits, bf16 or fp32.

The base in 4 bits is prepared as PEFT says (prepare_model_for_kbit_training); bitsandbytes' layers are
never evaluated before, since on some processors that repacks their weights, and what is trained after
it gets no gradients. Adapter and head are fp32, as PEFT makes them. AdamW is torch's fused one.
"""

import argparse
import json
import os
import pathlib
import sys
import time

import peft
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import models  # noqa: E402
from peers import common  # noqa: E402

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", required=True)
    parser.add_argument("--weights", required=True, choices=["nf4", *DTYPES])
    parser.add_argument("--compute", required=True, choices=DTYPES)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--job", type=pathlib.Path, required=True, help="JSON: what is trained on")
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def load_nf4(args, checkpointing):
    """--compute fp32 is what bnb_4bit_compute_dtype and a base in fp32 would give at quantisation."""
    import bitsandbytes

    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        models.nf4_dir(args.shape), device_map="cpu"
    )
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.compute_dtype = module.weight.quant_state.dtype = DTYPES[args.compute]
            module.compute_type_is_set = True
    return peft.prepare_model_for_kbit_training(model, **checkpointing)


def load(args, lora):
    kwargs = {"gradient_checkpointing_kwargs": {"use_reentrant": False}}
    if args.weights == "nf4":
        model = load_nf4(args, {"use_gradient_checkpointing": args.checkpointing, **kwargs})
    else:
        model = models.load_transformers(args.shape, DTYPES[args.weights])
        if args.checkpointing:
            model.gradient_checkpointing_enable(**kwargs)
    model.config.use_cache = False
    config = peft.LoraConfig(task_type=peft.TaskType.SEQ_CLS, bias="none", **lora)
    return peft.get_peft_model(model, config).train()


class Training:
    def __init__(self, model, learning_rate):
        self.model = model
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=learning_rate, weight_decay=0.0, fused=True
        )

    def step(self, ids, labels):
        self.optimizer.zero_grad()
        loss = self.model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        return loss.item()

    def without_gradient(self):
        return sum(p.grad is None for p in self.trained)


def main():
    args = parse()
    job = json.loads(args.job.read_text())
    torch.set_num_threads(args.threads)
    torch.manual_seed(models.SEED)
    ids = torch.tensor(job["ids"]).split(job["articles"])
    labels = (torch.arange(len(job["ids"])) % 3).split(job["articles"])
    start = time.perf_counter()
    training = Training(load(args, job["lora"]), job["learning_rate"])
    load_s, load_rss_mb = time.perf_counter() - start, common.peak_rss_mb()
    common.reset_peak_rss()
    losses, seconds = [training.step(ids[0], labels[0])], []
    if training.without_gradient():
        raise SystemExit(f"{training.without_gradient()} parameters got no gradient")
    processor_s = time.process_time()
    for some_ids, some_labels in zip(ids[1:], labels[1:]):
        start = time.perf_counter()
        losses.append(training.step(some_ids, some_labels))
        seconds.append(time.perf_counter() - start)
    answer = {
        "version": f"peft {peft.__version__}, transformers {transformers.__version__}, "
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}",
        "load_s": load_s,
        "load_rss_mb": load_rss_mb,
        "seconds": seconds,
        "processor_s": time.process_time() - processor_s,
        "losses": losses,
        "tokens": sum(map(len, job["ids"])),
        "peak_rss_mb": common.peak_rss_mb(),
    }
    print(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
