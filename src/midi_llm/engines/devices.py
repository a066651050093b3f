"""Whether there is a device that computes faster than the processor, asked of its driver: torch is not loaded.

In: this machine. Out: "cuda", "mps" or None, in milliseconds. NVIDIA's management library is asked, not CUDA itself,
because that would start up here, and processes forked from this one could then no longer use it. Says only what is
there: whether the torch that is installed can use it is torch's to say.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Literal

Device = Literal["cuda", "mps"]

_NVML = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_HIDES_ALL = ("", "-1")


def find_device() -> Device | None:
    """The device of this machine that its driver names."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in _HIDES_ALL:
        return None
    return "cuda" if count_nvidia() else None


def count_nvidia(library: str = _NVML) -> int:
    """How many devices NVIDIA's driver knows; 0 without a driver."""
    try:
        nvml = ctypes.CDLL(library)
        start, count_into, stop = nvml.nvmlInit_v2, nvml.nvmlDeviceGetCount_v2, nvml.nvmlShutdown
    except (OSError, AttributeError):
        return 0
    if start() != 0:
        return 0
    count = ctypes.c_uint(0)
    failed = count_into(ctypes.byref(count)) != 0
    stop()
    return 0 if failed else count.value
