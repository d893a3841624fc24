"""slant merge: what is written answers as base + adapter do, and the report says how nearly."""

import json

from harness import ARTICLES, Case, main, slant, slant_on_terminal


class Merge(Case):
    def merge(self, *arguments):
        return slant("merge", *self.model, *arguments)

    def scores(self, *arguments):
        result = slant("classify", "--compute", "fp32", "--format", "map", *arguments)
        self.assertEqual(result.status, 0, result.err)
        return [list(article[0].values()) for article in self.wrapped(result.json())]

    @staticmethod
    def wrapped(answers):
        """One list for each article, whatever the number of them."""
        return [a if isinstance(a, list) else [a] for a in answers]

    def articles(self):
        rows = "".join(json.dumps({"text": text}) + "\n" for text in ARTICLES)
        return self.write("news.jsonl", rows)

    def test_the_merged_model_answers_as_base_and_adapter_do(self):
        news = self.articles()
        want = self.scores(*self.model, news)
        for dtype, name, tolerance in (
            ("bf16", "folder", 0.02),
            ("bf16", "file.slant", 0.02),
            ("nf4", "folder4", 0.4),
            ("nf4", "file4.slant", 0.4),
        ):
            out = self.folder / name
            result = self.merge("--dtype", dtype, "--articles", news, "-o", out)
            self.assertEqual(result.status, 0, result.err)
            self.assertIn("written and compared", result.err)
            report = result.json()
            self.assertEqual(report["n_articles"], len(ARTICLES))
            apart = [
                abs(a - b)
                for x, y in zip(self.scores("--model", out, news), want)
                for a, b in zip(x, y)
            ]
            self.assertLess(max(apart), tolerance, name)
            self.assertAlmostEqual(max(apart), report["max_probability"], places=6)
            self.assertAlmostEqual(sum(apart) / len(apart), report["mean_probability"], places=6)

    def test_folder_holds_what_transformers_asks_for(self):
        out = self.folder / "out"
        self.assertEqual(self.merge("-q", "-o", out).status, 0)
        names = {p.name for p in out.iterdir()}
        self.assertLessEqual(
            {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}, names
        )
        config = json.loads((out / "config.json").read_text())
        self.assertEqual(config["architectures"], ["LlamaForSequenceClassification"])
        self.assertEqual(config["id2label"]["2"], "LABEL_2")
        self.assertEqual(config["label2id"]["LABEL_1"], 1)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["out"])

    def test_report_is_a_table_on_a_terminal(self):
        result = self.merge("--format", "table", "-o", self.folder / "a")
        self.assertIn("largest change of a probability", result.out.decode())
        status, shown = slant_on_terminal("merge", *self.model, "-o", self.folder / "b")
        self.assertEqual(status, 0)
        self.assertIn("linear weights that the adapter changed", shown)
        self.assertEqual(self.merge("-q", "-o", self.folder / "c").out, b"")

    def test_embedded_model_is_merged_with_its_own_adapter(self):
        out = self.folder / "out.slant"
        result = slant("merge", "-o", out)
        self.assertEqual(result.status, 0, result.err)
        self.assertLess(result.json()["max_probability"], 0.02)
        got = slant("classify", "--model", out, "--text", ARTICLES[0]).json()
        self.assertEqual({answer["label"] for answer in got[0]}, {"Left", "Center", "Right"})

    def test_nf4_that_loses_labels_is_told(self):
        result = slant("merge", "--dtype", "nf4", "-o", self.folder / "out.slant")
        self.assertEqual(result.status, 0, result.err)
        changed = result.json()["n_articles"] - result.json()["n_same_label"]
        self.assertEqual(changed > 0, "--dtype bf16 keeps" in result.err)

    def test_wrong_usage_and_failures(self):
        out = self.folder / "out"
        self.assert_refused(self.merge(), "-o OUT is needed")
        self.assert_refused(self.merge("x", "-o", out), "--model")
        self.assert_refused(slant("merge", *self.model[:2], "-o", out), "--adapter DIR is needed")
        self.assert_refused(self.merge("-o", self.folder), "is there already")
        self.assert_failed(self.merge("-o", out, "--articles", "gone.jsonl"), "gone.jsonl")
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    main()
