"""transformers in bfloat16: PyTorch's linear layers, that is oneDNN."""

import pathlib
import sys

import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import models  # noqa: E402
from peers import common  # noqa: E402


class Peer:
    def __init__(self, args):
        torch.set_num_threads(args.threads)
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}, bf16"
        self.model = models.load_transformers(args.shape, torch.bfloat16)
        self.pad_id = models.CONFIGS[args.shape]["pad_token_id"]

    @torch.inference_mode()
    def run(self, articles):
        ids, mask, _ = common.pad(articles, self.pad_id)
        alike = all(all(row) for row in mask)
        return self.model(
            input_ids=torch.tensor(ids), attention_mask=None if alike else torch.tensor(mask)
        ).logits


if __name__ == "__main__":
    common.main(Peer)
