"""Tasks over processes: the results, the errors, and what is left when something dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from midi_llm.data.parallel import run_tasks
from midi_llm.errors import DatasetError, MissingExtraError

SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class NamedTask:
    name: str
    number: int


def square(number: int) -> int:
    return number * number


def square_late(number: int) -> int:
    time.sleep(0.02 * (3 - number % 4))
    return number * number


def fail_at(number: int, *, bad: int) -> int:
    if number == bad:
        raise DatasetError(f"task {number} is broken")
    return number


def miss_an_extra(number: int) -> int:
    raise MissingExtraError("polars", "table")


def divide(number: int) -> float:
    return 1 / number


def exit_at_three(task: NamedTask) -> int:
    if task.number == 3:
        os._exit(7)
    return task.number


def kill_itself(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def return_what_cannot_be_sent(number: int) -> object:
    return lambda: number


def test_results_come_in_the_order_of_the_tasks_for_any_number_of_workers() -> None:
    expected = [number * number for number in range(12)]
    assert run_tasks(square_late, range(12), workers=1) == expected
    assert run_tasks(square_late, range(12), workers=3) == expected


def test_one_worker_is_this_process_and_several_are_not() -> None:
    assert run_tasks(partial(lambda _: os.getpid()), [0, 1], workers=1) == [os.getpid()] * 2
    pids = run_tasks(own_pid, range(6), workers=2)
    assert os.getpid() not in pids
    assert 1 <= len(set(pids)) <= 2


def own_pid(_: int) -> int:
    return os.getpid()


def test_no_tasks_are_no_results() -> None:
    assert run_tasks(square, [], workers=2) == []


def test_progress_is_told_after_every_task() -> None:
    seen: list[tuple[int, int]] = []
    run_tasks(square, range(4), workers=2, on_done=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_less_than_one_worker_is_refused() -> None:
    with pytest.raises(DatasetError, match="workers is 0"):
        run_tasks(square, [1], workers=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_arrives_as_itself(workers: int) -> None:
    with pytest.raises(DatasetError) as caught:
        run_tasks(partial(fail_at, bad=2), range(4), workers=workers)
    assert str(caught.value) == "task 2 is broken"
    with pytest.raises(ZeroDivisionError):
        run_tasks(divide, [1, 0], workers=workers)


def test_an_error_from_a_worker_carries_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_tasks(divide, [1, 0], workers=2)
    assert "in divide" in "".join(caught.value.__notes__)


def test_an_error_that_cannot_be_sent_arrives_as_text() -> None:
    with pytest.raises((DatasetError, MissingExtraError), match="polars is not installed"):
        run_tasks(miss_an_extra, [1, 2], workers=2)


def test_a_result_that_cannot_be_sent_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(Exception, match="lambda"):
        run_tasks(return_what_cannot_be_sent, [1, 2], workers=2)


def test_a_worker_that_exits_is_named_with_its_task() -> None:
    tasks = [NamedTask(f"lakh-{number:05d}", number) for number in range(6)]
    with pytest.raises(DatasetError, match=r"task lakh-00003 ended with exit code 7; running again continues"):
        run_tasks(exit_at_three, tasks, workers=2)


def test_a_killed_worker_hints_at_memory() -> None:
    with pytest.raises(DatasetError, match=r"task 1 was killed \(if memory ran out: use fewer workers\)"):
        run_tasks(kill_itself, range(4), workers=2)


def test_long_tasks_are_shortened_in_messages() -> None:
    with pytest.raises(DatasetError) as caught:
        run_tasks(exit_at_three, [NamedTask("x" * 5000, 3)] * 2, workers=2)
    assert len(str(caught.value)) < 300


SCRIPT = """
    import sys, time
    sys.path.insert(0, {source!r})
    from midi_llm.data.parallel import run_tasks

    def sleep(number):
        import os
        os.write(1, f"{{os.getpid()}}\\n".encode())  # whole lines, whoever else writes
        time.sleep(60 if {long} else 0.2)

    if __name__ == "__main__":
        try:
            run_tasks(sleep, range(4), workers=2)
        except KeyboardInterrupt:
            print("stopped", flush=True)
"""


@contextmanager
def running(folder: Path, *, long: bool) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The script in a process group of its own, and the pids of its two workers once they work."""
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(source=str(SOURCE), long=long)))
    command = [sys.executable, str(script)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, preexec_fn=listen_to_ctrl_c
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [int(process.stdout.readline()) for _ in range(2)]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def listen_to_ctrl_c() -> None:
    """Jobs that a shell starts in the background ignore it, and so would this process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def is_alive(pid: int) -> bool:
    """A zombie, which only waits to be collected, is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_dead(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_ctrl_c_ends_every_worker_without_a_word_from_them(tmp_path: Path) -> None:
    with running(tmp_path, long=True) as (process, pids):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        out, err = process.communicate(timeout=20)
        assert (out, err) == ("stopped\n", "")
        assert wait_until_dead(pids, 2.0)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_workers_end_after_their_task_when_their_parent_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, long=False) as (process, pids):
        process.kill()
        assert wait_until_dead(pids, 10.0)


def test_ray_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'midi-llm\[ray\]'"):
        run_tasks(square, [1, 2], workers=2, ray="local")


def test_a_ray_cluster_that_is_not_there_is_an_error_at_once() -> None:
    pytest.importorskip("ray")
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = reserved.getsockname()[1]
        with pytest.raises(DatasetError, match=rf"no Ray cluster answers at '127.0.0.1:{port}'"):
            run_tasks(square, [1, 2], workers=2, ray=f"127.0.0.1:{port}")
