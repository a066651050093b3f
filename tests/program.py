"""The real program, serving in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving_program(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`midi-llm serve` on a free port, and its address; ended with SIGTERM."""
    command = [sys.executable, "-m", "midi_llm", "serve", "--port", "0", "--data", str(data), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "midi-llm is at" in line)
        yield process, line.split()[3]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
