"""Output files: whole or not at all, or resumable wherever a kill falls."""

import json
import os
import random
import re
import resource
import signal
import stat
import subprocess
import time

from harness import ARTICLES, GOLDEN, PROGRAM, Case, environment, main

FORMATS = ("jsonl", "csv", "json", "map", "table")


def corpus(n, seed=1):
    """n different articles of different lengths, a few of them empty."""
    rng = random.Random(seed)
    words = " ".join(ARTICLES).split()
    for i in range(n):
        length = 0 if i % 97 == 5 else rng.randint(5, 60)
        yield {"id": f"a{i}", "text": " ".join(rng.choice(words) for _ in range(length))}


class Resume(Case):
    def setUp(self):
        super().setUp()
        self.input = self.write(
            "news.jsonl", "".join(json.dumps(row) + "\n" for row in corpus(1500))
        )
        self.output = self.folder / "out"
        self.journal = self.folder / "out.resume"

    def command(self, name="jsonl", *more):
        return [
            PROGRAM,
            "classify",
            *self.model,
            "--threads",
            "1",
            "--compute",
            "fp32",
            "--format",
            name,
            "-o",
            str(self.output),
            "--resume",
            *more,
            str(self.input),
        ]

    def run_whole(self, name="jsonl", *more):
        done = subprocess.run(self.command(name, *more), capture_output=True, env=environment())
        self.assertEqual(done.returncode, 3, done.stderr)
        return self.output.read_bytes()

    def run_until(self, rows, name="jsonl", how=signal.SIGKILL):
        """Starts a run and ends it once its output has grown by about so many bytes."""
        start = self.output.stat().st_size if self.output.exists() else 0
        child = subprocess.Popen(
            self.command(name), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
        )
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline:
            size = self.output.stat().st_size if self.output.exists() else 0
            if size - start > rows:
                child.send_signal(how)
                break
            time.sleep(0.002)
        said = child.communicate(timeout=60)[1].decode()
        return child.returncode, said

    def test_killed_again_and_again_it_gives_the_same(self):
        for name in FORMATS:
            with self.subTest(format=name):
                want = self.run_whole(name)
                self.output.unlink()
                self.journal.unlink()
                kills = 0
                for _ in range(6):
                    status, _ = self.run_until(1, name)
                    if status != -signal.SIGKILL:
                        break
                    kills += 1
                self.assertGreater(kills, 2)
                self.assertEqual(self.run_whole(name), want)
                self.output.unlink()
                self.journal.unlink()

    def test_output_cut_at_any_place_gives_the_same(self):
        want = self.run_whole()
        rng = random.Random(3)
        for _ in range(5):
            os.truncate(self.output, rng.randrange(len(want)))
            self.assertEqual(self.run_whole(), want)
        journal = self.journal.read_bytes()
        header = journal.index(b"\n") + 1
        for _ in range(5):
            os.truncate(self.journal, rng.randrange(header, len(journal)))
            self.assertEqual(self.run_whole(), want)

    def test_finished_is_finished_and_more_input_is_added(self):
        want = self.run_whole()
        done = subprocess.run(self.command(), capture_output=True, env=environment())
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"going on after 1500 articles", done.stderr)
        self.assertEqual(self.output.read_bytes(), want)
        with self.input.open("a") as f:
            f.write(json.dumps({"id": "new", "text": ARTICLES[0]}) + "\n")
        longer = self.run_whole()
        self.assertEqual(longer[: len(want)], want)
        self.assertEqual(json.loads(longer[len(want) :])["id"], "new")

    def test_every_row_is_there_once(self):
        self.run_until(20000)
        rows = [json.loads(line) for line in self.run_whole().splitlines()]
        self.assertEqual([row["id"] for row in rows], [f"a{i}" for i in range(1500)])

    def test_interrupt_stops_cleanly_and_says_how_to_go_on(self):
        status, said = self.run_until(1, how=signal.SIGINT)
        self.assertEqual(status, -signal.SIGINT)
        self.assertIn("the same command goes on from there", said)
        text = self.output.read_bytes()
        self.assertTrue(text.endswith(b"}\n"))
        self.run_whole()

    def has_entry(self):
        """Whether a batch is on record: a kill may fall between its answers and its line."""
        return self.journal.exists() and self.journal.read_bytes().count(b"\n") > 1

    def test_another_model_input_or_option_is_refused(self):
        while not self.has_entry():
            self.run_until(1)
        before = self.output.read_bytes()

        def refuse(words, command):
            done = subprocess.run(command, capture_output=True, env=environment())
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(words.encode(), done.stderr)

        refuse("--top-k", self.command("jsonl", "--top-k", "2"))
        refuse("--format", self.command("csv"))
        refuse("--max-length", self.command("jsonl", "--max-length", "16"))
        refuse("labels", self.command("jsonl", "--labels", "A,B,C"))
        refuse("test sentence", self.command("jsonl", "--adapter", str(self.other_adapter())))
        text = self.input.read_text()
        self.input.write_text(text.replace("senator", "governor", 1))
        refuse("other articles", self.command())
        self.input.write_text(text.splitlines(keepends=True)[0])
        refuse("other articles", self.command())
        self.input.write_text(text)
        self.assertTrue(
            self.output.read_bytes().startswith(before[: before.rindex(b"\n") + 1][:100])
        )
        self.run_whole()

    def other_adapter(self):
        return GOLDEN / "adapters" / "rslora"

    def test_threads_may_change(self):
        want = self.run_whole("jsonl", "--threads", "1")
        self.output.unlink()
        self.journal.unlink()
        self.run_until(1)
        self.assertEqual(self.run_whole("jsonl", "--threads", "2"), want)

    def test_file_of_somebody_else_is_left_alone(self):
        self.output.write_text("my notes\n")
        done = subprocess.run(self.command(), capture_output=True, env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"begun with --resume", done.stderr)
        self.assertEqual(self.output.read_text(), "my notes\n")

    def test_two_runs_do_not_share_a_file(self):
        child = subprocess.Popen(self.command(), stderr=subprocess.DEVNULL, env=environment())
        while not self.output.exists() or self.output.stat().st_size == 0:
            time.sleep(0.002)
        child.send_signal(signal.SIGSTOP)
        done = subprocess.run(self.command(), capture_output=True, env=environment())
        child.kill()
        child.wait()
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"another slant", done.stderr)


