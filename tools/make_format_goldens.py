#!/usr/bin/env python3
"""Writes tests/golden/quant and tests/golden/formats from the reference libraries.

Needs torch, bitsandbytes, safetensors, gguf and numpy on a CPU; with ggml's shared library named by
GGML_BASE, its C dequantisers are compared with gguf's too.

quant/blocks.safetensors   per GGUF block type: rows of Gaussian values and of random bytes, and the
                           fp32 values that gguf makes of them
quant/nf4.tsv              per tensor (made from its seed by tests/unit/test_nf4.c too): SHA-256 of
                           everything that bitsandbytes makes of it
formats/*                  small files of each kind, written by the safetensors and gguf packages
"""
import ctypes
import hashlib
import json
import os
import struct
from pathlib import Path

import bitsandbytes.functional as bnb
import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Ggml
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file as save_torch

GOLDEN = Path(__file__).parent.parent / "tests/golden"
BLOCK_TYPES = [Ggml.Q8_0, Ggml.Q4_0, Ggml.Q4_1, Ggml.Q5_0, Ggml.Q5_1]
N_GAUSSIAN, N_RANDOM_BLOCKS = 512, 4


def random_blocks(rng, qtype):
    """Blocks of random bytes whose f16 scales are finite: signs, subnormals and extreme codes too."""
    _, block_bytes = gguf.GGML_QUANT_SIZES[qtype]
    blocks = rng.integers(0, 256, (N_RANDOM_BLOCKS, block_bytes), dtype=np.uint8)
    blocks[:, 1] &= 0x7B | 0x80
    blocks[0, 1] &= 0x83  # a subnormal scale
    if qtype in (Ggml.Q4_1, Ggml.Q5_1):
        blocks[:, 3] &= 0x7B | 0x80
    return blocks.reshape(-1)


def check_against_ggml(qtype, data, values):
    if "GGML_BASE" not in os.environ:
        return
    ggml = ctypes.CDLL(os.environ["GGML_BASE"])
    out = np.empty_like(values)
    getattr(ggml, f"dequantize_row_{qtype.name.lower()}")(
        data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(out.size))
    assert np.allclose(out, values, rtol=1e-6, atol=0), qtype
    print(f"{qtype.name}: {(out != values).sum()} of {out.size} values differ from ggml's in the last bit")


def make_blocks():
    rng = np.random.default_rng(5)
    source = rng.standard_normal(N_GAUSSIAN, dtype=np.float32) * np.float32(0.02)
    tensors = {"source": source}
    for qtype in BLOCK_TYPES:
        data = np.concatenate([gguf.quants.quantize(source, qtype), random_blocks(rng, qtype)])
        values = gguf.quants.dequantize(data, qtype)
        check_against_ggml(qtype, data, values)
        tensors[f"{qtype.name}.bytes"] = data
        tensors[f"{qtype.name}.values"] = values.astype(np.float32)
    save_numpy(tensors, GOLDEN / "quant/blocks.safetensors")


