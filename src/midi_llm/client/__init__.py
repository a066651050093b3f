"""A client of the HTTP service (docs/service.md): `Client`, and `AsyncClient` with the same methods to await.

    with Client("http://127.0.0.1:8000") as client:
        job = client.wait(client.compose(Composition(prompt="a calm piano piece", seconds=20)).id)
        Path("calm.mid").write_bytes(client.midi(job.id))

In and out: the models of server/schemas.py. Raises `ServiceError` for what the service refuses (`status`), and where
none answers (status 0). Needs the extra midi-llm[client], and neither an engine nor the service's own packages.
"""

from __future__ import annotations

from midi_llm.errors import MissingExtraError

try:
    from midi_llm.client.awaited import AsyncClient
    from midi_llm.client.calls import Event
    from midi_llm.client.waiting import Client
    from midi_llm.server.schemas import Composition, Edit, PlanRequest, Source, Wishes
except ModuleNotFoundError as error:
    if error.name not in ("httpx", "pydantic"):
        raise
    raise MissingExtraError(error.name, "client") from error

__all__ = ["AsyncClient", "Client", "Composition", "Edit", "Event", "PlanRequest", "Source", "Wishes"]
