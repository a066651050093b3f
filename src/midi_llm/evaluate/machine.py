"""Where a figure was measured: processor, GPU, load, versions. In: this machine. Out: plain values for a report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from midi_llm.version import VERSION

PACKAGES = ("numpy", "onnxruntime", "torch", "transformers", "vllm")
"""Those that speed depends on."""


def machine() -> dict[str, str | float | int]:
    """Processor, cores, load average of the last minute, Python; and the CUDA device where torch is loaded."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else float("nan")
    found: dict[str, str | float | int] = {
        "processor": _processor(),
        "cores": cores,
        "load": load,
        "python": platform.python_version(),
    }
    torch: Any = sys.modules.get("torch")  # never loaded for this alone
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of midi-llm and of those `packages` that are installed."""
    found = {"midi-llm": VERSION}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """The processor's name where Linux tells it, else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
