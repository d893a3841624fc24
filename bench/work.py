"""The work that everybody does: articles put together from the invented ones in examples/.

article-512 … article-8192   one article of so many tokens
short-64                     64 texts of some 16 to 50 tokens
corpus                       many articles, their lengths spread as those of real news are
process                      one article of 800 words, from the start of a process to its exit
"""

import dataclasses
import json
import math
import pathlib
import random

import models

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEED = 20240925
ARTICLE_TOKENS = 512  # of the longer ones in the corpus, the default model's training length
MEDIAN_WORDS, SPREAD = 880, 0.57  # of real news articles: log-normal
PROCESS_WORDS = 800

NAMES = ["article-512", "article-1024", "article-8192", "short-64", "corpus", "process"]
DEFAULT_SHAPE_ONLY = ("corpus", "process")  # work for the default model


@dataclasses.dataclass
class Workload:
    name: str
    texts: list
    limit: int  # tokens of an article that are read
    ids: list
    repeats: int

    @property
    def tokens(self):
        return sum(map(len, self.ids))


def runs_on(name, shape):
    return shape == "smollm2-8" or name not in DEFAULT_SHAPE_ONLY


def _prose():
    files = sorted((ROOT / "examples").glob("*.txt"))
    return " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in files).split()


def _words(first, n):
    """n words from the first on, beginning again at the end."""
    prose = _prose()
    turns = (first + n) // len(prose) + 1
    return " ".join((prose * turns)[first : first + n])


def articles(n, n_words):
    """n articles, each beginning elsewhere."""
    return [_words(i * 37, n_words) for i in range(n)]


def process_text():
    return _words(0, PROCESS_WORDS)


def _corpus(n):
    generator = random.Random(SEED)
    lengths = (round(math.exp(generator.gauss(math.log(MEDIAN_WORDS), SPREAD))) for _ in range(n))
    return [_words(generator.randrange(2000), max(20, min(length, 6000))) for length in lengths]


def _corpus_file(path):
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [" ".join(text.split()) for text in texts]


def _texts(name, args):
    if name == "short-64":
        return [_words(i * 37, 12 + i * 7 % 28) for i in range(64)], ARTICLE_TOKENS
    if name == "corpus":
        texts = _corpus_file(args.corpus) if args.corpus else _corpus(args.corpus_articles)
        return texts, ARTICLE_TOKENS
    tokens = int(name.removeprefix("article-"))
    return [_words(0, tokens)], tokens


def encode(texts, limit):
    """Token ids of each text, the first ones."""
    from gguf import GGUFReader

    reader = GGUFReader(models.smollm2_reference.gguf_path())
    tokenizer = models.smollm2_reference.gguf_tokenizer(reader)
    return [encoding.ids[:limit] for encoding in tokenizer.encode_batch(texts)]


def make(args):
    """name -> Workload, of those that run within a process."""
    made = {}
    for name in args.workloads:
        if name == "process":
            continue
        texts, limit = _texts(name, args)
        repeats = 1 if name in ("corpus", "article-8192") else args.repeats
        made[name] = Workload(name, texts, limit, encode(texts, limit), repeats)
    return made


def write(workloads, folder, stem):
    """STEM.txt for slant, which gets the texts, and STEM.json for the others, which get ids."""
    lines = []
    for w in workloads:
        lines += [f"{w.name} {w.limit} {w.repeats} {len(w.texts)}", *w.texts]
    (folder / f"{stem}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    jobs = {w.name: {"ids": w.ids, "repeats": w.repeats} for w in workloads}
    (folder / f"{stem}.json").write_text(json.dumps(jobs))
