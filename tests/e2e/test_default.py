"""The embedded model over the articles of examples/: what a newcomer sees first."""

import csv
import io
import json
import unittest

from harness import BUILD, ROOT, Case, environment, main, slant

EXAMPLES = ROOT / "examples"
MODEL = ROOT / "models" / "news-bias"
DEFAULT = environment(SLANT_MODEL=str(MODEL))
LABELS = ["Left", "Center", "Right"]


def instruction_sets():
    """Those that run here, as the refusal of an unknown one names them."""
    refusal = slant("classify", "--text", "x", env=dict(DEFAULT, SLANT_ISA="none")).err
    return refusal.strip().rpartition(": ")[2].split(", ")


class Default(Case):
    def test_examples_are_answered(self):
        files = sorted([*EXAMPLES.glob("*.txt"), *EXAMPLES.glob("*.html")])
        result = slant("classify", "--format", "jsonl", *files, env=DEFAULT)
        self.assertEqual(result.status, 0, result.err)
        rows = result.jsonl()
        self.assertEqual([row["id"] for row in rows], [f"{file}:1" for file in files])
        for row in rows:
            self.assertEqual(list(row["scores"]), LABELS)
            self.assertEqual(row["tokens_read"], min(row["tokens"], 512))
            self.assertEqual(row["truncated"], row["tokens"] > 512)

    def test_structured_examples_keep_their_ids(self):
        rows = slant(
            "classify", "--format", "jsonl", EXAMPLES / "evening-edition.jsonl", env=DEFAULT
        ).jsonl()
        self.assertEqual([row["id"] for row in rows], ["ev-01", "ev-02", "ev-03"])
        sheet = slant("classify", "--format", "csv", EXAMPLES / "letters.csv", env=DEFAULT)
        table = list(csv.DictReader(io.StringIO(sheet.out.decode())))
        self.assertEqual([row["id"] for row in table], ["l-1", "l-2", "l-3"])

    def test_page_is_read_without_its_frame(self):
        page = slant("tokenize", "--format", "jsonl", EXAMPLES / "library-page.html", env=DEFAULT)
        text = "".join(page.jsonl()[0]["pieces"]).replace("Ġ", " ")
        self.assertIn("voted", text)
        self.assertIn("waiting lists", text)
        for frame in ("Subscribe for", "Pellman", "pumpkin", "Cookie", "tracker"):
            self.assertNotIn(frame, text)

    def test_every_instruction_set_gives_the_same_labels(self):
        """A lesser CPU is slower and answers the same."""
        self.assertIn("scalar", instruction_sets())
        for isa in instruction_sets():
            length = 24 if isa == "scalar" else 160
            want, got = self.rows("", length), self.rows(isa, length)
            self.assertEqual([row["label"] for row in want], [row["label"] for row in got], isa)
            for a, b in zip(want, got, strict=True):
                for label, score in a["scores"].items():
                    self.assertAlmostEqual(score, b["scores"][label], delta=0.03)

    def rows(self, isa, length):
        files = [*EXAMPLES.glob("*.txt"), *EXAMPLES.glob("*.html"), EXAMPLES / "letters.csv"]
        result = slant(
            *["classify", "--format", "jsonl", "--max-length", length, *sorted(files)],
            env=dict(DEFAULT, SLANT_ISA=isa),
        )
        self.assertEqual(result.status, 0, result.err)
        return result.jsonl()

    def test_every_instruction_set_learns_the_same(self):
        """One step over the NF4 base, whose derivatives some sets take through it in int8."""
        want = self.first_step("scalar", "fp32")
        for isa in instruction_sets():
            got = self.first_step(isa, "auto")
            self.assertAlmostEqual(got["loss"], want["loss"], delta=0.01, msg=isa)
            self.assertAlmostEqual(
                got["grad_norm"], want["grad_norm"], delta=0.02 * want["grad_norm"], msg=isa
            )

    def first_step(self, isa, compute):
        rows = [{"text": "The bill died in committee.", "label": name} for name in LABELS]
        data = self.write("train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        out = self.folder / isa
        result = slant(
            *["train", "--model", MODEL / "base.slant", "--adapter", MODEL, "--train", data],
            *["--labels", ",".join(LABELS), "--compute", compute, "--max-steps", 1],
            *["--per-device-train-batch-size", len(rows), "--logging-steps", 1],
            *["--lora-dropout", 0, "--save-strategy", "no", "--output-dir", out / compute],
            env=dict(DEFAULT, SLANT_ISA=isa),
        )
        self.assertEqual(result.status, 0, result.err)
        return json.loads((out / compute / "log.jsonl").read_text().splitlines()[0])

    def test_nothing_is_said_that_need_not_be(self):
        result = slant("classify", "--text", "The vote was close.", env=DEFAULT)
        self.assertEqual((result.status, result.err), (0, ""))

    @unittest.skipUnless(BUILD.parent == ROOT / "build", "built outside of the source tree")
    def test_model_is_found_beside_the_program(self):
        result = slant("classify", "--top-k", "1", "--text", "The vote was close.")
        self.assertEqual(result.status, 0, result.err)
        self.assertIn(result.json()[0]["label"], LABELS)
        facts = slant("inspect", "--format", "json").json()
        self.assertIn("news-bias", facts["path"])


if __name__ == "__main__":
    main()
