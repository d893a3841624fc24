"""slant bench: that its figures are those of the work it was asked for, and make sense. No timing
decides here."""

import json
import shutil

from harness import GOLDEN, ROOT, Case, environment, main, slant, slant_on_terminal

QUICK = ["--seconds", "10"]
COMPUTES = ["int8", "bf16", "fp32"]


class Bench(Case):
    def figures(self, *arguments, **how):
        result = slant("bench", "-q", *QUICK, *arguments, **how)
        self.assertEqual((result.status, result.err), (0, ""))
        return result.json()

    def assert_machine(self, machine):
        sets = machine["instruction_sets"]
        self.assertEqual([s["name"] for s in sets if s["used"]], [machine["isa"]])
        self.assertEqual(sets[-1]["name"], "scalar")
        for one in sets:
            # int16 is not for all of them.
            self.assertEqual(sorted(set(one["peaks"]) - {"int16"}), sorted(COMPUTES))
            for peak in one["peaks"].values():
                self.assertGreater(peak["gops"], 0.01)
                self.assertLess(peak["gops"], 1e7)
                self.assertTrue(peak["instruction"])

    def assert_work(self, work, threads_peak):
        for row in work:
            self.assertGreater(row["tokens"], 0)
            self.assertGreater(row["runs"], 0)
            self.assertGreater(row["seconds"], 0)
            self.assertGreaterEqual(row["seconds"], row["best_seconds"])
            self.assertAlmostEqual(row["tokens_per_s"] * row["seconds"] / row["tokens"], 1, 6)
            self.assertAlmostEqual(row["texts_per_s"] * row["seconds"] / row["texts"], 1, 6)
            self.assertGreater(row["share_of_peak"], 0)
            self.assertGreater(row["workspace_bytes"], 0)
            self.assertGreaterEqual(row["peak_rss_bytes"], 1 << 20)
            self.assertIn(row["compute"], threads_peak)

    def test_every_length_and_compute_has_its_row(self):
        figures = self.figures(
            *self.model, "--lengths", "short,16,64", "--compute", "int8,bf16,fp32", "--threads", 2
        )
        self.assert_machine(figures["machine"])
        self.assertEqual(figures["machine"]["threads"], 2)
        rows = [(row["length"], row["compute"]) for row in figures["work"]]
        self.assertEqual(rows, [(n, c) for n in (0, 16, 64) for c in COMPUTES])
        self.assertEqual(figures["skipped"], [])
        self.assert_work(figures["work"], COMPUTES)
        for row in figures["work"]:
            self.assertEqual(row["texts"], 1 if row["length"] else 64)
            if row["length"]:
                self.assertEqual(row["tokens"], row["length"])
            else:
                self.assertTrue(64 * 20 <= row["tokens"] <= 64 * 60)
        threads = [(row["compute"], row["threads"]) for row in figures["scaling"]]
        self.assertEqual(threads, [(c, n) for c in COMPUTES for n in (2, 1)])

    def test_lengths_end_where_the_model_does(self):
        limit = json.loads((GOLDEN / "llama" / "config.json").read_text())[
            "max_position_embeddings"
        ]
        lengths = {row["length"] for row in self.figures(*self.model)["work"]}
        expected = {n for n in (0, 128, 512, 1024, 4096, 8192) if n <= limit}
        self.assertEqual(lengths, expected)
        over = slant("bench", "-q", *QUICK, *self.model, "--lengths", limit + 1)
        self.assert_refused(over, str(limit + 1), str(limit))

    def test_model_without_tokenizer_and_head_will_do(self):
        bare = self.folder / "bare"
        shutil.copytree(self.model[1], bare)
        (bare / "tokenizer.json").unlink()
        figures = self.figures("--model", bare, "--lengths", "32", "--compute", "fp32")
        self.assertIsNone(figures["model"]["adapter"])
        self.assert_work(figures["work"], ["fp32"])

    def test_embedded_model(self):
        figures = self.figures(
            "--lengths", "short,64", "--seconds", "3", env=environment(SLANT_MODEL=str(ROOT / "models" / "news-bias"))
        )
        self.assertEqual(figures["model"]["layers"], 8)
        self.assertGreater(figures["model"]["linear_weights"], 20_000_000)
        self.assertIsNotNone(figures["model"]["adapter"])
        self.assertGreaterEqual(figures["model"]["first_open_ms"], figures["model"]["open_ms"])
        self.assert_work(figures["work"], COMPUTES)

    def test_machine_alone(self):
        figures = self.figures("--machine", env=environment(SLANT_ISA="scalar"))
        self.assertEqual(figures["machine"]["isa"], "scalar")
        self.assert_machine(figures["machine"])
        self.assertNotIn("work", figures)

    def test_table_and_file(self):
        status, shown = slant_on_terminal(
            "bench", *QUICK, *map(str, self.model), "--lengths", "16", "--compute", "fp32"
        )
        self.assertEqual(status, 0)
        for word in ("share of peak", "16 tokens", "fp32", "scalar", "memory", "opens in"):
            self.assertIn(word, shown)
        target = self.folder / "bench.json"
        arguments = ["bench", *QUICK, *self.model, "--lengths", "16", "--compute", "fp32"]
        result = slant(*arguments, "-o", target)
        self.assertEqual((result.status, result.out), (0, b""))
        self.assertIn("peaks of the instruction sets", result.err)
        self.assertEqual(len(json.loads(target.read_text())["work"]), 1)

    def test_what_does_not_fit_is_named(self):
        figures = self.figures(
            *self.model, "--lengths", ",".join(["64"] * 24), "--compute", "fp32", "--seconds", "1"
        )
        self.assertEqual(len(figures["work"]) + len(figures["skipped"]), 24)

    def test_refusals(self):
        self.assert_refused(slant("bench", "model"), "--model")
        self.assert_refused(slant("bench", "--seconds", "0"), "--seconds")
        for option, value in (("--compute", "int4"), ("--lengths", "12x"), ("--lengths", "0")):
            result = slant("bench", "-q", *self.model, option, value)
            self.assert_refused(result, value)
        self.assert_failed(slant("bench", "-q", "--model", self.folder / "gone"), "gone")


if __name__ == "__main__":
    main()
