"""ONNX Runtime: the model exported by torch, its weights quantised by ONNX Runtime's own tools.

--variant int8 (quantize_dynamic) or int4 (MatMulNBits with int8 activations).
"""

import pathlib
import sys

import numpy
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import models  # noqa: E402
from peers import common  # noqa: E402


class Peer:
    def __init__(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            models.onnx_file(args.shape, args.variant), options, ["CPUExecutionProvider"]
        )
        self.version = f"ONNX Runtime {onnxruntime.__version__}, {args.variant}"
        self.pad_id = models.CONFIGS[args.shape]["pad_token_id"]

    def run(self, articles):
        ids, mask, last = common.pad(articles, self.pad_id)
        return self.session.run(
            None,
            {
                "input_ids": numpy.array(ids, numpy.int64),
                "attention_mask": numpy.array(mask, numpy.int64),
                "last": numpy.array(last, numpy.int64),
            },
        )[0]


if __name__ == "__main__":
    common.main(Peer)
