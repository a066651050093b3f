"""Where a figure was measured: machine, versions, commit. Printed under every table."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from midi_llm.evaluate import machine

ROOT = Path(__file__).resolve().parents[1]


def cpu() -> str:
    """The processor's name and the number of cores this process may use."""
    found = machine.machine()
    return f"{found['processor']}, {found['cores']} cores"


def load() -> str:
    """The load average of the last minute: a figure taken on a busy machine says so."""
    return f"load {machine.machine()['load']:.1f}"


def versions(*packages: str) -> str:
    """Versions of Python and of the packages that are installed."""
    found = machine.versions(packages)
    listed = [f"{package} {found.get(package, 'absent')}" for package in packages]
    return ", ".join([f"Python {platform.python_version()}", *listed])


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
