"""The application on a socket until it is told to stop (SIGTERM, Ctrl-C), or nothing where the address is taken.

In: a service and a call for when it listens. Event streams end before the server waits for its connections.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.concurrency import run_in_threadpool

from midi_llm.errors import RequestError
from midi_llm.server.app import create_app
from midi_llm.server.service import Service

PATIENCE_SECONDS = 10
"""How long requests that are being answered may take once the service is told to stop."""
MOST_CONNECTIONS = 1024


class _Server(uvicorn.Server):
    """A server that stops its service first: streams end, the running job is put back."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        await run_in_threadpool(self._service.stop)
        await super().shutdown(sockets)


def serve(service: Service, *, on_listening: Callable[[str], None]) -> None:
    """Serve until stopped; `on_listening` gets the address. Raises `RequestError` where it cannot be had."""
    settings = service.settings
    bound = _bind(settings.host, settings.port)
    host, port = bound.getsockname()[:2]
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=PATIENCE_SECONDS,
        backlog=MOST_CONNECTIONS,
    )
    with bound:
        on_listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        _Server(config, service).run(sockets=[bound])


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(MOST_CONNECTIONS)
    except OSError as error:
        raise RequestError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose others with --host and --port"
        ) from error
    return bound
