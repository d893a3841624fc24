#!/usr/bin/env python3
"""Writes tests/golden/base/repr.tsv: doubles by their bits, and what Python's repr prints for them."""
import random
import struct
from pathlib import Path

random.seed(20)
values = [0.0, -0.0, 1.0, -1.0, 0.1, 0.5, 100.0, 1e15, 1e16, 1.5e16, 123456789012345680.0, 1e22, 1e-4,
          0.00012345, 9.999e-5, 1e-5, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1 / 3]
values += [struct.unpack("<f", struct.pack("<f", random.random()))[0] for _ in range(120)]
values += [random.uniform(-1, 1) * 10.0 ** random.randint(-30, 30) for _ in range(120)]
path = Path(__file__).parent.parent / "tests/golden/base/repr.tsv"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text("".join(f"{struct.pack('>d', v).hex()}\t{v!r}\n" for v in values))
