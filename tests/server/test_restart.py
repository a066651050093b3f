"""The real program, killed in the middle of a job and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from midi_llm.client import Client, Composition
from midi_llm.compose.composer import Composer
from midi_llm.compose.settings import Settings
from midi_llm.music.write import to_midi_bytes

SHORT = Composition(prompt="a calm piano piece", seconds=5, seed=5, takes=2)
LONG = Composition(prompt="a long dance", seconds=600, seed=9, temperature=1.0)


@contextmanager
def program(model: Path, data: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    command = [sys.executable, "-m", "midi_llm", "serve", "--port", "0", "--model", str(model), "--data", str(data)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "midi-llm is at" in line)
        with Client(line.split()[3]) as client:
            yield process, client
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_killed_and_started_again_nothing_is_lost(tiny_onnx_checkpoint: Path, tmp_path: Path) -> None:
    with program(tiny_onnx_checkpoint, tmp_path) as (process, client):
        done = client.wait(client.compose(SHORT).id)
        midi = [client.midi(done.id, take) for take in range(2)]
        long, waiting = client.compose(LONG).id, client.compose(SHORT).id
        for event in client.events(long):
            if event.name == "notes":
                process.kill()
                break
        process.wait(10)
    with program(tiny_onnx_checkpoint, tmp_path) as (process, client):
        assert client.job(done.id) == done
        assert [client.midi(done.id, take) for take in range(2)] == midi
        again = client.wait(long)
        assert client.wait(waiting).status == "done"
        assert [client.midi(waiting, take) for take in range(2)] == midi
        composed = client.midi(long)
    assert process.returncode == 0
    with Composer.open(str(tiny_onnx_checkpoint), engine="onnx") as composer:
        piece = composer.compose(LONG.prompt, Settings(seconds=600, seed=9, temperature=1.0))
    assert again.status == "done"
    assert composed == to_midi_bytes(piece.score, title=LONG.prompt)
