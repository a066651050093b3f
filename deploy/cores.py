"""The cores of a replica: some that no other one of this machine has; it leaves them when its process ends.

In: how many. Out: their numbers, for the threads that decode. Engines count the cores that they may use and take a
worker or thread for each, so a replica is held to its share by giving it no more. Linux only: elsewhere all are shared.
"""

from __future__ import annotations

import logging
import os
import socket
from types import TracebackType
from typing import Self

from midi_llm.errors import EngineError

_log = logging.getLogger(__name__)

CAN_PIN = hasattr(os, "sched_setaffinity")


class Cores:
    """`numbers` of the cores that are taken, until it is closed. Raises `EngineError` where there are not so many."""

    def __init__(self, count: int) -> None:
        self._claims: list[socket.socket] = []
        usable = sorted(os.sched_getaffinity(0)) if CAN_PIN else list(range(os.cpu_count() or 1))
        if count > len(usable):
            raise EngineError(f"a replica is to have {count} cores, and this machine has {len(usable)}; lower --cores")
        self.numbers = [core for core in usable if len(self._claims) < count and self._claim(core)]
        if len(self.numbers) < count:
            shared = [core for core in usable if core not in self.numbers][: count - len(self.numbers)]
            _log.warning("cores %s are shared with other replicas; lower --cores or the number of replicas", shared)
            self.numbers += shared

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def pin(self) -> None:
        """Hold the calling thread, and those that it starts, to these cores."""
        if CAN_PIN:
            os.sched_setaffinity(0, self.numbers)

    def close(self) -> None:
        """Leave the cores to others."""
        for claim in self._claims:
            claim.close()

    def _claim(self, core: int) -> bool:
        """Whether `core` was free. An abstract address is held by one process, and let go however that ends."""
        if not CAN_PIN:
            return True
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0midi-llm core {core}")
        except OSError:
            claim.close()
            return False
        self._claims.append(claim)
        return True
