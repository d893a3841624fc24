#!/usr/bin/env python3
"""Makes tests/golden/merge: what PEFT's merge_and_unload makes of the golden models in fp32.

    python tools/make_merge_goldens.py

Each file holds, of every linear weight that its adapter changes, every eighth row in fp32, and the
whole score head; for the cases that are also merged into NF4, the same rows as bitsandbytes
quantises them, expanded again, under NAME.nf4. Needs torch, transformers, peft, bitsandbytes; the
goldens of make_model_goldens.py are its input.
"""

import pathlib
import tempfile

import torch
from safetensors.torch import load_file, save_file

from golden_reference import reference_base
from nf4_reference import LINEARS, expand_checkpoint, nf4_round

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "tests" / "golden" / "models"
OUT = ROOT / "tests" / "golden" / "merge"
STEP = 8
# name: base, adapter, whether it is merged into NF4 as well
CASES = {
    "default": ("llama", "default", False),
    "patterns": ("llama", "patterns", True),
    "rslora": ("llama", "rslora", False),
    "bnb": ("bnb-plain", "bnb", True),
}


def merged(base, adapter):
    """The state of the merged model, and that of the base, in fp32."""
    from peft import PeftModel

    tensors = load_file(MODELS / base / "model.safetensors")
    model = reference_base(MODELS / base, tensors=expand_checkpoint(tensors), labels=3)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    model = PeftModel.from_pretrained(model, MODELS / "adapters" / adapter).merge_and_unload()
    return model.state_dict(), before


def main():
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (base, adapter, with_nf4) in CASES.items():
        after, before = merged(base, adapter)
        kept = {"score.weight": after["score.weight"].float().contiguous()}
        for tensor, values in after.items():
            linear = tensor.removesuffix(".weight").endswith(LINEARS)
            if not linear or torch.equal(values, before[tensor]):
                continue
            kept[tensor] = values[::STEP].float().contiguous()
            if with_nf4:
                kept[tensor + ".nf4"] = nf4_round(values)[::STEP].contiguous()
        with tempfile.TemporaryDirectory() as scratch:
            path = pathlib.Path(scratch) / "model.safetensors"
            save_file(kept, path, metadata={"format": "pt"})
            (OUT / f"{name}.safetensors").write_bytes(path.read_bytes())
        print(f"{name}: {len(kept)} tensors, {(OUT / f'{name}.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
