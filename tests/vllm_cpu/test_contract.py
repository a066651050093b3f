"""What every engine promises, asked of vLLM. Left out: constraints that no rules can state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import test_engine_contract as contract
from engines.test_engine_contract import (  # noqa: F401 - collected here, with the engine below
    test_a_cancel_that_is_set_before_the_start_gives_no_ids,
    test_a_constraint_that_allows_nothing_is_refused_before_anything_is_decoded,
    test_a_constraint_that_is_finished_already_gives_no_id,
    test_a_finished_constraint_stops_the_request_with_its_last_id,
    test_a_request_gives_the_same_ids_alone_and_in_a_batch,
    test_a_stream_may_be_abandoned_and_the_engine_still_serves,
    test_all_ids_are_legal_and_the_budget_is_exact,
    test_bad_requests_are_refused_before_anything_is_decoded,
    test_cancelling_midway_keeps_what_was_decoded_and_ends_every_open_request,
    test_it_is_an_engine_with_the_sizes_of_its_model,
    test_streams_of_several_threads_come_and_go_and_each_is_what_it_is_alone,
    test_the_last_position_of_the_model_can_be_used,
    test_the_same_seed_repeats_and_another_seed_differs,
    test_the_stream_yields_every_id_in_order_and_one_end_per_request,
    test_two_streams_side_by_side_do_not_disturb_each_other,
)
from midi_llm.engines.base import Engine, generate
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.errors import EngineError

from .conftest import LAYOUT, RuledSlotCycle


@pytest.fixture(scope="module", params=[None, LAYOUT], ids=["whole head", "sliced head"])
def engine(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> Iterator[Engine]:
    made = VllmEngine(tiny_checkpoint, dtype="float32", layout=request.param)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "SlotCycle", RuledSlotCycle)


def test_a_closed_engine_says_so_and_another_one_can_be_opened(tiny_checkpoint: Path, engine: Engine) -> None:
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        generate(engine, [contract.take()])
    engine.close()
    again = VllmEngine(tiny_checkpoint, dtype="float32")
    assert len(generate(again, [contract.take()])[0].token_ids) == 12
    again.close()
