"""Where a figure was measured: machine, versions, commit. Printed under every table."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from midi_llm.evaluate import speed

ROOT = Path(__file__).resolve().parents[1]


def cpu() -> str:
    """The processor's name and the number of cores this process may use."""
    found = speed.machine()
    return f"{found['processor']}, {found['cores']} cores"


def load() -> str:
    """The load average of the last minute: a figure taken on a busy machine says so."""
    return f"load {speed.machine()['load']:.1f}"


def versions(*packages: str) -> str:
    """Versions of Python and of the packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} absent")
    return ", ".join(found)


def commit() -> str:
    """The commit of the working tree, with a mark when files differ from it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "no git"
    return done.stdout.strip() or "no commit"


def describe(*packages: str) -> str:
    """One line for under a table."""
    return f"{cpu()}; {load()}; {versions('midi-llm', *packages)}; commit {commit()}"
