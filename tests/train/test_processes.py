"""Runs in processes of their own: killed, in twos, and both."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from midi_llm.train.config import TrainConfig, from_record  # noqa: E402 - after the check for torch
from midi_llm.train.distributed import World  # noqa: E402
from midi_llm.train.model import build_model  # noqa: E402
from midi_llm.train.state import last_state, load_state  # noqa: E402
from train.shard_folders import single_rows  # noqa: E402

TESTS = Path(__file__).resolve().parents[1]
WORKER = str(Path(__file__).with_name("worker.py"))
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
STEPS = ("steps=6", "checkpoint_every=2")
ADAMW = ("optim.matrix_lr=none", *STEPS)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    single_rows(folder)
    return str(folder)


def run(*words, launcher=(sys.executable,)):
    done = subprocess.run(
        [*launcher, WORKER, *map(str, words)], env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stderr


def weights(out):
    """Every tensor of the last state's model."""
    settings = json.loads((out / "run.json").read_text())["settings"]
    model = build_model(from_record(settings, TrainConfig))
    load_state(last_state(out), model, None, World())
    return model.state_dict()


def assert_same_run(one, two):
    """Every figure of the logbooks and every bit of the weights."""
    assert losses(one) == losses(two)
    for (name, mine), theirs in zip(weights(one).items(), weights(two).values(), strict=True):
        assert torch.equal(mine, theirs), name


def losses(out):
    book = [json.loads(line) for line in (out / "logbook.jsonl").read_text().splitlines()]
    return [(r["step"], r["loss"], r["grad_norm"], r.get("validation")) for r in book]


@pytest.fixture(scope="module")
def whole(rows, tmp_path_factory):
    """The run that every other one is compared with: one process, each step in two parts."""
    out = tmp_path_factory.mktemp("whole")
    code, message = run(rows, out, "compute.micro_rows=1", *STEPS)
    assert code == 0, message
    return out


def test_kill_minus_nine_loses_nothing(rows, whole, tmp_path):
    words = [sys.executable, WORKER, rows, str(tmp_path), "compute.micro_rows=1", *STEPS]
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    book = tmp_path / "logbook.jsonl"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not (book.exists() and book.stat().st_size > 700):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(losses(tmp_path)) < 6, "it was to be killed on the way"
    code, message = run(rows, tmp_path, "compute.micro_rows=1", *STEPS)
    assert code == 0, message
    assert_same_run(tmp_path, whole)


def test_two_processes_train_as_one_and_a_lost_one_comes_back(rows, whole, tmp_path):
    """Sums of two numbers do not depend on their order: equal to the last digit, also through a restart."""
    launcher = [*TORCHRUN, "--max-restarts=1"]
    code, message = run(rows, tmp_path, "--die-after", 3, *STEPS, launcher=launcher)
    assert code == 0, message
    assert (tmp_path / "died").exists()
    assert_same_run(tmp_path, whole)


def test_a_sharded_model_trains_as_a_whole_one(rows, tmp_path):
    for name, launcher, changes in (
        ("one", (sys.executable,), ("compute.micro_rows=1",)),
        ("two", TORCHRUN, ("compute.strategy=fsdp",)),
    ):
        code, message = run(rows, tmp_path / name, *ADAMW, *changes, launcher=launcher)
        assert code == 0, message
    for one, two in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert one[1:3] == pytest.approx(two[1:3], rel=1e-4)
    code, message = run(rows, tmp_path / "two", *ADAMW)
    assert code == 0, "one process goes on from what two have written: " + message
