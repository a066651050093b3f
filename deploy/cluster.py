"""Ray and its Serve: replicas are started, counted, and ended.

In: what a replica is, and how many there shall be. Out: a `RayMaker`. Without an address Ray runs on this machine and
ends with this process; with one its machines are used. Serve's own web server is not started: replicas are asked
through their handle. Raises `EngineError` for what cannot be started, `MissingExtraError` without Ray.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midi_llm.compose.settings import DEFAULT_ENGINE, DEFAULT_MODEL
from midi_llm.data.ray_cluster import LOCAL_OBJECT_STORE_BYTES, probe
from midi_llm.errors import EngineError, MidiLLMError, MissingExtraError, RequestError

if TYPE_CHECKING:
    from deploy.maker import RayMaker

APPLICATION = "midi-llm"
BUSY_SHARE = 0.5
"""Replicas are added, or ended, so that each composes this share of the takes that it can compose side by side.

Half and no more: jobs that wait are not counted, and where one of several takes waits, only half may be in use.
"""
UPSCALE_SECONDS = 10.0
"""So long there has to be work for more replicas before one is added."""
HEALTH_SECONDS = 2.0
"""Between Serve's looks for replicas that are lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Replicas:
    """What replicas are, and how many. Raises `RequestError` for impossible numbers."""

    model: str = DEFAULT_MODEL
    engine: str = DEFAULT_ENGINE
    least: int = 1
    most: int | None = None
    """None: always `least`."""
    cores: int = 1
    """Of each."""
    gpus: float = 0.0
    """Of each."""
    address: str | None = None
    """Of a Ray cluster that runs."""
    job_seconds: float = 1800.0
    """A replica that is no longer needed may finish its jobs for so long."""

    def __post_init__(self) -> None:
        if self.least < 1:
            raise RequestError(f"replicas is {self.least}; allowed is 1 and more")
        if self.most is not None and self.most < self.least:
            raise RequestError(f"max-replicas is {self.most}; allowed is --replicas, {self.least}, and more")
        if self.cores < 1:
            raise RequestError(f"cores is {self.cores}; allowed is 1 and more")
        if self.gpus < 0:
            raise RequestError(f"gpus is {self.gpus:g}; allowed is 0 and more")

    @property
    def resources(self) -> dict[str, Any]:
        """Of each, as Ray names them."""
        return {"num_cpus": self.cores, "num_gpus": self.gpus}


@contextmanager
def running(replicas: Replicas) -> Iterator[RayMaker]:
    """Replicas that run, until the block ends."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # threads of Serve would start Ray once more at the end
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise MissingExtraError("ray[serve]", "deploy") from error
    logging.getLogger("ray.serve").addFilter(lambda record: record.levelno >= logging.WARNING)
    from deploy.maker import RayMaker

    _connect(replicas)
    try:
        takes_each = _takes_each(replicas)
        serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING", "enable_access_log": False})
        try:
            handle = _started(_application(replicas, takes_each))
            with closing(RayMaker(handle, takes_each=takes_each, count=count_replicas)) as maker:
                yield maker
        finally:
            if replicas.address is not None:
                serve.delete(APPLICATION)
    finally:
        ray.shutdown()


def count_replicas() -> int:
    """How many replicas take jobs now."""
    from ray import serve

    deployments = serve.status().applications[APPLICATION].deployments
    states = [state for deployment in deployments.values() for state in deployment.replica_states.items()]
    return sum(count for state, count in states if state == "RUNNING")


def _connect(replicas: Replicas) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if replicas.address is None:
            ray.init("local", include_dashboard=False, object_store_memory=LOCAL_OBJECT_STORE_BYTES, **quiet)
        else:  # its machines need midi_llm; this package is sent there
            probe(replicas.address)
            ray.init(replicas.address, runtime_env={"py_modules": [str(Path(__file__).parent)]}, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if replicas.address is None else f"at {replicas.address!r}"
        raise EngineError(
            f"Ray cannot be had {where} ({error}); start it with `ray start --head`, and set RAY_AUTH_MODE=token"
            " where it asks for a token"
        ) from error
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, each in (("CPU", replicas.cores), ("GPU", replicas.gpus)):
        if replicas.least * each > total.get(name, 0):
            ray.shutdown()
            raise EngineError(
                f"{replicas.least} replicas need {replicas.least * each:g} {name}s, and there are"
                f" {total.get(name, 0):g}; ask for fewer with --replicas, --cores and --gpus, or add machines"
            )


def _started(application: Any) -> Any:
    """The handle of an application whose replicas run."""
    from ray import serve

    try:
        return serve.run(application, name=APPLICATION, route_prefix=None)
    except RuntimeError as error:  # what Serve raises where a replica fails again and again
        raise EngineError(f"the replicas do not start: {error}") from error


def _takes_each(replicas: Replicas) -> int:
    """Ask one process like a replica, which also shows whether the model can be opened there."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    from deploy.replica import takes_at_once

    ask: Any = ray.remote(takes_at_once).options(max_retries=0, **replicas.resources)
    try:
        return int(ray.get(ask.remote(replicas.model, replicas.engine, replicas.cores)))
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, MidiLLMError) else error from error
    except RayError as error:
        raise EngineError(f"a replica does not start: {error}") from error


def _application(replicas: Replicas, takes_each: int) -> Any:
    """What Serve is to run."""
    from ray import serve

    from deploy.replica import Replica
    from deploy.scaling import replicas_wanted

    replica = serve.deployment(
        ray_actor_options=replicas.resources,
        max_ongoing_requests=takes_each,
        autoscaling_config={
            "min_replicas": replicas.least,
            "max_replicas": replicas.most or replicas.least,
            "target_ongoing_requests": BUSY_SHARE * takes_each,
            "policy": {"policy_function": replicas_wanted},
            "upscale_delay_s": UPSCALE_SECONDS,
        },
        health_check_period_s=HEALTH_SECONDS,
        graceful_shutdown_timeout_s=replicas.job_seconds,
        max_constructor_retry_count=3,
    )
    return replica(Replica).bind(replicas.model, replicas.engine, replicas.cores)
