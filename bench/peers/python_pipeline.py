"""One article through Python, from the start of the process to its exit: transformers' pipeline over
the base model with the PEFT adapter on it, as a model card has it.

    python_pipeline.py FILE THREADS

prints the scores as JSON and the process's peak of memory on a line after it.
"""

import json
import pathlib
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import models  # noqa: E402
from peers import common  # noqa: E402

SHAPE = "smollm2-8"


def main():
    torch.set_num_threads(int(sys.argv[2]))
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    folder = models.hf_dir(SHAPE)
    base = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
    model = PeftModel.from_pretrained(base, models.DEFAULT_MODEL).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    print(json.dumps(classify(text, truncation=True, max_length=512)))
    print(f"{common.peak_rss_mb():.0f}")


if __name__ == "__main__":
    main()
