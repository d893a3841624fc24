#!/usr/bin/env python3
"""Compares `slant tokenize` with Hugging Face tokenizers, and times both in one run.

    pip install tokenizers==0.23.3 unicodedata2==16.0.0
    tools/check_tokenizers.py --slant build/release/slant --articles articles.jsonl.zst \\
        tokenizers/llama-3.1 tokenizers/smollm2

For each tokenizer (a folder with a tokenizer.json, or the file):
  articles  the ids of the field `text` of every article must be equal
  stress    the ids and byte offsets of awkward texts: every category and script of Unicode, emoji,
            combining marks, control characters, special tokens inside text, words of 20,000
            letters, runs of white space
  speed     seconds for each megabyte of text that is added (two sizes, so that starting up does not
            count), reading JSON Lines and printing the ids as JSON on both sides, alternating; one
            thread each; the median of the rounds
Exit status 0: all equal.
"""
import argparse
import itertools
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import unicodedata2
from tokenizers import Tokenizer

SPACES = list(" \t\n\r\v\f\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000\u200b\ufeff\x1c\x1f\u180e")
SPECIALS = ["<|begin_of_text|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
            "<|reserved_special_token_7|>", "<filename>", "<file_sep>", "<|eot_id", "<|", "|>"]
WORDS = [
    "the", "Don't", "DON'T", "we'LL", "they'Re", "it'\u017f", "x'\u017ft", "'\u017f", "'S", "I'M",
    "he'd", "12345678", "3.14", "1,000,000", "na\xefve", "e\u0301",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\u0627\u0644\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u064e\u0629",
    "\u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea",
    "\u65e5\u672c\u8a9e\u30c6\u30ad\u30b9\u30c8", "\ud55c\uad6d\uc5b4",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f",
    "\xb2\xb3\xbc\u2167", "\u0663\u0664\u0665", "\U0001d518\U0001d52b", "\x00", "\x04\x06\x13",
    "\x14a\x16b\x1dc", "\x7f", "\u0301", "\u2019s", "it\u2019s", "\xab\xbb", "\u2014", "\u2026",
    "http://a.b/c?d=e#f", "foo_bar", "CamelCase", "!!!\n\n", "...   \n", "\r\n\r\n", "a  b", "   ",
    "\n \n", "\t\tx", "x\xa0y", "\U00011de0\U00016ff4",
]


def categories():
    by_name = {}
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000:
            by_name.setdefault(unicodedata2.category(chr(c)), []).append(chr(c))
    return by_name


def blocks():
    """Every block of Unicode in seven settings; of the huge ones, only some rows."""
    for start in range(0, 0x110000, 256):
        huge = (0x4E00 <= start < 0x9F00 or 0xAC00 <= start < 0xD700) and start % 1024
        huge = huge or (0x20000 <= start < 0x30000 and start % 4096)
        huge = huge or (start >= 0xE1000 and start % 8192)
        chars = [chr(c) for c in range(start, start + 256) if not 0xD800 <= c < 0xE000]
        if huge or not chars:
            continue
        yield "".join(chars)
        yield " ".join(chars)
        yield "".join("a" + c for c in chars)
        yield "".join(c + "b " for c in chars)
        yield "".join("'" + c + "s1" for c in chars[:64])
        yield "".join(" " + c + " 2" + c + "\n" for c in chars[:64])


def mixtures(rng, count):
    pool = [c for name, chars in categories().items()
            for c in rng.sample(chars, min(len(chars), 5 if name in ("Cn", "Co") else 40))]
    for _ in range(count):
        text = ""
        for _ in range(rng.randint(1, 40)):
            kind = rng.random()
            if kind < 0.35:
                text += rng.choice(WORDS)
            elif kind < 0.55:
                text += "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 4)))
            elif kind < 0.62:
                text += rng.choice(SPECIALS)
            elif kind < 0.85:
                text += rng.choice(pool)
            else:
                text += rng.choice("abcXYZ019'.,!?-\"()/")
        yield text


def long_texts(rng):
    yield "a" * 20000
    yield " " + "Antidisestablishmentarianism" * 800
    yield "".join(rng.choice("abcdefghij") for _ in range(20000))
    yield "".join(rng.choice("etaoinshrdlu") for _ in range(20000))
    for run in (" " * 5000, "\n" * 5000, " \n" * 3000, "\t" * 3000 + "x", "9" * 20000, "!" * 20000,
                "\u65e5" * 20000, "\u0301" * 5000, "=" * 3000 + "\n" * 10, "\U0001F44D" * 3000):
        yield run


def stress_texts():
    rng = random.Random(7)
    yield from blocks()
    for word in WORDS:
        yield from (word, " " + word, word + " ", word * 3, word + "\n" + word)
    for opening in "'\"<|":
        for rest in ("s", "S", "\u017f", "t", "re", "RE", "ve", "m", "ll", "lL", "d", "x",
                     "\u212a", ""):
            yield from ("x" + opening + rest + "y", opening + rest, " " + opening + rest + " z")
    yield from mixtures(rng, 4000)
    yield from long_texts(rng)


