"""docs/service.md: its Python runs against a service, and it names every route and every default limit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from midi_llm.server.settings import DEFAULT_HOST, DEFAULT_PORT, ServerSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
ADDRESS = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"


def test_its_python_runs(
    running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert ADDRESS in code
    exec(compile(code.replace(ADDRESS, running.url), "docs/service.md", "exec"), {})
    assert (tmp_path / "waltz.mid").read_bytes().startswith(b"MThd")
    assert "done" in capsys.readouterr().out


def test_its_requests_of_curl_are_answered(running, uploaded: str) -> None:
    sent = re.findall(r"(/v1/\w+) -H 'Content-Type: application/json' \\\n +-d '(.*)'", PAGE)
    assert len(sent) == 2
    for path, body in sent:
        body = body.replace("3f2a9c51d0e84b67", uploaded).replace("[9, 12]", "[2, 3]")
        answer = running.http.post(f"{path}", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 202, answer.text


def test_it_names_every_route_and_the_limits(running) -> None:
    for path in running.http.get("/openapi.json").json()["paths"]:
        parts = [part for part in path.split("/") if part and "{" not in part]
        assert parts[-1] in PAGE, path
    defaults = ServerSettings(data=Path())
    for value in (defaults.queue, defaults.per_client, defaults.streams):
        assert f"| {value} " in PAGE or f"| {value}|" in PAGE
    assert f"{defaults.job_seconds:g} s" in PAGE
