"""How a request's rules travel through vLLM: as numbers in `SamplingParams.extra_args`. Loads no vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midi_llm.engines.rules import TripletRules
from midi_llm.errors import EngineError

RULES_ARGUMENT = "midi_llm_rules"
"""The key in `extra_args` (over HTTP: in `vllm_xargs`)."""


def extra_args(numbers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a request whose constraint states `numbers` gives to vLLM."""
    return None if numbers is None else {RULES_ARGUMENT: dict(numbers)}


def read_rules(sampling_params: Any) -> TripletRules | None:
    """The rules in a request's sampling parameters; None without any. `EngineError` when they cannot be read."""
    numbers = (sampling_params.extra_args or {}).get(RULES_ARGUMENT)
    return None if numbers is None else TripletRules.from_numbers(numbers)


def check_rules(sampling_params: Any) -> None:
    """Raise `ValueError`, which vLLM answers at admission, for rules that cannot be read."""
    try:
        read_rules(sampling_params)
    except EngineError as error:
        raise ValueError(str(error)) from error
