"""Tasks on a Ray cluster, through Ray Data: one block a task.

In: a picklable attempt (task to bytes) and tasks. Out: (index, bytes) as they come; a task whose worker died twice is
missing. A cluster that is not connected yet is connected (or, for "local", started) and left again afterwards. Ray is
kept quiet: no dashboard, no usage reports, no worker output. Knows nothing of what the tasks do.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from midi_llm.errors import DatasetError, MissingExtraError

LOCAL_OBJECT_STORE_BYTES = 256 * 2**20
"""Of a cluster started here: tasks and results are small, the data go through files."""
_RETRIES = 1
"""A machine may go away: a task is tried once more elsewhere. Ray Data's own default would be for ever."""
_PROBE_SECONDS = 10.0


def ray_outcomes(
    attempt: Callable[[Any], bytes], tasks: Sequence[Any], *, address: str, workers: int
) -> Generator[tuple[int, bytes], None, None]:
    """Yield (index, `attempt(task)`), at most `workers` at a time, on the Ray cluster at `address`.

    `attempt` should not raise. Raises `MissingExtraError` without Ray, `DatasetError` when the cluster cannot be
    reached or is lost.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    rows = [{"index": index, "task": pickle.dumps(task)} for index, task in enumerate(tasks)]
    with _connected(address, workers), _quiet():
        mapped = _mapped(rows, attempt, workers)
        try:
            for row in mapped.iter_rows():
                yield int(row["index"]), row["outcome"]
        except ray.exceptions.RayError as error:
            raise DatasetError(f"the Ray cluster at {address!r} failed: {error}; running again continues") from error


def _mapped(rows: list[dict[str, Any]], attempt: Callable[[Any], bytes], workers: int) -> Any:
    """The data set of outcomes, lazy: one block and one Ray task per row."""
    import ray.data

    with warnings.catch_warnings():  # Ray's own settings, and `max_retries`, which gets another place in Ray 2.64
        warnings.simplefilter("ignore", DeprecationWarning)
        data = ray.data.from_items(rows, override_num_blocks=len(rows))
        data.context.max_errored_blocks = -1  # a lost task does not end the others; the caller sees which are missing
        data.context.enable_progress_bars = False
        slots = ray.data.TaskPoolStrategy(workers)
        return data.map(partial(_work, attempt=attempt), compute=slots, num_cpus=1, max_retries=_RETRIES)


def _work(row: dict[str, Any], *, attempt: Callable[[Any], bytes]) -> dict[str, Any]:
    """One row, on a machine of the cluster."""
    return {"index": row["index"], "outcome": attempt(pickle.loads(row["task"]))}


@contextmanager
def _connected(address: str, workers: int) -> Iterator[None]:
    """Connect to the cluster unless this process is connected already, and disconnect again."""
    import ray

    if ray.is_initialized():
        yield
        return
    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": workers, "object_store_memory": LOCAL_OBJECT_STORE_BYTES, "include_dashboard": False}
    try:
        probe(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError(
            f"no Ray cluster answers at {address!r} ({error}); start one with `ray start --head` and use 'auto', or"
            " use 'local'"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def probe(address: str) -> None:
    """Raise `OSError` when nobody listens at "host:port", where Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "://" not in host:
        socket.create_connection((host, int(port)), timeout=_PROBE_SECONDS).close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the console lines of Ray Data; errors arrive as exceptions."""
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
