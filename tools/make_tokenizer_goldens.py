#!/usr/bin/env python3
"""Makes tests/golden/text/tokenizer_*: small tokenizers of every kind that slant reads, and what
Hugging Face tokenizers makes of a set of awkward texts with each.

    pip install tokenizers==0.23.3
    tools/make_tokenizer_goldens.py

tokenizer_texts.json   the texts
tokenizer_KIND.json    a tokenizer.json with a vocabulary of some hundred tokens, trained here on
                       the sentences below, in the pipeline of the real models of that kind
tokenizer_KIND.ids.json  one entry a text: {"ids", "offsets"}; offsets are the bytes of each id in
                       the text, flattened; "plain" holds the ids without the template's special
                       tokens and with special tokens in the text taken as text
tokenizer_spm.gguf.json  tokens, scores and types of a SentencePiece vocabulary, as in a GGUF
"""
import json
import pathlib

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

TARGET = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/text"

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Known to no one: goes through PCRE2.
OWN = (r"\p{Lu}\p{Ll}+|[\p{L}\p{M}]+(?=['’])|['’]\p{L}{1,2}|[\p{L}\p{M}]+|\d{1,2}"
       r"|[^\s\w]++\s?|\s+(?!\S)|\s")
# SmolLM2 has no tokens for these bytes.
ABSENT = bytes.fromhex("04 06 13 14 16 1d c0 c1 f1 f2 f5 f6 f7 f8 f9 fa fb fc fd fe ff")

SENTENCES = [
    "The senator said that the bill would not pass before the summer recess.",
    "Critics of the plan say it doesn't go far enough; supporters say it's a start.",
    "The council's vote, taken late on Tuesday, was 7 to 5, and the mayor won't veto it.",
    "They've argued for years about taxes, schools, roads and the price of bread.",
    "We'll know more on 14 March 2021, when the 1,250 ballots have been counted.",
    "In 1984 the newspaper printed 300,000 copies a day; in 2014 it printed 12,345.",
    "\"I'm not sure,\" she said, \"that you're right.\"  He'd heard that before...",
    "La ministre a déclaré que l'économie française résistait à la crise.",
    "Die Bürger wählten am Sonntag; größere Änderungen blieben aus.",
    "El señor Muñoz habló de la situación económica en España.",
    "Президент сказал, что реформа начнётся весной.",
    "Οι πολίτες ψήφισαν την Κυριακή.",
    "新しい法律は来年から施行される。", "议会星期二通过了这项法案。",
    "대통령은 새로운 정책을 발표했다.",
    "حكومة جديدة تعلن عن خطة اقتصادية.",
    "नई सरकार ने बजट पेश किया।",
    "The cat \U0001F408 and the flag \U0001F1EB\U0001F1F7 — done.",
    "def classify(text):\n    return model(text)\n\n\tx += 1\r\n",
]

TEXTS = [
    "", " ", "  ", "   ", "\n", "\r\n", "\n\n \n", " \n", "\t", "a", " a", "a ", "  a  ", "a  b",
    "a   b", "The senator said that it's not.", "the senator's bill", "THE SENATOR'S BILL",
    "We'LL, they'Re, I'M", "it\u2019s", "x'\u017ft y'\u017f", "'s 's's", " 't", "''s", "'x",
    "can't've", "1", "12", "123", "1234", "12345678", "3.14", "1,250 ballots", "a1b22c333", " 7",
    "\xb2\xb3\xbc", "\u2167", "\u0663\u0664\u0665", "\U00011de0\U00016ff4", "!!!", "!!!\n\n",
    " !!!\n", "...", "a.b", "http://a.b/c?d=e#f", "foo_bar-baz", "a/b//c/\n", "()[]{}<>",
    "CamelCaseWord", "ABCdef", "aBC", "\u01c5x", "\u02b0ABC", "A\u0301b\u0301",
    "e\u0301 caf\xe9 cafe\u0301", "\u0301", "\u0301a", " \u0301", "d\xe9clar\xe9 l'\xe9conomie",
    "Gr\xf6\xdfe", "\u1e9b\u0323", "\uac00\u1100\u1161\u11a8", "\u0344", "q\u0307\u0323",
    "\ufb01\u2460\uff21", "\u0130stanbul \u0130",
    "\u041f\u0440\u0435\u0437\u0438\u0434\u0435\u043d\u0442",
    "\u039f\u03b9 \u03c0\u03bf\u03bb\u03af\u03c4\u03b5\u03c2", "\u65b0\u3057\u3044\u6cd5\u5f8b",
    "\ub300\ud1b5\ub839", "\u062d\u0643\u0648\u0645\u0629",
    "\u0928\u0908 \u0938\u0930\u0915\u093e\u0930", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1eb\U0001f1f7", "\u2764\ufe0f",
    "\U0001d518\U0001d52b", "\U00020000\U0002a6df", "\x00", "a\x00b", "\x04\x06\x13",
    "a\x14b\x16 c\x1dd", "\x1c\x1f", "\x7f", "\x85", "\xa0x", "x\xa0 y", "\u2003\u3000",
    "\u200b\ufeff", "\u180ex", "\ue000\U0010ffff", "\u0378\U000e0001", "\ud7ff\ue000",
    "\u2028a\u2029", "<s>", "</s>", "Hello<|eot_id|>x", " <|eot_id|> ", "<|begin_of_text|>",
    "<|im_start|>user\n", "<|im_", "<|eot_id", "<|eot_id|><|eot_id|>", "  [left]  x",
    "x [right]  y", "[word]", " [word] ", "a[word]b", "_[word]", "\xe9[word]", "[word][word]",
    "[Normal]", "[NORMAL] x", "x[normal]y", "  [left][right]  [left]", "<unk>", "\u2581",
    "\u2581\u2581a", "a \u2581b", "x\u2581", "<0x41>", "qzzqa xxaxbxx",
    "a\xb2 !\xb2!a A!x! \n\n1.1'\xe9\u0301 \xb2\xb2 \u0301a a!", "unreachable", " unreachable",
    "zyzzyva \u0416\u0416\u0416 qqq",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "the the the the",
    "thethethethethethethethethethethethethethethethethethethethe",
    "\t\tif x:\r\n\t\t\treturn 1\r\n", "-----\n=====\n", "\u2014\u2014 \xab\xbb \u2026",
]


