"""One function over many tasks: in this process, in a pool of processes, or on a Ray cluster.

In: a picklable function and tasks that do not depend on each other. Out: the results in the order of the tasks, the
same for any number of workers. A task that fails ends the run with its own exception; a worker that dies ends it with a
`DatasetError` that names the task. Nothing is remembered here: a task that writes should write whole files under names
of its own and skip those that are there, so that running again continues.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from midi_llm.errors import DatasetError

T = TypeVar("T")
R = TypeVar("R")

_LABEL_CHARACTERS = 120


def run_tasks(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    workers: int,
    ray: str | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> list[R]:
    """Return `[function(task) for task in tasks]`, computed by at most `workers` processes at a time.

    With one worker all runs in this process. With more, processes are started afresh ("spawn"), so a script that calls
    this needs `if __name__ == "__main__":`. With `ray` ("auto", "local", "host:port": what `ray.init` takes) the tasks
    run on that cluster instead; its machines need this package and the same paths.

    A worker gets `function` once and its tasks one by one: put what is large into a `functools.partial`, and what is
    slow to open behind a `functools.cache`. `on_done(done, total)` is called after every task, in this thread.

    Raises what a task raised, at once and without waiting for the others (from a worker: with its traceback as a note);
    `DatasetError` when a worker dies (on Ray: twice, and after the others are done) or `workers` is below 1;
    `MissingExtraError` when `ray` is not installed. Ctrl-C ends all workers before `KeyboardInterrupt` leaves.
    """
    if workers < 1:
        raise DatasetError(f"workers is {workers}; at least 1 is needed")
    results: dict[int, R] = {}
    with closing(_results(function, tasks, workers=min(workers, len(tasks)), ray=ray)) as pairs:
        for index, result in pairs:
            results[index] = result
            if on_done is not None:
                on_done(len(results), len(tasks))
    lost = [task for index, task in enumerate(tasks) if index not in results]
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise _died(f"{_label(lost[0])}{more}", "died on the cluster, twice")
    return [results[index] for index in range(len(tasks))]


def _results(
    function: Callable[[T], R], tasks: Sequence[T], *, workers: int, ray: str | None
) -> Generator[tuple[int, R], None, None]:
    """Yield (index of the task, its result) as they come."""
    if not tasks:
        return
    if ray is None and workers == 1:
        for index, task in enumerate(tasks):
            yield index, function(task)
        return
    if ray is None:
        outcomes = _pool_outcomes(function, tasks, workers)
    else:
        from midi_llm.data.ray_cluster import ray_outcomes

        outcomes = ray_outcomes(_Attempt(function), tasks, address=ray, workers=workers)
    with closing(outcomes):
        for index, outcome in outcomes:
            result, error = pickle.loads(outcome)
            if error is not None:
                raise error
            yield index, result


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Calls `function` in a worker; gives the pickled pair (result, None) or (None, exception)."""

    function: Callable[[Any], Any]

    def __call__(self, task: Any) -> bytes:
        try:
            return pickle.dumps((self.function(task), None))
        except Exception as error:  # noqa: BLE001 - whatever a task raises is raised again where the tasks came from
            return pickle.dumps((None, _portable(error)))


def _portable(error: Exception) -> Exception:
    """`error` with its traceback as a note; a `DatasetError` in its place when it does not survive pickling."""
    trace = "in a worker:\n" + "".join(traceback.format_exception(error))
    try:
        error = pickle.loads(pickle.dumps(error))
    except (pickle.PickleError, TypeError, ValueError, AttributeError):
        error = DatasetError(f"{type(error).__name__}: {error}")
    error.add_note(trace)
    return error


@dataclass(kw_only=True, slots=True)
class _Worker:
    """A process that runs one task at a time. `index` is the task it has."""

    process: SpawnProcess
    connection: Connection
    index: int = -1

    def give(self, index: int, task: object) -> None:
        """Send a task. One that is dead already is found out by `wait`, since its pipe is at its end."""
        self.index = index
        try:
            self.connection.send(task)
        except BrokenPipeError:
            return

    def end(self) -> None:
        """Stop it, whatever it does."""
        self.process.terminate()
        self.process.join()
        self.connection.close()


def _pool_outcomes(
    function: Callable[[T], R], tasks: Sequence[T], workers: int
) -> Generator[tuple[int, bytes], None, None]:
    """Yield (index, outcome) from a pool of `workers` processes; raise `DatasetError` when one dies."""
    crew: list[_Worker] = []
    try:
        waiting = iter(enumerate(tasks))
        busy: dict[Connection, _Worker] = {}
        for index, task in waiting:
            crew.append(_start_worker(function))
            crew[-1].give(index, task)
            busy[crew[-1].connection] = crew[-1]
            if len(crew) == workers:
                break
        while busy:
            for ready in wait(list(busy)):
                worker = busy.pop(ready)  # type: ignore[call-overload]
                try:
                    outcome = worker.connection.recv_bytes()
                except (EOFError, ConnectionResetError) as error:
                    worker.process.join()
                    raise _died(_label(tasks[worker.index]), _cause(worker.process.exitcode)) from error
                finished = worker.index
                for index, task in waiting:
                    worker.give(index, task)
                    busy[worker.connection] = worker
                    break
                yield finished, outcome
    finally:
        for worker in crew:
            worker.end()


def _start_worker(function: Callable[[T], R]) -> _Worker:
    context = multiprocessing.get_context("spawn")  # forking a process that has threads is not safe
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, _Attempt(function)), daemon=True)
    with _without_interrupts():
        process.start()
    theirs.close()  # so that the worker's death is the end of the pipe
    return _Worker(process=process, connection=ours)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back; processes started meanwhile never get it (they inherit the mask) and leave it to us."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its own start would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, attempt: _Attempt) -> None:
    """Work until the other end closes, which it does also when that process is killed."""
    try:
        while True:
            connection.send_bytes(attempt(connection.recv()))
    except (EOFError, OSError):
        return


def _died(label: str, how: str) -> DatasetError:
    return DatasetError(f"the worker of task {label} {how}; running again continues with what is missing")


def _cause(exit_code: int | None) -> str:
    """What an exit code says: signals are negative."""
    if exit_code == -getattr(signal, "SIGKILL", 9):
        return "was killed (if memory ran out: use fewer workers)"
    return f"ended with exit code {exit_code}"


def _label(task: object) -> str:
    """Name of a task for messages: its `name` where it has one, else the start of its text."""
    text = str(getattr(task, "name", task))
    return text if len(text) <= _LABEL_CHARACTERS else text[: _LABEL_CHARACTERS - 1] + "…"
