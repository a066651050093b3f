"""How the service runs: where it listens, where it keeps its data, who may use it, and how much of it.

In: what the command line says. Out: a checked `ServerSettings`, or a `RequestError`. Loads no web framework.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from midi_llm.errors import RequestError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
KEYS_VARIABLE = "MIDI_LLM_API_KEYS"
"""Environment variable with API keys, separated by commas."""
LEAST_KEY_LENGTH = 16
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """Raises `RequestError` for a public address without a key (unless `public`), a weak key and impossible limits."""

    data: Path
    """The folder of the data base."""
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    """0: any free one."""
    api_keys: tuple[str, ...] = ()
    public: bool = False
    """Serve an address that others can reach though there is no key."""
    origins: tuple[str, ...] = ()
    """Other web sites whose pages may use the service (CORS)."""
    queue: int = 64
    """Jobs that may wait."""
    per_client: int = 16
    """Jobs of one client that may wait or run."""
    at_once: int | None = None
    """Takes of all jobs that are composed side by side; None: as many as the engine does best."""
    streams: int = 256
    """Event streams that may be open."""
    request_seconds: float = 30.0
    """A request must have arrived after so long."""
    job_seconds: float = 1800.0
    """A job that takes longer is stopped."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise RequestError(f"port is {self.port}; allowed is 0 (any free one) to 65535")
        for name in ("queue", "per_client", "streams", "request_seconds", "job_seconds"):
            if not getattr(self, name) > 0:
                raise RequestError(f"{name.replace('_', '-')} is {getattr(self, name):g}; allowed is above 0")
        if self.at_once is not None and self.at_once < 1:
            raise RequestError(f"at-once is {self.at_once}; allowed is 1 and more")
        if short := [key for key in self.api_keys if len(key) < LEAST_KEY_LENGTH]:
            raise RequestError(
                f"an API key has {len(short[0])} characters; allowed are {LEAST_KEY_LENGTH} and more: make one with"
                " python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        if not (is_local(self.host) or self.api_keys or self.public):
            raise RequestError(
                f"{self.host} can be reached by others, and no API key is set; set one with --api-key or"
                f" {KEYS_VARIABLE}, serve {DEFAULT_HOST} only, or say --public to let everybody in"
            )


def is_local(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may mean any address
        return False
