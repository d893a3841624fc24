"""What the end-to-end tests share: the built program, a tiny model put together from the goldens,
and ways to run the one over the other. Python's own library is all that they need."""

import json
import os
import pathlib
import pty
import select
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "models"
PROGRAM = os.environ["SLANT_PROGRAM"]
BUILD = pathlib.Path(os.environ["SLANT_BUILD_DIR"])
LABELS = ["LABEL_0", "LABEL_1", "LABEL_2"]
TIMEOUT = 600  # a guard against what hangs; scalar code under the sanitizers is slow


def environment(**changes):
    """This process's environment without what would change the program's answers."""
    env = {k: v for k, v in os.environ.items() if k not in ("SLANT_MODEL", "SLANT_ISA", "NO_COLOR")}
    env["LC_ALL"] = "C.UTF-8"
    env.update(changes)
    return env


class Result:
    def __init__(self, done):
        self.status = done.returncode
        self.out = done.stdout
        self.err = done.stderr.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.out)

    def jsonl(self):
        return [json.loads(line) for line in self.out.splitlines()]


def slant(*arguments, stdin=b"", env=None, cwd=None):
    """Runs the program to its end."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        env=env or environment(),
        cwd=cwd,
        timeout=TIMEOUT,
    )
    return Result(done)


def slant_on_terminal(*arguments, env=None):
    """Runs the program with a terminal for its standard output; gives the status and what was shown."""
    primary, secondary = pty.openpty()
    child = subprocess.Popen(
        [PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=secondary,
        stderr=subprocess.DEVNULL,
        env=env or environment(TERM="xterm-256color"),
    )
    os.close(secondary)
    shown = b""
    while True:
        ready, _, _ = select.select([primary], [], [], TIMEOUT)
        if not ready:
            child.kill()
            raise AssertionError("the program hangs")
        try:
            piece = os.read(primary, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(primary)
    return child.wait(), shown.decode().replace("\r\n", "\n")


def make_model(folder, with_adapter=True):
    """A Llama of two layers and three labels, as the goldens hold it; gives --model and --adapter."""
    model = pathlib.Path(folder) / "model"
    model.mkdir()
    shutil.copy(GOLDEN / "llama" / "config.json", model)
    shutil.copy(GOLDEN / "llama" / "model.safetensors", model)
    shutil.copy(GOLDEN / "tokenizer.json", model)
    arguments = ["--model", str(model)]
    if with_adapter:
        adapter = pathlib.Path(folder) / "adapter"
        shutil.copytree(GOLDEN / "adapters" / "default", adapter)
        arguments += ["--adapter", str(adapter)]
    return arguments


class Case(unittest.TestCase):
    """A test with a folder of its own and the tiny model beside it."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls._shared = tempfile.TemporaryDirectory(prefix="slant-e2e-")
        cls.shared = pathlib.Path(cls._shared.name)
        cls.model = make_model(cls.shared)

    @classmethod
    def tearDownClass(cls):
        cls._shared.cleanup()

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="slant-e2e-")
        self.folder = pathlib.Path(self._folder.name)
        self.addCleanup(self._folder.cleanup)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def classify(self, *arguments, **how):
        return slant("classify", *self.model, *arguments, **how)

    def answers(self, *arguments, **how):
        """The rows of jsonl, where all went well."""
        result = self.classify("--format", "jsonl", *arguments, **how)
        self.assertEqual(result.status, 0, result.err)
        return result.jsonl()

    def assert_refused(self, result, *words):
        """Wrong usage: status 2, words on standard error, nothing on standard output."""
        self.assertEqual(result.status, 2, result.err)
        self.assert_said(result, *words)
        self.assertEqual(result.out, b"")

    def assert_failed(self, result, *words):
        self.assertEqual(result.status, 1, result.err)
        self.assert_said(result, *words)

    def assert_said(self, result, *words):
        for word in words:
            self.assertIn(word, result.err)


ARTICLES = [
    "The senator said that the bill would lower taxes for working families.",
    "Officials met on Monday. The vote was 12 to 9, and both sides claimed a victory.",
    "They want your guns, your car and your stove, and they will not stop there!",
    "Nobody at the diner could agree about the new road, and nobody tried very hard.",
]


def main():
    unittest.main(verbosity=1)
