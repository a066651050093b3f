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
from train.worker import tiny_trainer  # noqa: E402

TESTS = Path(__file__).resolve().parents[1]
WORKER = str(Path(__file__).with_name("worker.py"))
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1")
STEPS = ("steps=6", "checkpoint_every=2")
ADAMW = ("optim.matrix_lr=none", *STEPS)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    single_rows(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def own_settings():
    """What a run sets for its process is undone."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def train_here(rows, out, *changes):
    tiny_trainer(rows, out, changes).run()


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
    train_here(rows, out, "compute.micro_rows=1", *STEPS)
    return out


@pytest.fixture(scope="module")
def in_two(rows, tmp_path_factory):
    """What two processes under torchrun have made: `sharded`, and then `lost`, in which one is killed and all restart.

    That takes 15 seconds on two cores that have nothing else to do, and often they have.
    """
    out = tmp_path_factory.mktemp("in_two")
    sharded = ["--into", str(out / "sharded"), "compute.strategy=fsdp", *ADAMW]
    lost = ["--into", str(out / "lost"), *STEPS, "--die-after", "3"]
    command = [sys.executable, *TORCHRUN, WORKER, str(rows), *sharded, *lost]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_kill_minus_nine_loses_nothing(rows, whole, tmp_path):
    words = [sys.executable, WORKER, str(rows), "--into", str(tmp_path), "compute.micro_rows=1", *STEPS]
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    book = tmp_path / "logbook.jsonl"
    deadline = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < deadline and not (book.exists() and book.stat().st_size > 700):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(losses(tmp_path)) < 6, "it was to be killed on the way"
    train_here(rows, tmp_path, "compute.micro_rows=1", *STEPS)
    assert_same_run(tmp_path, whole)


def test_two_processes_train_as_one_and_a_lost_one_comes_back(in_two, whole):
    """Sums of two numbers do not depend on their order: equal to the last digit, also through a restart."""
    assert (in_two / "lost" / "died").exists()
    assert_same_run(in_two / "lost", whole)


def test_a_sharded_model_trains_as_a_whole_one(rows, in_two, tmp_path):
    train_here(rows, tmp_path, *ADAMW, "compute.micro_rows=1")
    for one, two in zip(losses(tmp_path), losses(in_two / "sharded"), strict=True):
        assert one[1:3] == pytest.approx(two[1:3], rel=1e-4)


def test_one_process_goes_on_from_what_two_have_written(rows, in_two):
    trainer = tiny_trainer(rows, in_two / "sharded", ADAMW)
    assert trainer.step == 6
    trainer.run()
