"""How torch is to use this machine's processor. Read when torch is imported, so set before."""

from __future__ import annotations

import os

_SETTINGS = {
    "OMP_WAIT_POLICY": "passive",  # threads that spin make a busy machine several times slower
    # oneDNN keeps what it has made for every shape that it has met, 1,024 of them in each of two caches. Rows have
    # different lengths: a run of the small model in bfloat16 grew by 100 MB a step.
    "LRU_CACHE_CAPACITY": "16",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16",
}


def settle() -> None:
    """Set what the user has not set."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
