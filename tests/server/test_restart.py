"""The real program, killed in the middle of a job and started again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from midi_llm.client import Client, Composition
from midi_llm.compose.composer import Composer
from midi_llm.compose.settings import Settings
from midi_llm.music.write import to_midi_bytes
from program import serving_program

SHORT = Composition(prompt="a calm piano piece", seconds=5, seed=5, takes=2)
LONG = Composition(prompt="a long dance", seconds=600, seed=9, temperature=1.0)


@contextmanager
def program(model: Path, data: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    with serving_program(data, "--model", str(model)) as (process, url), Client(url) as client:
        yield process, client


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