def train(tokenizer, size, alphabet, special=()):
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False,
                                  special_tokens=list(special))
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    return json.loads(tokenizer.to_str())


def byte_level(pre_tokenizer, size=620, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, size, pre_tokenizers.ByteLevel.alphabet())


def split(regex):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(regex), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def template(name, token_id, trailing=()):
    single = [{"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tokens = {name: {"id": name, "ids": [token_id], "tokens": [name]}}
    for other, other_id in trailing:
        single.append({"SpecialToken": {"id": other, "type_id": 0}})
        tokens[other] = {"id": other, "ids": [other_id], "tokens": [other]}
    pair = single + [{"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def trim(trim_offsets):
    return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": trim_offsets,
            "use_regex": True}


def add(spec, content, **flags):
    """An added token, numbered on where the vocabulary does not have it."""
    vocab = spec["model"]["vocab"]
    known = {t["content"] for t in spec["added_tokens"]} | set(vocab)
    new = max([len(vocab) - 1] + [t["id"] for t in spec["added_tokens"]]) + 1
    token = {"id": vocab.get(content, new), "content": content, "single_word": False,
             "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    token.update(flags)
    spec["added_tokens"].append(token)
    assert content not in known or content in vocab
    return token["id"]


def gpt2():
    spec = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    add(spec, "<|endoftext|>")
    spec["post_processor"] = trim(True)
    spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
    return spec


def gpt2_prefix():
    spec = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), size=400)
    spec["post_processor"] = trim(True)
    return spec


def llama3():
    spec = byte_level(split(LLAMA3))
    vocab = spec["model"]["vocab"]
    for word in ("\u0120unreachable", "unreachable", "\u0120senatorial", "12345"):
        vocab[word] = len(vocab)
    spec["model"]["ignore_merges"] = True
    bos = add(spec, "<|begin_of_text|>")
    add(spec, "<|end_of_text|>")
    add(spec, "<|eot_id|>")
    spec["post_processor"] = {"type": "Sequence",
                              "processors": [trim(False), template("<|begin_of_text|>", bos)]}
    return spec


def smollm2():
    spec = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    vocab = spec["model"]["vocab"]
    alphabet = {b: c for b, c in zip(*byte_alphabet())}
    gone = {alphabet[b] for b in ABSENT}
    assert not any(gone & set(token) for token in vocab if len(token) > 1)
    kept = [t for t in sorted(vocab, key=vocab.get) if t not in gone]
    spec["model"]["vocab"] = {t: i for i, t in enumerate(["<|endoftext|>", "<|im_start|>"] + kept)}
    add(spec, "<|endoftext|>")
    add(spec, "<|im_start|>")
    spec["post_processor"] = trim(True)
    spec["model"]["continuing_subword_prefix"] = ""
    spec["model"]["end_of_word_suffix"] = ""
    return spec


def byte_alphabet():
    own = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or 0xAE <= b]
    rest = [b for b in range(256) if b not in own]
    return own + rest, [chr(b) for b in own] + [chr(256 + i) for i in range(len(rest))]


def pairs():
    """A pattern of PCRE2's, and a merge for every pair of some bytes, so that each split shows."""
    spec = byte_level(split(r"\w+|[^\w\s\p{S}]+|(?i:a)(?=!)|\S|\s\s"), size=0)
    alphabet = {b: c for b, c in zip(*byte_alphabet())}
    some = [alphabet[b] for b in "aAx1!.' \n\u00b2\u0301\u00e9".encode()]
    for left in dict.fromkeys(some):
        for right in dict.fromkeys(some):
            spec["model"]["vocab"][left + right] = len(spec["model"]["vocab"])
            spec["model"]["merges"].append([left, right])
    return spec


def qwen2():
    spec = byte_level(split(QWEN2))
    spec["normalizer"] = {"type": "NFC"}
    for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        add(spec, name)
    add(spec, "<tool>", special=False)
    spec["post_processor"] = trim(False)
    return spec


def tekken():
    spec = byte_level(split(TEKKEN))
    spec["model"]["ignore_merges"] = True
    add(spec, "<unk>")
    bos = add(spec, "<s>")
    add(spec, "</s>")
    spec["post_processor"] = template("<s>", bos)
    return spec


def mistral(prepend):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    fallback = ["<0x%02X>" % b for b in range(256)]
    spec = train(tokenizer, 700, [], ["<unk>", "<s>", "</s>"] + fallback)
    if prepend:
        spec["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
        spec["pre_tokenizer"] = None
    else:
        spec["normalizer"] = None
        spec["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581",
                                 "prepend_scheme": "first", "split": False}
    spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
    spec["added_tokens"] = spec["added_tokens"][:3]
    spec["post_processor"] = template("<s>", 1)
    return spec


def odd():
    """What the real models do not use together: every flag of added tokens, a pattern of our own,
    an unk token, a template with an end, no bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Strip(), normalizers.Lowercase(), normalizers.NFKD(),
        normalizers.Replace(Regex(r"\s{2,}"), " "), normalizers.Replace(Regex(r"z*(?=q)"), "_")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(OWN), "merged_with_previous"),
        pre_tokenizers.Metaspace(prepend_scheme="always", split=True)])
    spec = train(tokenizer, 330, [], ["<unk>", "<s>", "</s>"])
    add(spec, "[left]", lstrip=True)
    add(spec, "[right]", rstrip=True, special=False)
    add(spec, "[word]", single_word=True)
    add(spec, "[Normal]", normalized=True, special=False)
    spec["post_processor"] = template("<s>", 1, [("</s>", 2)])
    return spec


def words():
    """WhitespaceSplit and Digits without ByteLevel, Whitespace's words, fused unknowns."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Whitespace(),
        pre_tokenizers.Split(Regex(r"[aeiou]"), "contiguous", invert=True)])
    spec = train(tokenizer, 300, [], ["<unk>"])
    return spec


