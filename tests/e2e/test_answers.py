"""The shapes of answers: every format and every option that changes one."""

import csv
import io
import itertools
import json
import math
import struct

from harness import ARTICLES, LABELS, Case, environment, main, slant, slant_on_terminal


class Formats(Case):
    def setUp(self):
        super().setUp()
        self.file = self.write(
            "news.jsonl",
            "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(ARTICLES)),
        )
        self.rows = self.answers(self.file)

    def test_jsonl_has_one_object_for_each_article(self):
        self.assertEqual([row["id"] for row in self.rows], [0, 1, 2, 3])
        for row in self.rows:
            self.assertEqual(
                list(row), ["id", "label", "score", "scores", "tokens", "tokens_read", "truncated"]
            )
            self.assertEqual(list(row["scores"]), LABELS)
            self.assertAlmostEqual(sum(row["scores"].values()), 1, places=5)
            self.assertEqual(row["score"], max(row["scores"].values()))
            self.assertEqual(row["scores"][row["label"]], row["score"])
            self.assertEqual(row["tokens"], row["tokens_read"])
            self.assertIs(row["truncated"], False)

    def test_json_is_the_default_off_a_terminal_and_is_the_pipelines(self):
        result = self.classify(self.file)
        self.assertEqual(result.status, 0, result.err)
        self.assertEqual(result.out, self.classify("--format", "json", self.file).out)
        for article, row in zip(result.json(), self.rows, strict=True):
            self.assertEqual([set(pair) for pair in article], [{"label", "score"}] * 3)
            scores = [pair["score"] for pair in article]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertEqual({pair["label"]: pair["score"] for pair in article}, row["scores"])

    def test_scores_are_single_precision_printed_as_python_prints_them(self):
        for row in self.rows:
            for score in row["scores"].values():
                self.assertEqual(struct.unpack("f", struct.pack("f", score))[0], score)
        for line in self.classify("--format", "jsonl", self.file).out.decode().splitlines():
            self.assertEqual(json.dumps(json.loads(line)), line)

    def test_map_is_the_model_cards(self):
        result = self.classify("--format", "map", self.file)
        self.assertEqual(result.json(), [[row["scores"]] for row in self.rows])
        self.assertEqual(list(result.json()[0][0]), LABELS)
        one = self.classify("--format", "map", "--text", ARTICLES[0])
        self.assertEqual(one.json(), [[self.rows[0]["scores"]]])

    def test_csv_has_the_columns_of_jsonl(self):
        result = self.classify("--format", "csv", self.file)
        table = list(csv.DictReader(io.StringIO(result.out.decode(), newline="")))
        self.assertEqual(
            list(table[0]),
            [
                "id",
                "label",
                "score",
                *(f"scores.{name}" for name in LABELS),
                "tokens",
                "tokens_read",
                "truncated",
                "error",
            ],
        )
        for line, row in zip(table, self.rows, strict=True):
            self.assertEqual(line["id"], str(row["id"]))
            self.assertEqual(line["label"], row["label"])
            self.assertEqual(float(line["score"]), row["score"])
            self.assertEqual(
                [float(line[f"scores.{name}"]) for name in LABELS], list(row["scores"].values())
            )
            self.assertEqual(
                (line["tokens"], line["truncated"], line["error"]),
                (str(row["tokens"]), "false", ""),
            )

    def test_table_says_what_the_answers_rest_on(self):
        result = self.classify("--format", "table", self.file)
        text = result.out.decode()
        for row in self.rows:
            self.assertIn(f"{row['scores'][LABELS[0]] * 100:.1f} %", text)
            self.assertIn(f"→ {row['label']}   {row['tokens']} tokens, all read", text)
        self.assertIn("not an arbiter of political bias", text)
        self.assertIn("calibration", text)
        self.assertNotIn("\x1b", text)

    def test_table_is_the_default_on_a_terminal_and_in_colour(self):
        status, shown = slant_on_terminal("classify", *self.model, "--text", ARTICLES[0])
        self.assertEqual(status, 0)
        self.assertIn("█", shown)
        self.assertIn("\x1b[3", shown)
        for env in (environment(TERM="xterm", NO_COLOR="1"), environment(TERM="dumb")):
            status, shown = slant_on_terminal(
                "classify", *self.model, "--text", ARTICLES[0], env=env
            )
            self.assertEqual(status, 0)
            self.assertIn("█", shown)
            self.assertNotIn("\x1b", shown)

    def test_bars_are_of_blocks_where_no_locale_is_set(self):
        result = self.classify(
            "--format", "table", "--text", ARTICLES[0], env=environment(LC_ALL="C")
        )
        self.assertIn("█", result.out.decode())

    def test_output_file_holds_what_would_be_printed(self):
        for name in ("json", "jsonl", "csv", "map", "table"):
            target = self.folder / f"out.{name}"
            result = self.classify("--format", name, "-o", target, self.file)
            self.assertEqual((result.status, result.out), (0, b""), result.err)
            self.assertEqual(target.read_bytes(), self.classify("--format", name, self.file).out)
        self.assertEqual(len(list(self.folder.iterdir())), 6)


