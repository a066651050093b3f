"""Work on the next step's batches in a thread while this step's are trained on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """`make(step)` for the steps from `first` to before `stop`, each begun when the one before it is taken."""

    def __init__(self, make: Callable[[int], T], *, first: int, stop: int) -> None:
        self._make, self._stop = make, stop
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._next = self._begin(first)

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def take(self, step: int) -> T:
        """What `make(step)` gave, or the exception that it raised; steps are taken one after another."""
        assert self._next is not None
        made = self._next.result()
        self._next = self._begin(step + 1)
        return made

    def _begin(self, step: int) -> Future[T] | None:
        return self._thread.submit(self._make, step) if step < self._stop else None
