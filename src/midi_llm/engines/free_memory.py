"""How much memory this process may still take: what the machine can give, and what its control groups leave.

In: the files of Linux below `root` (a test makes its own). Out: bytes, or None where the system tells nothing. Pages of
files in the cache count as free, since the kernel gives them up when memory is asked for; swap does not count, since a
model that is read from it for every id is of no use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that can be had: MemAvailable, or less where a control group (v1 or v2) has a limit.

    Without /proc (macOS) all memory there is counts as free; the system tells no more.
    """
    meminfo = _fields(root / "proc" / "meminfo")
    if "MemAvailable:" not in meminfo:
        return _physical()
    return min([1024 * meminfo["MemAvailable:"], *_left_by_groups(root)])


def _physical() -> int | None:
    if not hasattr(os, "sysconf") or not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_by_groups(root: Path) -> Iterator[int]:
    """What the control groups of this process, and those above them, leave; nothing where they have no limit."""
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _lines(root / "proc" / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = mounted, ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            base, names = mounted / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        group = base / path.lstrip("/")  # in a container that path may not exist: then `base` is its own group
        for folder in (group, *group.parents):
            left = _left(folder, *names)
            if left is not None:
                yield left
            if folder == base:
                break


def _left(group: Path, limit_file: str, usage_file: str, prefix: str) -> int | None:
    """A group's limit less what it uses; file pages that the kernel can give up do not count as used."""
    limit, used = _lines(group / limit_file), _lines(group / usage_file)
    if not (limit and used and limit[0].isdecimal() and used[0].isdecimal()):
        return None  # "max", or no such file
    stat = _fields(group / "memory.stat")
    files = sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
    return max(0, int(limit[0]) - max(0, int(used[0]) - files))


def _fields(path: Path) -> dict[str, int]:
    """Lines such as "name 12 kB" as numbers by name."""
    parts = (line.split() for line in _lines(path))
    return {part[0]: int(part[1]) for part in parts if len(part) > 1 and part[1].isdecimal()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
