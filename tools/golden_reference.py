"""The reference of the golden models: transformers and PEFT in fp32, and the adapters that PEFT and
the Trainer write. make_model_goldens.py puts it all together; this does nothing by itself.
"""

import json
import math
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import load_file, save_file

from golden_parts import EOS, PAD, Weights, write_json, write_tensors

TEXTS = [
    "The senator said that the bill would lower taxes for working families.",
    "a",
    "Protesters filled the square on Tuesday as the council voted 7-2 to close the library; "
    'the mayor called the vote "a hard choice" and promised to find the money next year. '
    "Opponents said the choice was not hard at all, and that they would remember it in May.",
    "Des élus ont dit: «C’est assez.» 選挙は日曜日に行われる。 Выборы 🗳️🙂 "
    "\u0928\u092e\u0938\u094d\u0924\u0947",
    "  spaces   and\ttabs\r\n\r\nand\u00a0lines \n ",
    f"Before the pad.{PAD} After the pad.",
    f"The pads at the end do not count.{PAD}{PAD}{PAD}",
    f"A text may end itself.{EOS}",
    "Year after year the numbers rose: 1, 12, 123, 1234, 12345678.",
    PAD,
]


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
            save_file(
                {n: t.contiguous() for n, t in tensors.items()},
                scratch / "model.safetensors",
                metadata={"format": "pt"},
            )
        config = AutoConfig.from_pretrained(scratch)
        if labels is not None and config.num_labels != labels:
            config.num_labels = labels
        model = AutoModelForSequenceClassification.from_pretrained(
            scratch, config=config, dtype=torch.float32, attn_implementation="eager"
        )
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
    base_config = (
        model.config if not hasattr(model, "peft_config") else model.base_model.model.config
    )
    function, pad = function_of(base_config), base_config.pad_token_id
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        logits = model(input_ids=torch.tensor([ids])).logits[0].float()
        real = [i for i, token in enumerate(ids) if pad is None or token != pad]
        scores = {
            "softmax": lambda x: torch.softmax(x, -1),
            "sigmoid": torch.sigmoid,
            "none": lambda x: x,
        }[function](logits)
        rows.append(
            {
                "pooled": (real or [0])[-1],
                "tokens": len(ids),
                "logits": [float(x) for x in logits],
                "scores": [float(x) for x in scores],
            }
        )
    spread = torch.tensor([row["logits"] for row in rows]).std(dim=0)
    assert spread.min() > 0.15, f"logits hardly differ between texts: {spread}"
    return function, rows


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
                parameter.copy_(
                    weights.normal(*parameter.shape, std=1 / math.sqrt(parameter.shape[1]))
                )
            elif "lora_B" in name:
                module = model.get_submodule(name.rsplit(".lora_B", 1)[0])
                scale = module.scaling["default"]
                parameter.copy_(
                    weights.normal(
                        *parameter.shape, std=0.5 / scale / math.sqrt(parameter.shape[1])
                    )
                )
            elif "score.modules_to_save" in name:
                parameter.copy_(weights.head(*parameter.shape))
    model.peft_config["default"].base_model_name_or_path = "example/tiny-base"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        model.save_pretrained(scratch)
        config = json.loads((scratch / "adapter_config.json").read_text())
        tensors = load_file(scratch / "adapter_model.safetensors")
    for key in ("target_modules", "exclude_modules"):
        if isinstance(config[key], list):
            config[key] = sorted(config[key])  # a set's order is arbitrary
    write_json(folder / "adapter_config.json", config)
    write_tensors(folder / "adapter_model.safetensors", tensors, tensor_dtype)
    return config, tensors


def trainer_output(folder, base_folder, tokenizer, seed):
    """A training output directory as the Trainer leaves it: its own adapter, two checkpoints."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(seed)
    model = get_peft_model(
        reference_base(base_folder, labels=3), LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=16)
    )
    model.base_model.model.score.modules_to_save["default"].weight.data.mul_(6)
    model.peft_config["default"].base_model_name_or_path = "example/tiny-base"
    rows = [
        {"input_ids": tokenizer.encode(t).ids, "labels": i % 3} for i, t in enumerate(TEXTS[:6])
    ]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            train_dataset=rows,
            eval_dataset=rows[:3],
            args=TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=1,
                per_device_eval_batch_size=1,
                max_steps=12,
                save_steps=4,
                eval_steps=4,
                eval_strategy="steps",
                seed=seed,
                learning_rate=5e-2,
                logging_steps=4,
                report_to=[],
                use_cpu=True,
                metric_for_best_model="eval_loss",
                greater_is_better=True,
                save_total_limit=None,
                load_best_model_at_end=False,
                disable_tqdm=True,
            ),
        )
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
