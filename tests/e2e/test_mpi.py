"""Training by several ranks: the same adapter as one rank learns, the same bytes from run to run, one
voice, and an end for all where one ends."""

import array
import json
import math
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time

import harness

MPIRUN = os.environ["SLANT_MPIRUN"].split()
DATA = harness.ROOT / "tests" / "golden" / "train" / "trainer"
# Open MPI keeps what it allocates until the end.
ENVIRONMENT = harness.environment(ASAN_OPTIONS="detect_leaks=0")
SETTINGS = {
    "train": DATA / "train.jsonl",
    "labels": "Left,Center,Right",
    "max_length": 24,
    "compute": "fp32",
    "threads": 1,
    "lora_r": 4,
    "lora_alpha": 8,
    "lora_dropout": 0.1,
    "target_modules": "q_proj,v_proj,down_proj",
    "per_device_train_batch_size": 4,
    "num_train_epochs": 2.5,
    "learning_rate": 3e-3,
    "optim": "paged_adamw_32bit",
    "logging_steps": 1,
    "save_strategy": "no",
}


def tensors(folder):
    """The adapter as name → numbers."""
    data = (folder / "adapter_model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = array.array("f")
        values.frombytes(data[8 + size + begin : 8 + size + end])
        found[name] = values
    return found


def distance(a, b):
    """Relative distance of two adapters over all their values."""
    a, b = tensors(a), tensors(b)
    assert a.keys() == b.keys()
    apart = sum((x - y) ** 2 for name in a for x, y in zip(a[name], b[name]))
    return math.sqrt(apart / sum(x * x for values in a.values() for x in values))


def adapter_bytes(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


def history(folder):
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


def column(folder, name):
    return [entry[name] for entry in history(folder) if name in entry]


def rank_processes(mpirun):
    """rank → process id of what mpirun started."""
    found = {}
    for task in pathlib.Path(f"/proc/{mpirun}/task").iterdir():
        for child in (task / "children").read_text().split():
            for item in pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                if item.startswith(b"OMPI_COMM_WORLD_RANK="):
                    found[int(item.split(b"=")[1])] = int(child)
    return found


class Together(harness.Case):
    def command(self, out, ranks=1, **changes):
        """The command line; ranks None: what one rank of several runs."""
        settings = {**SETTINGS, **changes}
        arguments = ["train", "--model", self.model[1], "--output-dir", self.folder / out]
        for name, value in settings.items():
            arguments += ["--" + name.replace("_", "-"), value]
        launcher = [*MPIRUN, "-n", ranks] if ranks is not None and ranks > 1 else []
        return [str(word) for word in [*launcher, harness.PROGRAM, *arguments]]

    def run_command(self, command):
        done = subprocess.run(
            command, capture_output=True, env=ENVIRONMENT, timeout=harness.TIMEOUT
        )
        return harness.Result(done)

    def train(self, out, ranks=1, **changes):
        result = self.run_command(self.command(out, ranks, **changes))
        self.assertEqual(result.status, 0, result.err)
        return self.folder / out

    def start(self, out, until, **changes):
        """Two ranks that have got as far as the file `until` of the output folder."""
        process = subprocess.Popen(
            self.command(out, 2, **changes), env=ENVIRONMENT, stderr=subprocess.PIPE
        )
        self.addCleanup(process.stderr.close)
        end = time.monotonic() + harness.TIMEOUT
        while not (self.folder / out / until).exists():
            self.assertIsNone(process.poll(), "ended too early")
            self.assertLess(time.monotonic(), end, "no checkpoint appears")
            time.sleep(0.002)
        return process

    def finish(self, process):
        """Status and words of a process that has to end now."""
        _, err = process.communicate(timeout=harness.TIMEOUT)
        return process.returncode, err.decode()


class Learning(Together):
    def test_two_ranks_learn_what_one_does(self):
        """27 articles in batches of 4: an epoch's last step has a batch for one rank alone."""
        evals = {"eval": DATA / "eval.jsonl", "eval_strategy": "steps", "eval_steps": 3}
        one = self.train("one", 1, gradient_accumulation_steps=2, **evals)
        two = self.train("two", 2, **evals)
        again = self.train("again", 2, **evals)
        self.assertEqual(adapter_bytes(two), adapter_bytes(again))
        self.assertLess(distance(one, two), 1e-5)
        self.assertEqual(column(one, "epoch"), column(two, "epoch"))
        self.assertEqual(column(one, "learning_rate"), column(two, "learning_rate"))
        for name in ("loss", "eval_loss", "grad_norm"):
            for a, b in zip(column(one, name), column(two, name), strict=True):
                self.assertAlmostEqual(a / b, 1, delta=1e-5)
        for name in ("eval_f1", "eval_accuracy"):
            self.assertEqual(column(one, name), column(two, name))

    def test_three_ranks_with_accumulation_and_clipping(self):
        one = self.train("one", 1, gradient_accumulation_steps=6, max_grad_norm=0.1)
        three = self.train("three", 3, gradient_accumulation_steps=2, max_grad_norm=0.1)
        self.assertLess(distance(one, three), 1e-5)

    def test_groups_by_length_are_of_whole_steps(self):
        changes = {"train_sampling_strategy": "group_by_length", "max_length": 200}
        one = self.train("one", 1, gradient_accumulation_steps=2, **changes)
        two = self.train("two", 2, **changes)
        self.assertLess(distance(one, two), 1e-5)

    def test_each_rank_keeps_what_its_frozen_layers_gave(self):
        changes = {"layers_to_transform": 1}
        plain = self.train("plain", 2, **changes)
        kept = self.train("kept", 2, cache_frozen="true", **changes)
        self.assertEqual(adapter_bytes(plain), adapter_bytes(kept))
        self.assertEqual([path for path in kept.iterdir() if "frozen" in path.name], [])

    def test_an_overflow_is_everybodys(self):
        """A loss scale that is too high at first: all ranks leave out the same updates."""
        changes = {"fp16": "true", "learning_rate": 1e-3, "num_train_epochs": 5}
        one = self.train("one", 1, gradient_accumulation_steps=2, **changes)
        two = self.train("two", 2, **changes)
        again = self.train("again", 2, **changes)
        self.assertEqual(adapter_bytes(two), adapter_bytes(again))
        self.assertEqual(column(one, "learning_rate"), column(two, "learning_rate"))
        self.assertLess(distance(one, two), 1e-2)

    def test_measurements_are_one_ranks_to_the_bit(self):
        changes = {
            "eval": DATA / "train.jsonl",
            "eval_strategy": "steps",
            "eval_on_start": "true",
            "per_device_eval_batch_size": 2,
            "max_steps": 1,
        }
        one = history(self.train("one", 1, **changes))[0]
        for ranks in (2, 3):
            several = history(self.train(f"ranks-{ranks}", ranks, **changes))[0]
            for name in one:
                if name.startswith("eval_") and not name.endswith(("runtime", "per_second")):
                    self.assertEqual(one[name], several[name], name)

    def test_even_batches_deal_the_first_articles_again(self):
        """As accelerate does: 27 articles become 32, which two ranks share in batches of 4."""
        lines = (DATA / "train.jsonl").read_text().splitlines(keepends=True)
        longer = self.write("longer.jsonl", "".join(lines + lines[:5]))
        changes = {"train_sampling_strategy": "sequential"}
        one = self.train("one", 1, gradient_accumulation_steps=2, train=longer, **changes)
        two = self.train("two", 2, even_batches="true", **changes)
        self.assertLess(distance(one, two), 1e-5)
        self.assertEqual(column(one, "epoch"), column(two, "epoch"))


class Voice(Together):
    def test_rank_0_speaks_and_writes_alone(self):
        result = self.run_command(self.command("out", 2, max_steps=2))
        self.assertEqual(result.status, 0, result.err)
        self.assertEqual(result.err.count("trainable:"), 1)
        self.assertIn("on each of 2 ranks of 1 threads", result.err)
        names = {path.name for path in (self.folder / "out").iterdir()}
        self.assertFalse([name for name in names if "paged" in name], names)
        lines = (self.folder / "out" / "log.jsonl").read_text().splitlines()
        self.assertEqual(len(lines), 3)  # two steps and the end

    def test_a_failure_of_all_is_told_once(self):
        for status, changes in ((1, {"train": "missing.jsonl"}), (2, {"lora_r": "many"})):
            result = self.run_command(self.command("out", 2, **changes))
            self.assertEqual(result.status, status, result.err)
            told = [line for line in result.err.splitlines() if "missing" in line or "many" in line]
            self.assertEqual(len(told), 1, result.err)

    def mixed(self, first, second):
        """One rank of each command."""
        return self.run_command([*MPIRUN, "-n", "1", *first, ":", "-n", "1", *second])

    def test_a_failure_of_one_is_everybodys(self):
        good = self.command("out", None)
        result = self.mixed(good, self.command("out", None, train="missing.jsonl"))
        self.assert_failed(result, "rank 1: ", "missing.jsonl")

    def test_other_data_in_one_rank_is_refused(self):
        result = self.mixed(
            self.command("out", None), self.command("out", None, train=DATA / "eval.jsonl")
        )
        self.assert_failed(result, "rank 1: ", "training data", "differs from rank 0's")

    def test_other_instructions_in_one_rank_are_refused(self):
        good = self.command("out", None)
        result = self.mixed(good, ["env", "SLANT_ISA=scalar", *good])
        self.assert_failed(result, "rank 1: ", "computes with scalar", "SLANT_ISA")


class Endings(Together):
    LONG = {"max_steps": 600, "save_strategy": "steps", "save_steps": 100}

    def whole(self):
        return adapter_bytes(self.train("whole", 2, **self.LONG))

    def resumed(self, out):
        return adapter_bytes(self.train(out, 2, resume_from_checkpoint="last", **self.LONG))

    def test_a_rank_that_dies_ends_all_and_the_last_checkpoint_resumes(self):
        whole = self.whole()
        for rank in (0, 1):
            out = f"killed-{rank}"
            process = self.start(out, "checkpoint-100", **self.LONG)
            ranks = rank_processes(process.pid)
            os.kill(ranks[rank], signal.SIGKILL)
            status, err = self.finish(process)
            self.assertNotEqual(status, 0)
            self.assertIn(f"rank {rank} ", err)
            self.assert_gone(ranks.values())
            self.assertFalse((self.folder / out / "adapter_model.safetensors").exists())
            self.assertEqual(self.resumed(out), whole)

    def assert_gone(self, processes):
        end = time.monotonic() + 20
        for process in processes:
            while os.path.exists(f"/proc/{process}/exe") and self.is_running(process):
                self.assertLess(time.monotonic(), end, "a rank is left behind")
                time.sleep(0.02)

    def is_running(self, process):
        try:
            stat = pathlib.Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] != "Z"

    def test_a_stop_asked_of_anyone_stops_all_with_a_checkpoint(self):
        """Of one rank by SIGTERM, or of all by SIGUSR1, which mpirun passes on."""
        whole = self.whole()
        for who, number in ((1, signal.SIGTERM), (None, signal.SIGUSR1)):
            out = f"stopped-{number.name}"
            process = self.start(out, "checkpoint-100", **self.LONG)
            target = process.pid if who is None else rank_processes(process.pid)[who]
            os.kill(target, number)
            status, err = self.finish(process)
            self.assertNotEqual(status, 0)
            self.assertEqual(err.count("--resume-from-checkpoint last goes on from there"), 1, err)
            step = int(err.partition("stopped after step ")[2].split()[0])
            self.assertTrue((self.folder / out / f"checkpoint-{step}" / "manifest.json").exists())
            self.assertEqual(self.resumed(out), whole)

    def test_other_ranks_go_on_where_the_steps_are_the_same(self):
        changes = {"save_strategy": "steps", "save_steps": 5, "num_train_epochs": 3}
        one = self.train("one", 1, gradient_accumulation_steps=2, **changes)
        out = self.train("out", 2, **changes)
        for path in out.iterdir():
            if path.name.startswith("checkpoint-") and path.name != "checkpoint-5":
                shutil.rmtree(path)
        result = self.run_command(
            self.command("out", 2, resume_from_checkpoint="last", gradient_accumulation_steps=2,
                         **changes)
        )
        self.assert_failed(result, "the order of articles", "4 × 2", "4 × 4")
        result = self.run_command(
            self.command("out", 1, resume_from_checkpoint="last", gradient_accumulation_steps=2,
                         **changes)
        )
        self.assertEqual(result.status, 0, result.err)
        self.assert_said(result, "computed by 2 ranks so far and goes on with 1")
        self.assertLess(distance(one, out), 1e-5)


if __name__ == "__main__":
    harness.main()
