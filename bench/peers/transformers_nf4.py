"""transformers + bitsandbytes: NF4 with double quantisation, bfloat16 compute."""

import pathlib
import sys

import bitsandbytes
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import models  # noqa: E402
from peers import common  # noqa: E402


class Peer:
    def __init__(self, args):
        from transformers import AutoModelForSequenceClassification

        torch.set_num_threads(args.threads)
        self.version = (
            f"transformers {transformers.__version__}, "
            f"bitsandbytes {bitsandbytes.__version__}, NF4 double quantisation"
        )
        path = models.nf4_dir(args.shape)
        self.model = AutoModelForSequenceClassification.from_pretrained(path, device_map="cpu")
        self.model.eval().requires_grad_(False)
        self.pad_id = models.CONFIGS[args.shape]["pad_token_id"]

    @torch.inference_mode()
    def run(self, articles):
        return common.classify(self.model, articles, self.pad_id)


if __name__ == "__main__":
    common.main(Peer)
