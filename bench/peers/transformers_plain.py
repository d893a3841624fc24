"""transformers: PyTorch's linear layers, that is oneDNN or MKL. --variant bf16 or fp32."""

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
        dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[args.variant]
        self.version = (
            f"transformers {transformers.__version__}, torch {torch.__version__}, {args.variant}, "
            f"{torch.backends.cpu.get_cpu_capability()}"
        )
        self.model = models.load_transformers(args.shape, dtype)
        self.pad_id = models.CONFIGS[args.shape]["pad_token_id"]

    @torch.inference_mode()
    def run(self, articles):
        return common.classify(self.model, articles, self.pad_id)


if __name__ == "__main__":
    common.main(Peer)
