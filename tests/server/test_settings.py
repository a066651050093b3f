"""Where the service may listen, and for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from midi_llm.errors import RequestError
from midi_llm.server.settings import ServerSettings, is_local

KEY = "a-secret-of-some-length"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", "")),
    ],
)
def test_a_local_address(host: str, expected: bool) -> None:
    assert is_local(host) is expected


def test_a_public_address_needs_a_key_or_a_word() -> None:
    with pytest.raises(RequestError, match="no API key is set"):
        ServerSettings(data=Path(), host="0.0.0.0")
    assert ServerSettings(data=Path(), host="0.0.0.0", api_keys=(KEY,)).port == 8000
    assert ServerSettings(data=Path(), host="0.0.0.0", public=True).api_keys == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"api_keys": ("short",)}, "an API key has 5 characters"),
        ({"port": 70_000}, "port is 70000"),
        ({"queue": 0}, "queue is 0"),
        ({"at_once": 0}, "at-once is 0; allowed is 1 and more"),
        ({"job_seconds": float("nan")}, "job-seconds is nan"),
    ],
)
def test_settings_that_cannot_be(wrong: dict, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        ServerSettings(data=Path(), **wrong)
