"""The service against its own description: whatever is sent, the answer is one that the schema names, and no 500."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from midi_llm.client import Composition

REFUSING = ("POST /v1/plans", "POST /v1/compositions", "POST /v1/edits", "GET /v1/jobs")
"""Operations for which the schema forbids something."""
BOUNDED = settings(
    max_examples=6,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_every_answer_is_as_described(running, uploaded: str, kind: str) -> None:
    schemathesis = pytest.importorskip("schemathesis")  # not above: it takes two seconds in every process
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # what music allows no schema says

    mode = schemathesis.GenerationMode(kind)
    job = running.client.wait(running.client.compose(Composition(prompt="a calm piece", seconds=1)).id)
    running.engine.fault = RuntimeError("whatever is asked for here need not be composed")
    described = running.http.get("/openapi.json").json()
    seen = set()
    described["paths"].pop("/v1/uploads")  # bytes, which are no JSON: tested in test_refusals.py
    for found in schemathesis.openapi.from_dict(described).get_all_operations():
        operation = found.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and operation.label not in REFUSING:
            continue
        known = (
            {"job": job.id, "number": 0, "index": 0, "upload": uploaded}
            if mode is schemathesis.GenerationMode.POSITIVE
            else {}
        )
        names = {parameter.name for parameter in operation.path_parameters}
        path = {name: value for name, value in known.items() if name in names}

        @given(case=operation.as_strategy(mode, path_parameters=path or None))
        @BOUNDED
        def check(case) -> None:
            answer = case.call_and_validate(base_url=running.url, excluded_checks=[positive_data_acceptance])
            seen.add((case.operation.label, answer.status_code))

        check()
    assert ("POST /v1/compositions", 202 if mode is schemathesis.GenerationMode.POSITIVE else 422) in seen
