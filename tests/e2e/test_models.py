"""slant import and slant inspect, and classify over what they make and show."""

import json

from harness import ARTICLES, GOLDEN, Case, main, slant, slant_on_terminal


class Import(Case):
    def setUp(self):
        super().setUp()
        self.target = self.folder / "base.slant"

    def test_imported_model_gives_the_same_answers(self):
        for dtype in ([], ["--load-in-4bit"], ["--dtype", "fp32"], ["--dtype", "bf16"]):
            result = slant("import", self.model[1], "-o", self.target, *dtype)
            self.assertEqual(result.status, 0, result.err)
            self.assertIn("base.slant written", result.err)
            for text in ARTICLES:
                want = self.classify("--compute", "fp32", *dtype, "--text", text)
                got = slant(
                    "classify",
                    "--model",
                    self.target,
                    *self.model[2:],
                    "--compute",
                    "fp32",
                    "--text",
                    text,
                )
                self.assertEqual(got.status, 0, got.err)
                self.assertEqual(got.json(), want.json(), dtype)

    def test_gguf_is_imported_with_its_tokenizer(self):
        for kind in ("f32", "q8_0", "q4_1"):
            source = GOLDEN / "gguf" / f"{kind}.gguf"
            result = slant(
                "import", "-q", source, "-o", self.target, "--labels", "Left,Center,Right"
            )
            self.assertEqual((result.status, result.err), (0, ""))
            ids = slant("tokenize", "--model", source, "--format", "ids", "--text", ARTICLES[0])
            again = slant(
                "tokenize", "--model", self.target, "--format", "ids", "--text", ARTICLES[0]
            )
            self.assertEqual(ids.status, 0, ids.err)
            self.assertEqual(again.out, ids.out)

    def test_layers_are_cut(self):
        slant("import", self.model[1], "--layers", "1", "-o", self.target)
        facts = json.loads(slant("inspect", self.target, "--format", "json").out)
        self.assertEqual(facts["shape"]["layers"], 1)

    def test_slant_file_is_a_valid_safetensors_file(self):
        slant("import", self.model[1], "-o", self.target)
        data = self.target.read_bytes()
        header_bytes = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + header_bytes])
        spans = sorted(v["data_offsets"] for k, v in header.items() if k != "__metadata__")
        self.assertEqual(spans[0][0], 0)
        for (_, end), (start, _) in zip(spans, spans[1:]):
            self.assertEqual(end, start)
        self.assertEqual(8 + header_bytes + spans[-1][1], len(data))

    def test_import_is_the_same_whatever_the_threads(self):
        slant("import", self.model[1], "--load-in-4bit", "--threads", "1", "-o", self.target)
        other = self.folder / "other.slant"
        slant("import", self.model[1], "--load-in-4bit", "--threads", "2", "-o", other)
        self.assertEqual(self.target.read_bytes(), other.read_bytes())

    def test_wrong_usage_and_failures(self):
        self.assert_refused(slant("import", "-o", self.target), "one source")
        self.assert_refused(slant("import", "a", "b", "-o", self.target), "one source")
        self.assert_refused(slant("import", self.model[1]), "-o FILE is needed")
        self.assert_refused(
            slant("import", self.model[1], "-o", self.target, "--load-in-4bit", "--dtype", "bf16"),
            "--load-in-4bit",
        )
        self.assert_failed(slant("import", self.folder / "gone", "-o", self.target), "gone")
        broken = self.write("broken.gguf", (GOLDEN / "gguf" / "f16.gguf").read_bytes()[:5000])
        self.assert_failed(slant("import", broken, "-o", self.target), "broken.gguf")
        nowhere = self.folder / "no" / "base.slant"
        self.assert_failed(slant("import", self.model[1], "-o", nowhere), "No such file")
        self.assertFalse(self.target.exists())
        self.assertEqual([p.name for p in self.folder.iterdir()], ["broken.gguf"])

    def test_broken_slant_files_are_refused(self):
        slant("import", self.model[1], "-o", self.target)
        data = self.target.read_bytes()
        for size in (0, 7, 100, len(data) // 2, len(data) - 1):
            broken = self.write("broken.slant", data[:size])
            result = slant("classify", "--model", broken, *self.model[2:], "--text", "x")
            self.assert_failed(result, "broken.slant")


class Inspect(Case):
    def facts(self, *arguments):
        result = slant("inspect", "--format", "json", *arguments)
        self.assertEqual(result.status, 0, result.err)
        return result.json()

    def test_json_is_the_default_off_a_terminal(self):
        self.assertEqual(slant("inspect", self.model[1]).json(), self.facts(self.model[1]))
        self.assertEqual(slant("inspect", *self.model[:2]).json(), self.facts(self.model[1]))

    def test_every_kind_of_thing_can_be_looked_into(self):
        for path in (
            self.model[1],
            self.model[3],
            GOLDEN / "gguf" / "q4_1.gguf",
            GOLDEN / "adapters" / "output",
            GOLDEN / "adapters" / "output" / "checkpoint-8",
        ):
            self.assertIsInstance(self.facts(path), dict)

    def test_table_shows_the_facts(self):
        text = slant("inspect", self.model[1], "--format", "table").out.decode()
        self.assertIn("llama", text)
        self.assertIn("hidden size", text)
        status, shown = slant_on_terminal("inspect", self.model[1])
        self.assertEqual(status, 0)
        self.assertEqual(shown, text)

    def test_failures(self):
        self.assert_failed(slant("inspect", self.folder / "gone"), "gone")
        self.assert_refused(slant("inspect", "a", "b"), "one model")


if __name__ == "__main__":
    main()