class Options(Case):
    def setUp(self):
        super().setUp()
        self.file = self.write("news.json", json.dumps(ARTICLES))
        self.full = self.answers(self.file)

    def test_top_k(self):
        flat = self.classify("--top-k", "1", self.file).json()
        self.assertEqual(
            flat, [{"label": row["label"], "score": row["score"]} for row in self.full]
        )
        two = self.classify("--top-k=2", self.file).json()
        self.assertEqual([len(article) for article in two], [2] * 4)
        self.assertEqual(
            self.classify("--top-k", "99", self.file).out, self.classify(self.file).out
        )
        for row, full in zip(self.answers("--top-k", "2", self.file), self.full, strict=True):
            self.assertEqual(len(row["scores"]), 2)
            self.assertEqual(
                list(row["scores"]), [name for name in LABELS if name in row["scores"]]
            )
            self.assertEqual(row["score"], full["score"])

    def test_labels_rename_in_order(self):
        rows = self.answers("--labels", "LEFT,CENTER,RIGHT", self.file)
        for row, full in zip(rows, self.full, strict=True):
            self.assertEqual(list(row["scores"]), ["LEFT", "CENTER", "RIGHT"])
            self.assertEqual(list(row["scores"].values()), list(full["scores"].values()))

    def test_abstain(self):
        top = sorted(row["score"] for row in self.full)
        between = (top[1] + top[2]) / 2
        rows = self.answers("--abstain", between, self.file)
        self.assertEqual(
            sorted(row["label"] == "UNSURE" for row in rows), [False, False, True, True]
        )
        for row, full in zip(rows, self.full, strict=True):
            self.assertEqual(row["label"], "UNSURE" if full["score"] < between else full["label"])
            self.assertEqual((row["score"], row["scores"]), (full["score"], full["scores"]))
        article = self.classify("--abstain", "1", "--text", ARTICLES[0]).json()[0]
        self.assertEqual(article[0], {"label": "UNSURE", "score": self.full[0]["score"]})
        self.assertEqual(len(article), 4)
        self.assertIn(
            "UNSURE", self.classify("--abstain", "1", "--format", "table", self.file).out.decode()
        )
        self.assertEqual(self.answers("--abstain", "0", self.file), self.full)

    def test_function_to_apply(self):
        logits = self.answers("--function-to-apply", "none", self.file)
        for row, full in zip(logits, self.full, strict=True):
            total = sum(math.exp(x) for x in row["scores"].values())
            for name in LABELS:
                self.assertAlmostEqual(
                    math.exp(row["scores"][name]) / total, full["scores"][name], places=6
                )
        for row, raw in zip(
            self.answers("--function-to-apply", "SIGMOID", self.file), logits, strict=True
        ):
            for name in LABELS:
                self.assertAlmostEqual(
                    row["scores"][name], 1 / (1 + math.exp(-raw["scores"][name])), places=6
                )
        self.assertEqual(self.answers("--function-to-apply", "softmax", self.file), self.full)

    def test_raw_is_the_same_without_a_calibration(self):
        self.assertEqual(self.answers("--raw", self.file), self.full)

    def test_truncation_says_what_was_read(self):
        n = self.full[1]["tokens"]
        for kind in ("head", "tail", "head-tail"):
            row = self.answers("--max-length", 8, "--truncation", kind, self.file)[1]
            self.assertEqual((row["tokens"], row["tokens_read"], row["truncated"]), (n, 8, True))
        for kind in ("window", "none"):
            row = self.answers("--max-length", 8, "--truncation", kind, self.file)[1]
            self.assertEqual((row["tokens"], row["tokens_read"], row["truncated"]), (n, n, False))
        strides = {
            self.answers("--max-length", 8, "--truncation", "window", "--stride", s, self.file)[1][
                "score"
            ]
            for s in (1, 4, 8)
        }
        self.assertEqual(len(strides), 3)
        none = self.answers("--max-length", 8, "--truncation", "none", self.file)
        self.assertEqual(none, self.full)

    def test_cuts_are_summed_up_where_answers_do_not_say_them(self):
        tokens = sum(row["tokens"] for row in self.full)
        for name in ("json", "map"):
            result = self.classify("--format", name, "--max-length", 8, self.file)
            self.assert_said(
                result, f"4 of 4 articles were cut: 32 of all {tokens} tokens were read"
            )
        result = self.classify("--format", "table", "--max-length", 8, self.file)
        self.assertIn(f"{self.full[0]['tokens']} tokens, only 8 read", result.out.decode())

    def test_answers_do_not_depend_on_company_order_or_threads(self):
        want = {text: row["scores"] for text, row in zip(ARTICLES, self.full, strict=True)}
        for threads in (1, 2, 3):
            for order in itertools.islice(itertools.permutations(ARTICLES), 0, 24, 5):
                rows = self.answers(
                    "--threads", threads, "--input", "json", stdin=json.dumps(order * 3)
                )
                self.assertEqual(
                    [row["scores"] for row in rows], [want[text] for text in order * 3]
                )
        for text in ARTICLES:
            self.assertEqual(self.answers("--text", text)[0]["scores"], want[text])

    def test_scalar_instruction_set_agrees(self):
        env = environment(SLANT_ISA="scalar")
        for compute in ("fp32", "bf16", "int8"):
            fast = self.answers("--compute", compute, self.file)
            slow = self.answers("--compute", compute, self.file, env=env)
            for a, b in zip(fast, slow, strict=True):
                for name in LABELS:
                    self.assertAlmostEqual(a["scores"][name], b["scores"][name], delta=0.02)

    def test_weights_can_be_held_otherwise(self):
        full = self.answers("--compute", "fp32", self.file)
        for dtype in ("bf16", "fp32"):
            rows = self.answers("--compute", "fp32", "--dtype", dtype, self.file)
            for row, want in zip(rows, full, strict=True):
                self.assertAlmostEqual(row["score"], want["score"], places=4)
        nf4 = self.answers("--dtype", "nf4", self.file)
        self.assertEqual(nf4, self.answers("--load-in-4bit", self.file))
        self.assertNotEqual(nf4, self.full)

    def test_verbose_says_what_ran_and_quiet_says_nothing(self):
        loud = self.classify("-v", "--compute", "fp32", self.file)
        self.assert_said(loud, "llama, 2 layers", "fp32 products", "4 articles", "tokens/s")
        self.assertEqual(self.classify("-q", self.file).err, "")


