"""What a case of the golden models is: its files, and what transformers and PEFT answer.
make_model_goldens.py puts it all together; this does nothing by itself.
"""

import json
import pathlib
import shutil
import tempfile

from safetensors.torch import load_file

from golden_parts import make_tokenizer, shard_name, write_json
from golden_reference import TEXTS, answers, reference_base

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "models"


def lay_out(files, folder):
    """Puts a case's files where it says, as the test does."""
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(OUT / source, target)


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
