"""Tests that run vLLM itself, on a CPU: `make test-vllm`. Without vLLM they are not collected."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from engines.conftest import TEXT_ROWS, SlotCycle
from midi_llm.compose.constraint import WindowConstraint
from midi_llm.compose.windows import Limits
from midi_llm.engines.base import Request, SamplingParams
from midi_llm.engines.rules import Layout
from midi_llm.tokens.codec import Events, encode
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.rules import UNBOUNDED, layout_numbers, rule_numbers

collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["test_*.py"]

LAYOUT = Layout(**layout_numbers(TEXT_ROWS))
START = 55_026 + TEXT_ROWS
PROMPTS = ([256, 40, 70, START], [256, 99, START], [256, *range(150), START])


class RuledSlotCycle(SlotCycle):
    """A `SlotCycle` that states rules; they allow less than it does (no note twice at one onset)."""

    def rules(self) -> dict[str, Any]:
        closes = self.closes_after is not None
        grammar = EventGrammar(max_tokens=UNBOUNDED, max_instruments=129, max_polyphony=None, allow_rests=False)
        return rule_numbers(grammar, text_rows=TEXT_ROWS) | {
            "min_end_ticks": 0 if closes else UNBOUNDED,
            "max_notes": self.closes_after if closes and self.must_close else UNBOUNDED,
            "max_melodic": 128,
        }


def window(
    *, max_tokens: int = 120, end_ticks: int = 3000, context: Events | None = None, polyphony: int = 6
) -> WindowConstraint:
    """A window as `compose` makes it: 30 s, bounded like the small model's."""
    grammar = EventGrammar(
        end_ticks=end_ticks,
        min_end_ticks=end_ticks - 300,
        max_tokens=max_tokens,
        context=context,
        max_polyphony=polyphony,
        min_gap_ticks=4,
        min_melodic_ticks=5,
    )
    return WindowConstraint(
        grammar, Limits(end_ticks=end_ticks, min_end_ticks=end_ticks - 300, is_last=True), text_rows=TEXT_ROWS
    )


def request(
    prompt: list[int], *, seed: int = 0, temperature: float = 1.0, context: Events | None = None, **settings: int
) -> Request:
    """A request of a window, its context at the end of its prompt."""
    constraint = window(context=context, **settings)
    given = [] if context is None else (encode(context) + TEXT_ROWS).tolist()
    params = SamplingParams(temperature=temperature, seed=seed, max_tokens=constraint.max_tokens)
    return Request(prompt_ids=[*prompt, *given], params=params, constraint=constraint)


def long_request(seed: int, *, max_tokens: int = 400) -> Request:
    """A request that nothing ends before its budget."""
    params = SamplingParams(seed=seed, max_tokens=max_tokens, temperature=1.0)
    return Request(prompt_ids=list(PROMPTS[0]), params=params, constraint=RuledSlotCycle())


NANO = Path(__file__).parents[2] / "src" / "midi_llm" / "models" / "nano"
