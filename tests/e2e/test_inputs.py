"""What can be read: every kind of file, compressed or not, and what goes wrong with each."""

import gzip
import json
import shutil
import subprocess

from harness import ARTICLES, PROGRAM, Case, environment, main, slant


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


class Inputs(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.want = {}
        for text in ARTICLES:
            result = slant("classify", *cls.model, "--format", "jsonl", "--text", text)
            cls.want[text] = result.jsonl()[0]["scores"]

    def check(self, rows, texts, ids=None):
        self.assertEqual([row["scores"] for row in rows], [self.want[text] for text in texts])
        if ids is not None:
            self.assertEqual([row["id"] for row in rows], ids)

    def test_text(self):
        self.write("a.txt", ARTICLES[0])
        rows = self.answers("a.txt", cwd=self.folder)
        self.check(rows, ARTICLES[:1], ["a.txt:1"])

    def test_text_is_used_verbatim(self):
        file = self.write("a.txt", "  " + ARTICLES[0] + "\n\n")
        self.assertNotEqual(self.answers(file)[0]["scores"], self.want[ARTICLES[0]])
        self.assertGreater(
            self.answers(file)[0]["tokens"], self.answers("--text", ARTICLES[0])[0]["tokens"]
        )

    def test_standard_input_is_read_where_no_file_is_named(self):
        self.check(self.answers(stdin=ARTICLES[0]), ARTICLES[:1], ["-:1"])
        self.check(self.answers("-", stdin=ARTICLES[1]), ARTICLES[1:2], ["-:1"])
        self.check(self.answers("--input", "jsonl", stdin=json.dumps(ARTICLES[1])), ARTICLES[1:2])
        self.check(self.answers(stdin=gzip.compress(ARTICLES[2].encode())), ARTICLES[2:3])
        self.check(self.answers(stdin=zstd(ARTICLES[2].encode())), ARTICLES[2:3])

    def test_text_option(self):
        self.check(self.answers("--text", ARTICLES[0]), ARTICLES[:1], ["text:1"])

    def test_json_in_all_its_forms(self):
        objects = [{"id": f"n{i}", "text": text} for i, text in enumerate(ARTICLES)]
        self.check(
            self.answers(self.write("a.json", json.dumps(objects, indent=2))),
            ARTICLES,
            ["n0", "n1", "n2", "n3"],
        )
        self.check(self.answers(self.write("b.json", json.dumps(ARTICLES))), ARTICLES)
        self.check(self.answers(self.write("c.json", json.dumps(objects[0]))), ARTICLES[:1], ["n0"])
        self.check(self.answers(self.write("d.json", json.dumps(ARTICLES[0]))), ARTICLES[:1])

    def test_jsonl(self):
        lines = [
            json.dumps({"id": 7, "text": ARTICLES[0]}),
            "",
            json.dumps(ARTICLES[1]),
            json.dumps({"_id": 2.5, "content": ARTICLES[2]}),
        ]
        file = self.write("a.jsonl", "\n".join(lines))
        self.check(self.answers(file), ARTICLES[:3], [7, f"{file}:3", 2.5])

    def test_csv_with_quoted_newlines(self):
        text = 'He said "no",\nand\r\nleft.'
        want = self.answers("--text", text)[0]["scores"]
        quoted = text.replace('"', '""')
        file = self.write("a.csv", f'id,body\r\n1,"{quoted}"\r\nx y,{ARTICLES[0]}\r\n')
        rows = self.answers(file)
        self.assertEqual(rows[0]["scores"], want)
        self.assertEqual(rows[1]["scores"], self.want[ARTICLES[0]])
        self.assertEqual([row["id"] for row in rows], ["1", "x y"])

    def test_tsv(self):
        file = self.write("a.tsv", "text\tid\n" + f"{ARTICLES[0]}\ta\n" + f"{ARTICLES[1]}\tb\n")
        self.check(self.answers(file), ARTICLES[:2], ["a", "b"])

    def test_fields_can_be_named(self):
        row = {"headline": "Roads", "story": ARTICLES[0], "key": "k", "text": "not this"}
        file = self.write("a.jsonl", json.dumps(row))
        self.check(
            self.answers("--text-field", "story", "--id-field", "key", file), ARTICLES[:1], ["k"]
        )
        titled = self.answers("--text-field", "story", "--title-field", "headline", file)
        self.assertEqual(
            titled[0]["scores"], self.answers("--text", "Roads\n" + ARTICLES[0])[0]["scores"]
        )

    def test_html_is_taken_out_of_its_page(self):
        body = " ".join(ARTICLES * 3)
        page = f"<html><head><title>T</title><script>x</script></head><body><nav>Home Sport</nav><article><h1>T</h1><p>{body}</p></article><footer>Terms</footer></body></html>"
        file = self.write("page.html", page)
        self.assertEqual(self.answers(file)[0]["scores"], self.answers("--text", body)[0]["scores"])

    def test_everything_can_be_compressed(self):
        data = {
            "a.txt": ARTICLES[0],
            "a.html": f"<html><body><article><p>{ARTICLES[0] * 5}</p></article></body></html>",
            "a.json": json.dumps(ARTICLES),
            "a.jsonl": "\n".join(map(json.dumps, ARTICLES)),
            "a.csv": "text\n" + "".join(f'"{text}"\n' for text in ARTICLES),
            "a.tsv": "text\n" + "".join(f"{text}\n" for text in ARTICLES),
        }
        for name, content in data.items():
            plain = self.answers(self.write(name, content))
            for ending, packed in (
                (".gz", gzip.compress(content.encode())),
                (".zst", zstd(content.encode())),
            ):
                rows = self.answers(self.write(name + ending, packed))
                self.assertEqual(
                    [row["scores"] for row in rows], [row["scores"] for row in plain], name + ending
                )

    def test_several_files_and_folders_in_order(self):
        self.write("d/b/z.txt", ARTICLES[2])
        self.write("d/a.txt", ARTICLES[1])
        self.write("d/c.jsonl", json.dumps(ARTICLES[3]))
        self.write("one.txt", ARTICLES[0])
        rows = self.answers("-r", "one.txt", "d", cwd=self.folder)
        self.check(
            rows,
            ARTICLES[:2] + ARTICLES[2:],
            ["one.txt:1", "d/a.txt:1", "d/b/z.txt:1", "d/c.jsonl:1"],
        )

    def test_nothing_in_the_input_is_nothing_in_the_output(self):
        file = self.write("a.jsonl", "\n\n")
        result = self.classify(file)
        self.assertEqual((result.status, result.json()), (0, []))
        self.assert_said(result, "no articles")
        self.assertEqual(self.classify("--format", "jsonl", file).out, b"")
        self.assertTrue(self.classify("--format", "csv", file).out.startswith(b"id,label,score"))


class BadInputs(Case):
    """A bad article costs its own row alone."""

    def check(self, content, name, bad, words, *arguments):
        """Rows of jsonl: those in bad have an error that holds words, the others none."""
        file = self.write(name, content)
        result = self.classify("--format", "jsonl", *arguments, name, cwd=self.folder)
        self.assertEqual(result.status, 3, result.err)
        rows = result.jsonl()
        for i, row in enumerate(rows):
            if i in bad:
                self.assertIn(words, row["error"])
                self.assertIn(name, row["error"])
                self.assertIsNone(row["label"])
                self.assertIsNone(row["scores"])
            else:
                self.assertNotIn("error", row)
        self.assertIn(words, result.err)
        return rows, file

    def test_not_utf8_is_refused_with_its_offset(self):
        rows, file = self.check(b"Good text and \xff then more", "a.txt", [0], "14")
        self.assertIn("UTF-8", rows[0]["error"])
        lossy = self.answers("--lossy", file)
        self.assertEqual(
            lossy[0]["scores"],
            self.answers("--text", "Good text and \ufffd then more")[0]["scores"],
        )

    def test_empty_articles(self):
        lines = "\n".join(
            json.dumps({"id": i, "text": t}) for i, t in enumerate(["", ARTICLES[0], ""])
        )
        rows, _ = self.check(lines, "a.jsonl", [0, 2], "empty")
        self.assertEqual([row["id"] for row in rows], [0, 1, 2])
        self.check(b"", "b.txt", [0], "empty")

    def test_broken_rows(self):
        lines = [
            json.dumps(ARTICLES[0]),
            '{"text": "broken',
            json.dumps({"no": 1}),
            json.dumps({"text": 5}),
            json.dumps(ARTICLES[1]),
        ]
        file = self.write("a.jsonl", "\n".join(lines))
        result = self.classify("--format", "jsonl", "a.jsonl", cwd=self.folder)
        self.assertEqual(result.status, 3)
        rows = result.jsonl()
        self.assertEqual(["error" in row for row in rows], [False, True, True, True, False])
        for number, row in enumerate(rows[1:4], 2):
            self.assertIn(f"a.jsonl: row {number}: ", row["error"])
            self.assertEqual(row["id"], f"a.jsonl:{number}")
        self.assert_said(result, "3 of 5 articles failed")

    def test_file_that_is_not_there_costs_one_row(self):
        self.write("a.txt", ARTICLES[0])
        result = self.classify("--format", "jsonl", "a.txt", "gone.txt", "a.txt", cwd=self.folder)
        self.assertEqual(result.status, 3)
        rows = result.jsonl()
        self.assertEqual(["error" in row for row in rows], [False, True, False])
        self.assertIn("gone.txt", rows[1]["error"])
        self.assertIn("No such file", rows[1]["error"])

    def test_folder_without_r_is_an_error_that_says_so(self):
        self.write("d/a.txt", ARTICLES[0])
        result = self.classify("d", cwd=self.folder)
        self.assert_refused(result, "d is a folder", "-r")
        self.assert_refused(slant("tokenize", *self.model[:2], "d", cwd=self.folder), "-r")

    def test_broken_off_compression(self):
        content = "\n".join(
            json.dumps({"id": i, "text": text * 200}) for i, text in enumerate(ARTICLES)
        ).encode()
        for ending, pack in ((".gz", gzip.compress), (".zst", zstd)):
            packed = pack(content)
            file = self.write("a.jsonl" + ending, packed[: len(packed) * 2 // 3])
            self.write("z.txt", ARTICLES[0])
            result = self.classify("--format", "jsonl", file, "z.txt", cwd=self.folder)
            self.assertEqual(result.status, 3, result.err)
            rows = result.jsonl()
            self.assertIn("error", rows[-2])
            self.assertNotIn("error", rows[-1])

    def test_error_stands_in_its_place_in_every_format(self):
        lines = "\n".join(
            json.dumps({"id": i, "text": t}) for i, t in enumerate([ARTICLES[0], "", ARTICLES[1]])
        )
        file = self.write("a.jsonl", lines)
        for name in ("json", "map"):
            result = self.classify("--format", name, file)
            self.assertEqual(result.status, 3)
            rows = result.json()
            self.assertEqual(list(rows[1]), ["error"])
            self.assertIsInstance(rows[0], list)
            self.assertIsInstance(rows[2], list)
        flat = self.classify("--top-k", "1", file).json()
        self.assertEqual(["error" in row for row in flat], [False, True, False])
        table = self.classify("--format", "table", file).out.decode()
        self.assertEqual(table.count("→"), 2)
        self.assertIn("empty", table)
        sheet = self.classify("--format", "csv", file).out.decode().splitlines()
        self.assertTrue(sheet[2].startswith("1,,,,,,,,,"), sheet[2])
        self.assertIn("empty", sheet[2])

    def test_names_do_not_steer_the_terminal(self):
        name = "a\x1b[2Jb.txt"
        self.write(name, "")
        result = self.classify("--format", "table", name, cwd=self.folder)
        self.assertEqual(result.status, 3)
        self.assertNotIn("\x1b", result.out.decode() + result.err)
        result = self.classify(name, "x\x1b[2J", cwd=self.folder)
        self.assertNotIn("\x1b", result.err)

    def test_many_errors_are_counted_not_listed(self):
        file = self.write("a.json", json.dumps([""] * 50))
        result = self.classify(file)
        self.assertEqual(result.status, 3)
        self.assertLess(len(result.err.splitlines()), 10)
        self.assert_said(result, "50 of 50 articles failed")


class BadModels(Case):
    def test_models_that_cannot_be_opened(self):
        self.assert_failed(
            slant("classify", "--model", self.folder / "gone", "--text", "x"), "gone"
        )
        empty = self.folder / "empty"
        empty.mkdir()
        self.assert_failed(
            slant("classify", "--model", empty, "--text", "x"), "empty: holds neither"
        )
        adapter = ["--adapter", str(self.folder / "no-adapter")]
        self.assert_failed(
            slant("classify", *self.model[:2], *adapter, "--text", "x"), "no-adapter"
        )

    def test_labels_of_another_number(self):
        self.assert_failed(self.classify("--labels", "A,B", "--text", "x"), "2 labels", "3")

    def test_base_without_a_head(self):
        result = slant("classify", *self.model[:2], "--text", "x")
        self.assert_failed(result, "score")

    def test_no_default_model(self):
        alone = self.folder / "bin" / "slant"
        alone.parent.mkdir()
        shutil.copy(PROGRAM, alone)
        done = subprocess.run(
            [alone, "classify", "--text", "x"], capture_output=True, env=environment()
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"--model or SLANT_MODEL", done.stderr)

    def test_model_from_the_environment(self):
        env = environment(SLANT_MODEL=self.model[1])
        result = slant("classify", *self.model[2:], "--text", ARTICLES[0], env=env)
        self.assertEqual(result.status, 0, result.err)
        self.assertEqual(result.json(), self.classify("--text", ARTICLES[0]).json())

    def test_wrong_instruction_set(self):
        result = self.classify("--text", "x", env=environment(SLANT_ISA="sse9"))
        self.assertEqual(result.status, 2)
        self.assert_said(result, "sse9", "scalar")


class WrongUsage(Case):
    def test_options_that_make_no_sense(self):
        cases = [
            (["--text", "a", "b.txt"], "--text"),
            (["--resume", "--text", "a"], "--resume needs -o FILE"),
            (["--resume", "-o", "-", "--text", "a"], "--resume needs -o FILE"),
            (["--abstain", "2", "--text", "a"], "--abstain takes 0 to 1"),
            (["--abstain", "0.5", "--function-to-apply", "none", "--text", "a"], "--abstain"),
            (["--top-k", "0", "--text", "a"], "--top-k takes 1 to"),
            (["--top-k", "many", "--text", "a"], "whole number"),
            (["--threads", "0", "--text", "a"], "--threads takes 1 to"),
            (["--max-length", "-3", "--text", "a"], "--max-length takes 1 to"),
            (["--format", "xml", "--text", "a"], "--format takes table|json|jsonl|csv|map"),
            (
                ["--truncation", "middle", "--text", "a"],
                "--truncation takes head|tail|head-tail|window|none",
            ),
            (["--function-to-apply", "relu", "--text", "a"], "softmax|sigmoid|none"),
            (["--stride", "4", "--text", "a"], "--stride goes with --truncation window"),
            (
                ["--stride", "9", "--max-length", "8", "--truncation", "window", "--text", "a"],
                "stride",
            ),
            (["--dtype", "int3", "--text", "a"], "--dtype takes auto|nf4|bf16|fp32"),
            (["--compute", "fp8", "--text", "a"], "--compute takes auto|int8|int16|bf16|fp32"),
            (["--load-in-4bit", "--dtype", "bf16", "--text", "a"], "--load-in-4bit"),
            (["-q", "-v", "--text", "a"], "-q and -v"),
            (["--text"], "--text needs a value"),
        ]
        for arguments, words in cases:
            with self.subTest(arguments=arguments):
                self.assert_refused(self.classify(*arguments), words)


if __name__ == "__main__":
    main()
