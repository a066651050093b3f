"""The ids as vLLM numbers them: where only a layout's ids can be drawn, those come first, then all others.

vLLM takes the place of a logit for the id that it feeds back. So for a head with few rows, the ids that may be drawn
must be the first ones; prompts may hold any. In: token ids. Out: vLLM's ids, and back. Loads no vLLM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from midi_llm.engines.rules import Layout
from midi_llm.errors import EngineError


def drawn_first(vocab_size: int, *, first_id: int, width: int, separator: int) -> npt.NDArray[np.int64]:
    """The token ids in vLLM's order: `width` from `first_id` on, the separator, and all others."""
    drawn = np.append(np.arange(first_id, first_id + width), separator)
    is_other = np.ones(vocab_size, np.bool_)
    is_other[drawn] = False
    return np.concatenate((drawn, np.flatnonzero(is_other)))


class VllmIds:
    """Token ids to vLLM's and back; they are the same where `layout` is None.

    Raises `EngineError` for a layout that does not lie in the vocabulary, its separator after its block.
    """

    def __init__(self, vocab_size: int, layout: Layout | None) -> None:
        self.layout = layout
        self._token_ids = np.arange(vocab_size)
        if layout is not None:
            first, stop = layout.first_id, layout.first_id + layout.width
            if stop > vocab_size or not stop <= layout.separator < vocab_size:
                raise EngineError(f"{layout} is not inside a vocabulary of {vocab_size} ids")
            self._token_ids = drawn_first(vocab_size, first_id=first, width=layout.width, separator=layout.separator)
        self._vllm_ids = np.empty_like(self._token_ids)
        self._vllm_ids[self._token_ids] = np.arange(vocab_size)

    def to_vllm(self, token_ids: Sequence[int]) -> list[int]:
        """The ids in vLLM of `token_ids`."""
        found: list[int] = self._vllm_ids[np.asarray(token_ids, np.int64)].tolist()
        return found

    def from_vllm(self, vllm_ids: Sequence[int]) -> list[int]:
        """The token ids of vLLM's."""
        found: list[int] = self._token_ids[np.asarray(vllm_ids, np.int64)].tolist()
        return found

    def rules(self, numbers: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a constraint states (`TripletRules`), for vLLM's ids."""
        if self.layout is None:
            return numbers
        return {**numbers, "layout": {**numbers["layout"], "first_id": 0, "separator": self.layout.width}}
