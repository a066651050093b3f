"""One vLLM engine for many threads: requests come and go between its steps, whoever waits for ids steps for all.

In: requests by name, in vLLM's own ids. Out: the ids that have come for each name. A step is done outside of the lock,
so that a request which comes meanwhile is next in turn: it waits for one step at most, however busy the others are.
Knows no grammar.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from midi_llm.errors import EngineError


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """Ids that have come for the request `name` since it was last asked for, and whether vLLM has ended it."""

    name: str
    token_ids: list[int]
    is_over: bool


class StepLoop:
    """`engine` is vLLM's `LLMEngine` with its core in this process, or whatever has its methods."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._is_stepping = False
        self._entering = 0
        self._arrived: dict[str, Arrival | None] = {}

    def add(self, name: str, prompt_ids: Sequence[int], sampling: Any) -> None:
        """Hand a request to vLLM."""
        with self._between_steps():
            self._opened().add_request(name, {"type": "token", "prompt_token_ids": list(prompt_ids)}, sampling)
            self._arrived[name] = None

    def drop(self, names: Sequence[str]) -> None:
        """Forget requests; vLLM frees those that it still decodes, at once or after the step that is under way."""
        with self._between_steps():
            for name in names:
                del self._arrived[name]
            if names and self._engine is not None:
                self._engine.abort_request(list(names))

    def arrivals(self, names: Sequence[str]) -> list[Arrival]:
        """What has come for `names`, an arrival each at most and one at least; steps where nobody else does.

        Raises `EngineError` where vLLM fails, or no longer decodes what it was given.
        """
        found: list[Arrival] = []
        while not found:
            if self._is_my_turn(names):
                self._step()
            with self._changed:
                found = [arrival for name in names if (arrival := self._arrived[name]) is not None]
                self._arrived.update(dict.fromkeys(names))
                if not found and not self._is_stepping and not self._opened().has_unfinished_requests():
                    raise EngineError("vLLM has dropped a request that was not finished; send it again")
        return found

    def check_open(self) -> None:
        """Raise `EngineError` where it was closed."""
        self._opened()

    def close(self) -> Any:
        """No step any more; returns the engine, for whoever shuts it down, and None a second time."""
        with self._between_steps():
            engine, self._engine = self._engine, None
        return engine

    @contextmanager
    def _between_steps(self) -> Iterator[None]:
        with self._changed:
            self._entering += 1
            try:
                self._changed.wait_for(lambda: not self._is_stepping)
                yield
            finally:
                self._entering -= 1
                self._changed.notify_all()

    def _is_my_turn(self, names: Sequence[str]) -> bool:
        """Wait until ids have come for `names` (False), or until it is this thread that has to step (True)."""

        def has_arrived() -> bool:
            return any(self._arrived[name] is not None for name in names)

        with self._changed:
            self._changed.wait_for(lambda: has_arrived() or not (self._is_stepping or self._entering))
            if has_arrived():
                return False
            self._opened()
            self._is_stepping = True
            return True

    def _step(self) -> None:
        outputs: list[Any] = []
        try:
            outputs = self._engine.step()
        except RuntimeError as error:
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EngineError(f"vLLM failed while decoding ({cause}); open the engine again") from error
        finally:
            with self._changed:
                self._is_stepping = False
                for output in outputs:
                    self._keep(output)
                self._changed.notify_all()

    def _keep(self, output: Any) -> None:
        """Add what a step gave to what its request has not fetched yet; of a dropped request nothing is kept."""
        name = output.request_id
        if name in self._arrived:
            before = self._arrived[name]
            ids = [token_id for part in output.outputs for token_id in part.token_ids]
            together = ids if before is None else before.token_ids + ids
            self._arrived[name] = Arrival(name=name, token_ids=together, is_over=output.finished)

    def _opened(self) -> Any:
        if self._engine is None:
            raise EngineError("this engine was closed; open the checkpoint again")
        return self._engine