def hash64(x):
    """splitmix64's finaliser: the same integers here and in test_nf4.c."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def make_values(kind, n, seed):
    """Sums of four uniform numbers. kind: "gauss"; "bf16", rounded to it; "holes", every third block of
    zeros and a last block of zeros; "wild", scaled by a power of two per block; "zeros"."""
    i = np.arange(n, dtype=np.uint64)
    h = hash64(i * np.uint64(0x2545F4914F6CDD1D) + np.uint64(seed))
    fields = sum(((h >> np.uint64(s)) & np.uint64(0xFFFF)).astype(np.int64) for s in (0, 16, 32, 48))
    values = (fields - 131070).astype(np.float32) * np.float32(1.7e-7)
    block = (i // np.uint64(64)).astype(np.int64)
    if kind == "bf16":
        values = torch.from_numpy(values).bfloat16().float().numpy()
    elif kind == "holes":
        values[(block % 3 == 0) | (block == block[-1])] = 0
    elif kind == "wild":
        exponents = (hash64(block.astype(np.uint64)) % np.uint64(40)).astype(np.int64) - 20
        values = np.ldexp(values, exponents.astype(np.int32)).astype(np.float32)
    elif kind == "zeros":
        values[:] = 0
    return values


def digest(tensor):
    return hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest()


NF4_CASES = [(kind, n) for kind in ("gauss", "bf16", "holes", "wild", "zeros")
             for n in (1, 2, 7, 63, 64, 65, 127, 128, 1000, 16384, 16385, 16448, 20000)]
NF4_CASES += [("gauss", n) for n in (511, 512, 513, 3 * 64, 9 * 64, 64 * 32 * 16 + 64)]
# Real shapes: SmolLM2-135M, Llama-3.2-1B; then those around the length that PyTorch gives to threads.
NF4_CASES += [("bf16", n) for n in (576 * 576, 192 * 576, 1536 * 576, 512 * 2048, 2048 * 2048, 8192 * 2048)]
NF4_CASES += [("gauss", 64 * n) for n in (32767, 32768, 32769, 65535, 65537)] + [("wild", 3000001)]


def make_nf4():
    torch.set_num_threads(2)  # the last bit of torch.mean depends on it for the largest tensors
    lines = ["# kind\tn_values\tseed\tcodes\tabsmax (plain)\tabsmax codes\tnested absmax\tnested offset "
             "(bits)\tdecoded (double quantisation)\tdecoded (plain)\n"]
    for seed, (kind, n) in enumerate(NF4_CASES):
        values = torch.from_numpy(make_values(kind, n, seed))
        codes, state = bnb.quantize_4bit(values, compress_statistics=True, quant_type="nf4")
        plain_codes, plain = bnb.quantize_4bit(values, compress_statistics=False, quant_type="nf4")
        assert torch.equal(codes, plain_codes)
        offset = struct.pack(">f", state.offset.item()).hex()
        fields = [kind, str(n), str(seed), digest(codes), digest(plain.absmax), digest(state.absmax),
                  digest(state.state2.absmax), offset]
        fields += [digest(bnb.dequantize_4bit(codes, s).reshape(-1)[:n]) for s in (state, plain)]
        lines.append("\t".join(f[:32] for f in fields) + "\n")
    (GOLDEN / "quant/nf4.tsv").write_text("".join(lines))


def make_safetensors():
    """One file of every dtype, and a set of two shards."""
    out = GOLDEN / "formats"
    plain = torch.arange(6).reshape(2, 3)
    tensors = {name: plain.to(dtype) for name, dtype in [
        ("f64", torch.float64), ("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16),
        ("i64", torch.int64), ("i32", torch.int32), ("i16", torch.int16), ("i8", torch.int8),
        ("u8", torch.uint8), ("bool", torch.bool)]}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 4), "größe": torch.ones(1, 1, 1, 2)}
    save_torch(tensors, out / "every_dtype.safetensors", metadata={"format": "pt", "note": "a \"quoted\" ü"})
    shards = {"model-00001-of-00002.safetensors": {"a": torch.zeros(2), "b": torch.ones(3)},
              "model-00002-of-00002.safetensors": {"c": torch.full((2, 2), 2.0)}}
    for name, shard in shards.items():
        save_torch(shard, out / name, metadata={"format": "pt"})
    weight_map = {tensor: name for name, shard in shards.items() for tensor in shard}
    index = {"metadata": {"total_size": 36}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def make_gguf():
    """Every type of metadata and every tensor type that slant runs."""
    rng = np.random.default_rng(8)
    writer = gguf.GGUFWriter(GOLDEN / "formats/every_type.gguf", "llama")
    writer.add_uint8("t.u8", 200)
    writer.add_int8("t.i8", -100)
    writer.add_uint16("t.u16", 60000)
    writer.add_int16("t.i16", -30000)
    writer.add_uint32("t.u32", 4000000000)
    writer.add_int32("t.i32", -2000000000)
    writer.add_uint64("t.u64", 2**63)
    writer.add_int64("t.i64", -(2**62))
    writer.add_float32("t.f32", 0.5)
    writer.add_float64("t.f64", 0.1)
    writer.add_bool("t.bool", True)
    writer.add_string("t.string", "größer")
    writer.add_array("t.strings", ["a", "", "bcd"])
    writer.add_array("t.ints", [1, -2, 3])
    writer.add_array("t.floats", [0.25, -1.0])
    writer.add_array("t.bools", [True, False])
    values = rng.standard_normal((3, 64), dtype=np.float32)
    writer.add_tensor("f32", values)
    writer.add_tensor("f16", values.astype(np.float16))
    writer.add_tensor("one_dimension", values[0])
    for qtype in [Ggml.BF16] + BLOCK_TYPES:
        writer.add_tensor(qtype.name.lower(), gguf.quants.quantize(values, qtype), raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    for room in ("quant", "formats"):
        (GOLDEN / room).mkdir(parents=True, exist_ok=True)
    make_blocks()
    make_nf4()
    make_safetensors()
    make_gguf()
