"""llama.cpp through llama-cpp-python: prefill of each batch, one output row per article.

--variant: Q4_0 or Q8_0. It cannot answer with our score head, so only its work is compared; the
output projection is computed for one token per article, which is next to nothing.
"""

import pathlib
import sys

import llama_cpp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import models  # noqa: E402
from peers import common  # noqa: E402

CONTEXT = 8192
SEQUENCES = 64


def amx_here():
    with open("/proc/cpuinfo") as file:
        return "amx_int8" in file.read()


class Peer:
    max_tokens = CONTEXT  # of one batch

    def __init__(self, args):
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        if amx_here():
            # Its AMX product, built by gcc 12, dies of a signal: the tile configuration is lost.
            params.use_extra_bufts = False
        path = str(models.gguf_file(args.shape, args.variant)).encode()
        self.model = llama_cpp.llama_model_load_from_file(path, params)
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = CONTEXT
        options.n_batch = CONTEXT
        options.n_ubatch = 512
        options.n_seq_max = SEQUENCES
        options.n_threads = options.n_threads_batch = args.threads
        options.kv_unified = True
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.batch_memory = llama_cpp.llama_batch_init(CONTEXT, 0, 1)
        self.version = f"llama-cpp-python {llama_cpp.__version__}, {args.variant}"

    def run(self, articles):
        batch, row = self.batch_memory, 0
        for sequence, ids in enumerate(articles):
            for position, token in enumerate(ids):
                batch.token[row] = token
                batch.pos[row] = position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = sequence
                batch.logits[row] = position == len(ids) - 1
                row += 1
        batch.n_tokens = row
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        if llama_cpp.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)


if __name__ == "__main__":
    common.main(Peer)