def open_articles(path):
    if path.suffix == ".zst":
        process = subprocess.Popen(["zstdcat", path], stdout=subprocess.PIPE)
        return process.stdout
    return open(path, "rb")


def slant_lines(args, tokenizer, form, source):
    process = subprocess.Popen([args.slant, "tokenize", "--model", tokenizer, "--format", form,
                                "--input", "jsonl", "--text-field", "text", source],
                               stdout=subprocess.PIPE)
    yield from process.stdout
    process.wait()


def check_articles(args, path, reference):
    n = wrong = 0
    pairs = itertools.zip_longest(open_articles(args.articles),
                                  slant_lines(args, path, "ids", args.articles))
    for article, line in pairs:
        if article is None or line is None:
            print(f"  articles: {n}, then one side ends", flush=True)
            return False
        n += 1
        if json.loads(line) != reference.encode(json.loads(article)["text"]).ids:
            wrong += 1
            if wrong <= 5:
                print(f"  article {n} differs")
    print(f"  articles: {n - wrong} of {n} equal", flush=True)
    return wrong == 0


def byte_offsets(text, offsets):
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [[at[start], at[end]] for start, end in offsets]


def check_stress(args, path, reference, folder):
    texts = list(dict.fromkeys(t for t in stress_texts() if t))
    source = folder / "stress.jsonl"
    source.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    wrong_ids = wrong_offsets = n = 0
    for text, line in itertools.zip_longest(texts, slant_lines(args, path, "jsonl", source)):
        entry, encoding = json.loads(line), reference.encode(text)
        n += 1
        if entry["ids"] != encoding.ids:
            wrong_ids += 1
            print(f"  stress text {n} differs: {text[:60]!r}")
        elif entry["offsets"] != byte_offsets(text, encoding.offsets):
            wrong_offsets += 1
            print(f"  stress text {n} has other offsets: {text[:60]!r}")
    print(f"  stress: {n - wrong_ids} of {n} equal, offsets of {n - wrong_ids - wrong_offsets}",
          flush=True)
    return wrong_ids == 0 and wrong_offsets == 0


HUGGING_FACE = """
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
for line in open(sys.argv[2], encoding="utf-8"):
    ids = tokenizer.encode(json.loads(line)["text"]).ids
    sys.stdout.write(json.dumps(ids, separators=(",", ":")) + "\\n")
"""


def timed(command):
    start = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True,
                   env=dict(os.environ, TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1"))
    return time.monotonic() - start


def sample(args, folder, megabytes):
    """JSON Lines of the first articles, and how many bytes of text they hold."""
    path, size = folder / f"{megabytes}.jsonl", 0
    with open(path, "wb") as out:
        for line in open_articles(args.articles):
            out.write(line)
            size += len(json.loads(line)["text"].encode())
            if size >= megabytes * 1e6:
                break
    return path, size / 1e6


def measure_speed(args, path, folder):
    small, large = (sample(args, folder, m) for m in args.megabytes)
    added = large[1] - small[1]
    commands = {
        "slant": lambda source: [args.slant, "tokenize", "--model", path, "--format", "ids",
                                 "--input", "jsonl", source],
        "Hugging Face": lambda source: [sys.executable, "-c", HUGGING_FACE, path, source]}
    rates = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            seconds = timed(command(large[0])) - timed(command(small[0]))
            rates[name].append(added / max(seconds, 1e-9))
    medians = {name: statistics.median(r) for name, r in rates.items()}
    ratio = medians["slant"] / medians["Hugging Face"]
    print(f"  speed: slant {medians['slant']:.1f} MB/s, Hugging Face"
          f" {medians['Hugging Face']:.2f} MB/s, ratio {ratio:.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+", type=pathlib.Path)
    parser.add_argument("--slant", default="build/release/slant")
    parser.add_argument("--articles", type=pathlib.Path, help="JSON Lines with a field text (.zst)")
    parser.add_argument("--megabytes", type=int, nargs=2, default=(5, 25),
                        metavar=("SMALL", "LARGE"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", nargs="*", default=[], choices=["articles", "stress", "speed"])
    args = parser.parse_args()
    equal = True
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for given in args.tokenizers:
            path = str(given / "tokenizer.json" if given.is_dir() else given)
            print(path, flush=True)
            reference = Tokenizer.from_file(path)
            if "stress" not in args.skip:
                equal &= check_stress(args, path, reference, folder)
            if args.articles and "articles" not in args.skip:
                equal &= check_articles(args, path, reference)
            if args.articles and "speed" not in args.skip:
                measure_speed(args, path, folder)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
