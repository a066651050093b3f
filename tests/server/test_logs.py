"""The log: one JSON object a line, with the id that the client sees too."""

from __future__ import annotations

import json
import logging

import pytest

from midi_llm.server.logs import REQUEST_ID, JsonLines


def test_a_request_is_logged_with_its_id(running, until, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(JsonLines())
    with caplog.at_level(logging.INFO, logger="midi_llm.server.gate"):
        answer = running.http.get("/v1/jobs/unknown", headers={"X-Request-Id": "mine-1"})
        other = running.http.get("/healthz", headers={"X-Request-Id": "not one\x7f"})
        until(lambda: len(caplog.records) == 2)
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine-1"
    assert len(other.headers["x-request-id"]) == 16
    entry = json.loads(caplog.text.splitlines()[0])
    assert (entry["request_id"], entry["method"], entry["status"]) == ("mine-1", "GET", 404)
    assert entry["path"] == "/v1/jobs/unknown"


def test_a_line_is_one_line_whatever_it_says() -> None:
    record = logging.LogRecord("midi_llm", logging.WARNING, "", 0, "two\nlines %s", ("\x1b[31m",), None)
    token = REQUEST_ID.set("r")
    line = JsonLines().format(record)
    REQUEST_ID.reset(token)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["level"], entry["message"], entry["request_id"]) == ("warning", "two\nlines \x1b[31m", "r")
