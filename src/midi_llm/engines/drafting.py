"""Drafts of the ids that come next, copied from where the same music went on before.

In: the ids of one request, one by one, and where times lie among them. Out: ids that may come next, as many as are
worth a longer pass. Times count by their distance from the time before, so a bar is found again wherever it stands. How
far a draft is to be trusted is learnt from the request's own ids, so that music which does not repeat is not drafted.
Nothing here changes what is drawn: whoever takes a draft draws at each of its positions as without, and drops the rest
at the first id that differs (a draft of one certain id: Leviathan et al. 2023, arXiv 2211.17192). Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from midi_llm.engines.base import Request
from midi_llm.engines.rules import Layout, RuledConstraint, TripletRules

MOST_DRAFTED = 9
"""Ids of a draft: three notes. Fifteen would bring 0.3 % more (docs/performance.md)."""

_CONTEXT = 4  # ids that must have occurred together, at most; with 3 to 6 the speed is the same within 1 %
_POSITION_COST = 0.2  # of a further position, as a share of a pass: 0.19 to 0.26 with nano (docs/performance.md)
_MEMORY = 60  # ids of a kind, after which what was learnt counts half
_TRIPLET = 3


class Drafter:
    """What is known of one request's ids: `push` every one of them, ask for a `draft` of those to come."""

    def __init__(self, layout: Layout, ids: Iterable[int] = ()) -> None:
        self._layout = layout
        self._last_time = layout.first_id
        self._ids: list[int] = []
        """Of times, the distance from the time before; other ids are larger than any distance."""
        self._places: dict[tuple[int, ...], int] = {}
        """Where the music went on when these ids came last."""
        self._source = 0
        """The place in `_ids` from which to copy, which follows `_matched` ids equal to the last ones."""
        self._matched = 0
        self._learnt: dict[tuple[int, int], tuple[float, float]] = {}
        for token_id in ids:
            self.push(token_id)

    def push(self, token_id: int) -> None:
        """Add an id that was drawn or given."""
        value = token_id
        if 0 <= token_id - self._layout.first_id < self._layout.times:
            value, self._last_time = token_id - self._last_time, token_id
        if self._matched:
            is_right = self._ids[self._source] == value
            self._learn(is_right)
            self._source, self._matched = (self._source + 1, self._matched + 1) if is_right else (0, 0)
        self._ids.append(value)
        contexts = [tuple(self._ids[-length:]) for length in range(min(_CONTEXT, len(self._ids)), 0, -1)]
        if self._matched < _CONTEXT:
            self._find(contexts)
        self._places.update(dict.fromkeys(contexts, len(self._ids)))

    def draft(self, most: int) -> list[int]:
        """The ids that may come next, `most` at most; none where a longer pass is not worth it."""
        count = self._worth(min(most, MOST_DRAFTED)) if self._matched else 0
        known = self._ids[self._source : self._source + count]
        ids, time = [], self._last_time
        for place in range(count):
            value = known[place % len(known)]  # what is copied may reach into the draft itself
            if value < self._layout.times:
                time += value
                value = time
            ids.append(value)
        return ids

    def _find(self, contexts: Sequence[tuple[int, ...]]) -> None:
        """Copy from behind the longest of `contexts` that came before, or from nowhere."""
        self._matched = 0
        for context in contexts:
            place = self._places.get(context)
            if place is not None:
                self._source, self._matched = place, len(context)
                return

    def _worth(self, most: int) -> int:
        """How many ids to draft, so that a pass brings the most ids for its cost."""
        best, most_ids, chance, ids = 0, 1.0, 1.0, 1.0
        for count in range(1, most + 1):
            right, seen = self._seen(count - 1)
            chance *= right / seen
            ids += chance
            if ids / (1 + _POSITION_COST * count) > most_ids:
                best, most_ids = count, ids / (1 + _POSITION_COST * count)
        return best

    def _seen(self, ahead: int) -> tuple[float, float]:
        """How often a copied id was right, of how many: at this place of a triplet, after as long a match."""
        return self._learnt.get(self._kind(ahead), (1.0, 2.0))

    def _learn(self, is_right: bool) -> None:
        right, seen = self._seen(0)
        fade = 0.5 if seen >= _MEMORY else 1.0
        self._learnt[self._kind(0)] = ((right + is_right) * fade, (seen + 1) * fade)

    def _kind(self, ahead: int) -> tuple[int, int]:
        return min(self._matched + ahead, _CONTEXT), (len(self._ids) + ahead) % _TRIPLET


def drafter_of(request: Request, drawn: Sequence[int]) -> Drafter | None:
    """A drafter that knows the given events of `request` and the ids drawn so far; None where no rules name its ids.

    Of the rules it reads what stays as it is while ids are accepted.
    """
    if not isinstance(request.constraint, RuledConstraint):
        return None
    rules = TripletRules.from_numbers(request.constraint.rules())
    given = rules.given_events * _TRIPLET
    return Drafter(rules.layout, [*request.prompt_ids[len(request.prompt_ids) - given :], *drawn])