class WholeOrNotAtAll(Case):
    def setUp(self):
        super().setUp()
        self.input = self.write(
            "news.jsonl", "".join(json.dumps(row) + "\n" for row in corpus(4000))
        )
        self.output = self.folder / "out.jsonl"

    def command(self):
        return [
            PROGRAM,
            "classify",
            *self.model,
            "--format",
            "jsonl",
            "-o",
            str(self.output),
            str(self.input),
        ]

    def test_interrupt_leaves_the_old_file_and_nothing_else(self):
        self.output.write_text("old\n")
        child = subprocess.Popen(self.command(), stderr=subprocess.PIPE, env=environment())
        while not any(
            path.suffix == ".tmp" and path.stat().st_size for path in self.folder.iterdir()
        ):
            self.assertIsNone(child.poll())
            time.sleep(0.002)
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1]
        self.assertEqual(child.returncode, -signal.SIGINT)
        self.assertIn(b"With --resume", said)
        self.assertEqual(self.output.read_text(), "old\n")
        self.assertEqual(
            sorted(path.name for path in self.folder.iterdir()), ["news.jsonl", "out.jsonl"]
        )

    def test_kill_leaves_the_old_file(self):
        self.output.write_text("old\n")
        child = subprocess.Popen(self.command(), stderr=subprocess.DEVNULL, env=environment())
        time.sleep(0.2)
        child.kill()
        child.wait()
        self.assertEqual(self.output.read_text(), "old\n")

    def test_link_is_followed_not_replaced(self):
        target = self.write("target.jsonl", "old\n")
        self.output.symlink_to(target)
        result = self.classify("--format", "jsonl", "-o", self.output, "--text", ARTICLES[0])
        self.assertEqual(result.status, 0, result.err)
        self.assertTrue(self.output.is_symlink())
        self.assertEqual(json.loads(target.read_text())["id"], "text:1")

    def test_devices_are_written_to_not_replaced(self):
        result = self.classify("-o", "/dev/null", "--text", ARTICLES[0])
        self.assertEqual(result.status, 0, result.err)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        result = self.classify("-o", "/dev/stdout", "--text", ARTICLES[0])
        self.assertEqual(len(result.json()), 1)
        result = self.classify("-o", "/dev/full", "--text", ARTICLES[0])
        self.assert_failed(result, "/dev/full", "No space left")
        self.assert_refused(
            self.classify("-o", "/dev/null", "--resume", "--text", ARTICLES[0]), "/dev/null"
        )

    def test_full_standard_output_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            for arguments in (
                ["classify", *self.model, "--text", ARTICLES[0]],
                ["--help"],
                ["--version"],
                ["classify", "--help"],
            ):
                done = subprocess.run(
                    [PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, env=environment()
                )
                self.assertEqual(done.returncode, 1, arguments)
                self.assertIn(b"cannot be written", done.stderr)

    def test_full_disk_leaves_nothing_and_can_be_resumed(self):
        """A file size limit stands in for a disk: the write fails in the same place."""

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))

        done = subprocess.run(
            self.command(), capture_output=True, env=environment(), preexec_fn=limit
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot be written", done.stderr)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["news.jsonl"])

        command = self.command()[:-1] + ["--resume", str(self.input)]
        done = subprocess.run(command, capture_output=True, env=environment(), preexec_fn=limit)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot be written", done.stderr)
        done = subprocess.run(command, capture_output=True, env=environment())
        self.assertEqual(done.returncode, 3, done.stderr)
        rows = [json.loads(line) for line in self.output.read_text().splitlines()]
        self.assertEqual([row["id"] for row in rows], [f"a{i}" for i in range(4000)])

    def test_folder_that_is_not_there(self):
        self.assert_failed(
            self.classify("-o", self.folder / "no" / "out", "--text", "x y"),
            "no/out",
            "No such file",
        )
        self.assert_failed(self.classify("-o", self.folder, "--text", "x y"), "folder")

    def test_output_must_not_be_an_input(self):
        before = self.input.read_bytes()
        self.assert_refused(self.classify("-o", self.input, self.input), "one of the files to read")
        self.assertEqual(self.input.read_bytes(), before)
        self.write("d/a.txt", ARTICLES[0])
        self.assert_refused(
            self.classify("-r", "-o", self.folder / "d" / "out", self.folder / "d"),
            "a folder to read",
        )

    def test_progress_is_told_in_lines_off_a_terminal(self):
        slow = environment(SLANT_ISA="scalar")
        big = self.write("big.jsonl", "".join(json.dumps(row) + "\n" for row in corpus(60000)))
        child = subprocess.Popen(
            [*self.command()[:-1], "--compute", "fp32", str(big)], stderr=subprocess.PIPE, env=slow
        )
        words = re.compile(r"^[\d,]+ articles, \d+ %, [\d.]+/s, \d+:\d\d left\n$")
        deadline = time.monotonic() + 60
        line = None
        while line != "" and time.monotonic() < deadline:
            line = child.stderr.readline().decode()
            if words.match(line):
                break
        child.kill()
        child.communicate()
        self.assertRegex(line, words)


if __name__ == "__main__":
    main()
