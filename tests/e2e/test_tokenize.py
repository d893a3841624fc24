"""slant tokenize: ids, pieces and byte offsets."""

import json

from harness import ARTICLES, GOLDEN, Case, main, slant


class Tokenize(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.expected = json.loads((GOLDEN / "expected.json").read_text())["texts"]

    def tokenize(self, *arguments, **how):
        return slant("tokenize", *self.model[:2], *arguments, **how)

    def test_ids_are_those_of_the_reference(self):
        file = self.write("a.json", json.dumps([row["text"] for row in self.expected]))
        lines = self.tokenize("--format", "ids", file).out.decode().splitlines()
        self.assertEqual(
            [json.loads(line) for line in lines], [row["tokenizer.json"] for row in self.expected]
        )

    def test_one_line_for_each_article_whatever_happens(self):
        file = self.write("a.jsonl", b'"one"\n"two\\n\\nlines"\n{"no": 1}\n"\xff"\n""\n')
        result = self.tokenize("--format", "ids", file)
        self.assertEqual(result.status, 3, result.err)
        lines = [json.loads(line) for line in result.out.splitlines()]
        self.assertEqual(len(lines), 5)
        self.assertEqual(lines[2:4], [[], []])
        self.assertEqual(lines[4], [0])  # the special token alone, as the model gets it

    def test_pieces_and_offsets(self):
        text = "Café “naïve” 12345\n\n😀 end"
        result = self.tokenize("--format", "jsonl", "--text", text)
        self.assertEqual(result.status, 0, result.err)
        row = json.loads(result.out)
        self.assertEqual(row["id"], "text:1")
        self.assertEqual(len({len(row[key]) for key in ("ids", "pieces", "offsets")}), 1)
        self.assertEqual(
            row["ids"], json.loads(self.tokenize("--format", "ids", "--text", text).out)
        )
        data = text.encode()
        last = 0
        for start, end in row["offsets"][1:]:
            self.assertLessEqual(start, end)
            self.assertLessEqual(end, len(data))
            last = max(last, end)
        self.assertEqual(last, len(data))
        self.assertEqual(row["offsets"][0], [0, 0])

    def test_table_is_for_a_person(self):
        text = self.tokenize("--text", ARTICLES[0]).out.decode()
        ids = json.loads(self.tokenize("--format", "ids", "--text", ARTICLES[0]).out)
        self.assertIn(f"{len(ids)} tokens", text)
        self.assertEqual([int(line.split()[0]) for line in text.splitlines()[2:-1]], ids)

    def test_tokenizer_json_alone_will_do(self):
        want = self.tokenize("--format", "ids", "--text", ARTICLES[1]).out
        for path in (GOLDEN / "tokenizer.json", self.model[1]):
            result = slant("tokenize", "--model", path, "--format", "ids", "--text", ARTICLES[1])
            self.assertEqual((result.status, result.out), (0, want), result.err)

    def test_output_file(self):
        target = self.folder / "out.txt"
        result = self.tokenize("--format", "ids", "-o", target, "--text", ARTICLES[0])
        self.assertEqual((result.status, result.out), (0, b""))
        self.assertEqual(
            target.read_bytes(), self.tokenize("--format", "ids", "--text", ARTICLES[0]).out
        )

    def test_not_utf8(self):
        file = self.write("a.txt", b"abc\xfe")
        self.assertEqual(self.tokenize("--format", "ids", file).status, 3)
        lossy = self.tokenize("--lossy", "--format", "ids", file)
        self.assertEqual(lossy.out, self.tokenize("--format", "ids", "--text", "abc\ufffd").out)

    def test_wrong_usage(self):
        self.assert_refused(self.tokenize("--format", "xml", "--text", "a"), "table|ids|jsonl")
        self.assert_refused(self.tokenize("--text", "a", "b"), "--text")
        self.assert_failed(
            slant("tokenize", "--model", self.folder / "gone", "--text", "a"), "gone"
        )
        empty = self.folder / "empty"
        empty.mkdir()
        self.assert_failed(slant("tokenize", "--model", empty, "--text", "a"), "tokenizer.json")


if __name__ == "__main__":
    main()
