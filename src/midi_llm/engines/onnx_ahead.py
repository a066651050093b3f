"""A row that computes ahead of what is drawn: a drafted passage in one pass, used as far as the draws agree with it.

In: the ids drawn, as they come. Out: the hidden state after each of them, the same as a step each would give, up to the
rounding of products over several rows. Knows no constraint and no draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from midi_llm.engines.decoding import OpenRequest
from midi_llm.engines.drafting import drafter_of
from midi_llm.engines.onnx_batch import OnnxBatch
from midi_llm.weights import FloatArray


class RowAhead:
    """The first row of `batch`, alone in it, which belongs to `take`; `embed` gives the embeddings of ids."""

    def __init__(self, batch: OnnxBatch, take: OpenRequest, embed: Callable[[Sequence[int]], FloatArray]) -> None:
        self._batch, self._take, self._embed = batch, take, embed
        self._drafter = drafter_of(take.request, take.drawn[:-1])
        self._hidden_SH = np.empty((0, 0), dtype=np.float32)
        self._expected: list[int] = []
        """Drafted ids whose positions are computed and that are not drawn yet."""

    def hidden(self) -> FloatArray:
        """The hidden state [1, hidden] after the id drawn last; ask once for each id."""
        token_id = self._take.drawn[-1]
        if self._drafter is not None:
            self._drafter.push(token_id)
        if self._expected and self._expected[0] == token_id:
            del self._expected[0]
        else:
            self._batch.shorten(len(self._expected))
            self._expected = self._drafter.draft(self._take.left - 1) if self._drafter is not None else []
            self._hidden_SH = self._batch.extend(self._embed([token_id, *self._expected]))
        place = len(self._hidden_SH) - 1 - len(self._expected)
        return self._hidden_SH[place : place + 1]
