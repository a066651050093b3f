"""Uploads are read by a process of their own, which may fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

from midi_llm.errors import MidiReadError
from midi_llm.server import uploads


def test_a_reader_that_dies_or_hangs_is_an_unreadable_file(song: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "READER", (sys.executable, "-c", "import os; os.abort()"))
        with pytest.raises(MidiReadError, match="its reader gave up"):
            uploads.inspect(song, upload="1", name="x")
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "READER", (sys.executable, "-c", "import time; time.sleep(60)"))
        patch.setattr(uploads, "READ_SECONDS", 0.1)
        with pytest.raises(MidiReadError, match="was not read within"):
            uploads.inspect(song, upload="1", name="x")


def test_the_reader_bounds_its_memory() -> None:
    code = "from midi_llm.server import reader; reader._limit(); bytes(reader.READ_BYTES)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr


def test_the_reader_loads_neither_a_model_nor_the_web() -> None:
    heavy = ("fastapi", "pydantic", "onnxruntime", "tokenizers")
    code = f"import sys, midi_llm.server.reader; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