class Help(Case):
    def test_help_and_version(self):
        for arguments in (["--help"], ["help"], ["-h"]):
            result = slant(*arguments)
            self.assertEqual(result.status, 0)
            for command in ("classify", "tokenize", "import", "inspect", "train", "merge"):
                self.assertIn(command, result.out.decode())
        version = slant("--version").out.decode()
        self.assertRegex(version, r"^slant \d+\.\d+\.\d+\n")
        for part in ("jansson", "zstd", "this CPU runs"):
            self.assertIn(part, version)
        for command in ("classify", "tokenize", "import", "inspect", "train", "merge"):
            result = slant(command, "--help")
            self.assertEqual(result.status, 0)
            self.assertIn(f"Usage: slant {command}", result.out.decode())
            self.assertIn("--model", result.out.decode() + "--model" * (command == "import"))

    def test_nothing_at_all_is_wrong_usage(self):
        result = slant()
        self.assert_refused(result, "Usage: slant COMMAND")

    def test_unknown_words_are_refused_with_the_nearest(self):
        self.assert_refused(
            slant("clasify"), "unknown command 'clasify'", "did you mean 'classify'?"
        )
        self.assert_refused(slant("--frobnicate"), "unknown option '--frobnicate'")
        self.assert_refused(
            self.classify("--fromat", "json"), "unknown option --fromat", "--format"
        )
        self.assert_refused(self.classify("-Z"), "unknown option -Z")
        self.assert_refused(slant("tokenize", "--modle", "x"), "did you mean --model?")
        self.assert_refused(slant("inspect", "--frmat", "x"), "did you mean --format?")


if __name__ == "__main__":
    main()
