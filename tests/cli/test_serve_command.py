"""`midi-llm serve`: what it refuses to start with. That it serves is tested in tests/server/test_restart.py."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from midi_llm.cli.arguments import parse
from midi_llm.cli.serve import data_folder
from midi_llm.server.settings import KEYS_VARIABLE


def test_a_public_address_without_a_key_is_refused(midi_llm, model: str) -> None:
    result = midi_llm("serve", "--host", "0.0.0.0", "--model", model, "--data", "data")
    assert result.code == 2
    assert "no API key is set; set one with --api-key" in result.err
    assert not Path("data").exists()


def test_a_weak_key_is_refused(midi_llm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, "short,")
    assert "an API key has 5 characters" in midi_llm("serve").err


def test_a_port_that_is_taken_is_refused(midi_llm, model: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = midi_llm("serve", "--port", port, "--model", model, "--data", "data")
    assert result.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in result.err


def test_without_its_packages_it_says_how_to_get_them(midi_llm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("midi_llm.server.", "fastapi"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    result = midi_llm("serve", "--data", "data")
    assert result.code == 2
    assert "pip install 'midi-llm[server]'" in result.err


def test_jobs_are_kept_where_data_of_programs_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "midi-llm"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_folder().parts[-3:] == (".local", "share", "midi-llm")


def test_limits_are_options() -> None:
    _, args = parse(["serve", "--queue", "3", "--per-client", "2", "--job-seconds", "60", "--origin", "https://a.b"])
    assert (args.queue, args.per_client, args.job_seconds, args.origins) == (3, 2, 60.0, ["https://a.b"])