def spm():
    """A SentencePiece vocabulary: tokens with scores, merging by the score of what comes out. In
    tokenizer.json that is every way to cut a token in two, the best score first."""
    spec = mistral(True)
    vocab = spec["model"]["vocab"]
    pieces = sorted(vocab, key=vocab.get)
    score = {p: -float(i) for i, p in enumerate(pieces)}
    merges = []
    for piece in sorted((p for p in pieces[259:] if len(p) > 1), key=lambda p: -score[p]):
        merges += [[piece[:cut], piece[cut:]] for cut in range(1, len(piece))
                   if piece[:cut] in vocab and piece[cut:] in vocab]
    spec["model"]["merges"] = merges
    types = [2, 3, 3] + [6] * 256 + [1] * (len(pieces) - 259)
    gguf = {"tokens": pieces, "scores": [score[p] for p in pieces], "types": types}
    return spec, gguf


def byte_offsets(text, offsets):
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [at[i] for pair in offsets for i in pair]


def expected(spec):
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    entries = []
    for text in TEXTS:
        tokenizer.encode_special_tokens = False
        encoding = tokenizer.encode(text)
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False)
        entries.append({"ids": encoding.ids, "offsets": byte_offsets(text, encoding.offsets),
                        "plain": plain.ids})
    return entries


def write(name, value, lines=False):
    dump = lambda v: json.dumps(v, ensure_ascii=False, separators=(",", ":"))
    text = "[\n" + ",\n".join(map(dump, value)) + "\n]" if lines else dump(value)
    (TARGET / name).write_text(text + "\n")


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "tokenizer_texts.json").write_text(json.dumps(TEXTS, indent=0) + "\n")
    spm_spec, gguf = spm()
    kinds = {"gpt2": gpt2(), "gpt2_prefix": gpt2_prefix(), "llama3": llama3(), "smollm2": smollm2(),
             "qwen2": qwen2(), "tekken": tekken(), "mistral_prepend": mistral(True),
             "mistral_metaspace": mistral(False), "odd": odd(), "words": words(),
             "pairs": pairs(), "spm": spm_spec}
    for kind, spec in kinds.items():
        spec.pop("decoder", None)
        write(f"tokenizer_{kind}.json", spec)
        write(f"tokenizer_{kind}.ids.json", expected(spec), lines=True)
        print(kind, len(spec["model"]["vocab"]), "tokens,", len(spec["model"]["merges"]), "merges")
    write("tokenizer_spm.gguf.json", gguf)


if __name__ == "__main__":
    main()
