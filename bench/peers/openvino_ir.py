"""OpenVINO: weights compressed by NNCF, activations quantised on the fly.

--variant WEIGHTS[-dqGROUP]: int8-dq128, int4-dq64, bf16, …; without a group the plugin chooses.

Its copy of oneDNN honours ONEDNN_MAX_CPU_ISA, but the plugin asks the processor itself whether bf16
is to be had and then finds no product for it; so where the limit stands, the rest is computed in
fp32. Below AVX-512 it has no product with compressed weights at all and refuses.
"""

import os
import pathlib
import sys

import numpy
import openvino

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import models  # noqa: E402
from peers import common  # noqa: E402


class Peer:
    def __init__(self, args):
        weights, _, group = args.variant.partition("-dq")
        config = {"INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY"}
        if group:
            config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = group
        if "ONEDNN_MAX_CPU_ISA" in os.environ:
            config["INFERENCE_PRECISION_HINT"] = "f32"
        core = openvino.Core()
        compiled = core.compile_model(models.openvino_ir(args.shape, weights), "CPU", config)
        self.request = compiled.create_infer_request()
        self.version = (
            f"OpenVINO {openvino.__version__.split('-')[0]}, {args.variant}, "
            f"precision {compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name()}, "
            f"group {compiled.get_property('DYNAMIC_QUANTIZATION_GROUP_SIZE')}"
        )
        self.pad_id = models.CONFIGS[args.shape]["pad_token_id"]

    def run(self, articles):
        ids, mask, last = common.pad(articles, self.pad_id)
        self.request.infer(
            {
                "input_ids": numpy.array(ids, numpy.int64),
                "attention_mask": numpy.array(mask, numpy.int64),
                "last": numpy.array(last, numpy.int64),
            }
        )
        return self.request.get_output_tensor(0).data


if __name__ == "__main__":
    common.main(Peer)
