"""The same tasks on a real Ray cluster of two processes on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from midi_llm.data.parallel import run_tasks
from midi_llm.errors import DatasetError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # of its own settings
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves the files of its processes open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CRASHES = """
import os

def crash(task):
    if task == "crash":
        os._exit(5)
    return task.upper()

def fail(task):
    raise ValueError(f"no {task}")
"""


@pytest.fixture(scope="module")
def tasks_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the module `ray_task_functions`, on the path of the cluster's processes."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "ray_task_functions.py").write_text(CRASHES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))
        yield folder


@pytest.fixture(scope="module")
def cluster(tasks_module: Path) -> Iterator[None]:
    ray = pytest.importorskip("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()


def square(number: int, *, plus: int) -> tuple[int, int]:
    return number, number * number + plus


@pytest.mark.usefixtures("cluster")
def test_results_are_those_of_one_process_and_in_order() -> None:
    seen: list[tuple[int, int]] = []
    function = partial(square, plus=1)
    here = run_tasks(function, range(9), workers=1)
    there = run_tasks(function, range(9), workers=2, ray="auto", on_done=lambda *count: seen.append(count))
    assert there == here
    assert seen == [(done, 9) for done in range(1, 10)]


@pytest.mark.usefixtures("cluster")
def test_an_error_of_a_task_arrives_as_itself() -> None:
    import ray_task_functions  # type: ignore[import-not-found]

    with pytest.raises(ValueError, match="no piece") as caught:
        run_tasks(ray_task_functions.fail, ["piece"], workers=2, ray="auto")
    assert "ray_task_functions.py" in "".join(caught.value.__notes__)


@pytest.mark.usefixtures("cluster")
def test_a_task_that_kills_its_worker_is_named_after_the_others_are_done() -> None:
    import ray_task_functions

    done: list[int] = []
    with pytest.raises(DatasetError, match="task crash died on the cluster, twice; running again continues"):
        run_tasks(
            ray_task_functions.crash,
            ["a", "crash", "b"],
            workers=2,
            ray="auto",
            on_done=lambda count, _: done.append(count),
        )
    assert done == [1, 2]


@pytest.mark.usefixtures("cluster")
def test_the_cluster_of_the_caller_is_left_running() -> None:
    import ray

    run_tasks(partial(square, plus=0), [1], workers=2, ray="auto")
    assert ray.is_initialized()
