"""The application on a socket until it is told to stop (SIGTERM, Ctrl-C), or nothing where the address is taken.

In: a service and a call for when it listens. Event streams end before the server waits for its connections.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType

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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order, and with exit code 0; a second Ctrl-C at once."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        await run_in_threadpool(self._service.stop)
        await super().shutdown(sockets)


def serve(service: Service, *, on_listening: Callable[[str], None]) -> None:
    """Serve until stopped; `on_listening` gets the address. Raises `RequestError` where it cannot be had."""
    with bind(service.settings.host, service.settings.port) as bound:
        on_listening(address_of(bound))
        make_server(service).run(sockets=[bound])


def make_server(service: Service) -> uvicorn.Server:
    """The web server for `service`; run it once."""
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=PATIENCE_SECONDS,
    )
    return _Server(config, service)


def address_of(bound: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `RequestError` where the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        raise RequestError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose others with --host and --port"
        ) from error
