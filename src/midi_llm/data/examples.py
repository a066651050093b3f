"""Examples: a window of a piece, or a stretch of text, as the token ids of one training sequence.

In: a `Score` with its `Metadata` (or a text), an `ExampleSpec`, a tokenizer and a prompt format. Out: `Example`s of at
most `ExampleSpec.length` ids: prompt, AUTOREGRESS or ANTICIPATE, triplets of events and controls, SEPARATOR where the
piece ends. docs/token-format.md shows one. Knows no shards, no order and no loss.
What a prompt says is true of exactly the notes in its row: a window is cut to the row before its facts are counted.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from midi_llm.data.augment import AMT_KINDS, AugmentSettings, Kinds, control_mask
from midi_llm.data.captions import caption
from midi_llm.data.facts import window_facts
from midi_llm.data.sources.base import Metadata
from midi_llm.data.windows import Window, cut_window
from midi_llm.errors import DatasetError
from midi_llm.music.score import Score
from midi_llm.prompt import PromptFormat
from midi_llm.tokens.codec import AmtIds
from midi_llm.tokens.controls import anticipate
from midi_llm.tokens.rests import insert_rests
from midi_llm.tokens.vocab import ANTICIPATE, AUTOREGRESS, CONTROL_OFFSET, REST, REST_INTERVAL_TICKS, SEPARATOR

MIN_LENGTH = 128
_UNITS = ((r"(?<=[.!?;])\s+", " "), (r"(?<=,)\s+", " "), (r"\s+", " "), (r"(?<=.)(?=.)", ""))
"""Where a prompt that is too long may end: after a sentence, or else a clause, a word or (no blanks) a character."""
_TEXT_ENDS = (r"\n\s*\n", r"(?<=[.!?])\s", r"\s")
"""Where a long text may be cut: after a paragraph, or else a sentence, or else a word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One training sequence. `kind` is "plain", "span", "random", "instrument" or "text"."""

    ids: npt.NDArray[np.int64]
    """Token ids: prompt, AUTOREGRESS or ANTICIPATE, triplets, and SEPARATOR when the piece ends here."""
    music_start: int
    """Index of the first id after AUTOREGRESS or ANTICIPATE; len(ids) for text."""
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleSpec:
    """What examples are like. Shares are between 0 and 1."""

    length: int
    """Most ids of an example."""
    captioned: float = 0.9
    """Share of examples with a prompt; the others are music alone, which classifier-free guidance needs."""
    described: float = 0.75
    """Of those, where the source has descriptions of its own: share that may use them (`caption` then does half of the
    time). Their windows are as written, since a description names the piece's own key, tempo and instruments."""
    prompt_ids: int = 128
    """Ids kept free for a prompt, but at most a quarter of `length`; a longer caption is shortened by the sentence."""
    kinds: Kinds = AMT_KINDS
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        shares = (self.captioned, self.described)
        if self.length < MIN_LENGTH or self.prompt_ids < 1 or min(shares) < 0 or max(shares) > 1:
            raise DatasetError(
                f"length is {self.length}, prompt_ids {self.prompt_ids}, captioned and described are {shares}; allowed"
                f" are length {MIN_LENGTH} or more, prompt_ids 1 or more, shares between 0 and 1"
            )

    @property
    def prompt_limit(self) -> int:
        """Most ids of a prompt, its start id included."""
        return min(self.prompt_ids, self.length // 4)


def make_example(
    score: Score,
    metadata: Metadata,
    *,
    spec: ExampleSpec,
    tokenizer: Tokenizer,
    prompt_format: PromptFormat,
    rng: np.random.Generator,
    reword: Callable[[str], str] | None = None,
) -> Example | None:
    """A random window of `score` as an example; None where `cut_window` finds nothing worth learning from.

    `reword` gets the caption and gives the words to use instead.
    The tokenizer must not read special tokens out of text (`load_tokenizer` sees to that). Raises `PromptError` for
    captions that cannot be a prompt, `DatasetError` where the prompt format alone fills the place for prompts.
    """
    is_captioned = rng.random() < spec.captioned
    is_described = is_captioned and bool(metadata.captions) and rng.random() < spec.described
    room = (spec.length - (spec.prompt_limit if is_captioned else 1) - 1) // 3  # 1 for SEPARATOR
    augment = spec.augment.as_written() if is_described else spec.augment
    window = cut_window(score, metadata=metadata, max_notes=room, settings=augment, rng=rng)
    if window is None:
        return None
    mask = control_mask(window.events, kind := spec.kinds.draw(rng), rng)
    amt_ids, window = fit(window, mask, room)
    kind = kind if (amt_ids >= CONTROL_OFFSET).any() else "plain"
    start = AUTOREGRESS if kind == "plain" else ANTICIPATE
    text_rows = tokenizer.get_vocab_size()
    prompt = [start + text_rows]
    if is_captioned:
        text = caption(window_facts(window, metadata), rng, captions=metadata.captions if is_described else ())
        text = reword(text) if reword else text
        encode = partial(prompt_format.encode, tokenizer=tokenizer, text_rows=text_rows, start_amt_id=start)
        prompt = encode_shortened(text, encode, limit=spec.prompt_limit)
    end = np.full(int(window.is_ending), SEPARATOR)
    ids = np.concatenate([np.array(prompt), text_rows + amt_ids, text_rows + end]).astype(np.int64)
    return Example(ids=ids, music_start=len(prompt), kind=kind)


def fit(window: Window, mask: npt.NDArray[np.bool_], room: int) -> tuple[AmtIds, Window]:
    """At most `room` triplets of `window`, the notes in `mask` [n] as controls, and the window of the notes in them.

    Rests fill the silence between events up to the last note, so that every control has an event to stand before.
    """
    events, controls = window.events[~mask], window.events[mask]
    end_ticks = max(int(window.events[-1, 0]), REST_INTERVAL_TICKS + 1)
    amt_ids = anticipate(insert_rests(events, end_ticks), controls)
    if len(amt_ids) <= 3 * room:
        return amt_ids, window
    amt_ids = amt_ids[: 3 * room]
    is_control = amt_ids[0::3] >= CONTROL_OFFSET
    played, given = int((~is_control & (amt_ids[2::3] != REST)).sum()), int(is_control.sum())
    kept = np.sort(np.concatenate([np.flatnonzero(~mask)[:played], np.flatnonzero(mask)[:given]]))
    return amt_ids, replace(window, events=window.events[kept], velocities=window.velocities[kept], is_ending=False)


def encode_shortened(text: str, encode: Callable[[str], list[int]], *, limit: int) -> list[int]:
    """`encode(text)`, or of its longest beginning that gives at most `limit` ids: whole sentences, clauses or words."""
    ids = encode(text)
    if len(ids) <= limit:
        return ids
    for unit, glue in _UNITS:
        units = re.split(unit, text)
        begin = partial(_beginning, units, glue)
        keep = bisect_left(range(1, len(units) + 1), True, key=lambda count: len(encode(begin(count))) > limit)
        if keep:
            return encode(begin(keep))
    raise DatasetError(
        f"the first character of a caption needs {len(encode(text[0]))} ids with its prompt format, {limit} are kept"
        " free: raise prompt_ids, or length, a quarter of which is the most"
    )


def text_examples(text: str, tokenizer: Tokenizer, *, max_ids: int) -> list[Example]:
    """`text` as examples of at most `max_ids` ids, each after the tokenizer's BOS where it has one.

    A long text is cut where a paragraph ends, or else a sentence or a word, in the second half of what fits. Nothing is
    left out but white space and a last stretch of a single id. Raises `DatasetError` for fewer than 16 ids.
    """
    if max_ids < 16:
        raise DatasetError(f"max_ids is {max_ids}; text needs 16 or more ids an example")
    opening = tokenizer.encode("", add_special_tokens=True).ids
    encoding = tokenizer.encode(text.strip(), add_special_tokens=False)
    ids, begins = np.array([*opening, *encoding.ids], np.int64), np.array([begin for begin, _ in encoding.offsets])
    ends = [np.searchsorted(begins, [m.start() for m in re.finditer(end, text.strip())]) for end in _TEXT_ENDS]
    bounds = [0]
    while len(encoding.ids) - bounds[-1] > max_ids - len(opening):
        bounds.append(_cut(ends, bounds[-1], max_ids - len(opening)))
    stretches = np.split(ids[len(opening) :], bounds[1:])
    examples = [np.concatenate([ids[: len(opening)], stretch]) for stretch in stretches if len(stretch) > 1]
    return [Example(ids=ids, music_start=len(ids), kind="text") for ids in examples]


def _beginning(units: list[str], glue: str, count: int) -> str:
    return glue.join(units[:count]).rstrip(" ,;")


def _cut(ends: list[npt.NDArray[np.intp]], start: int, room: int) -> int:
    """Index of the id before which to cut: the last of the best sort of `ends` in the second half of `room` ids."""
    for places in ends:
        last = int(np.searchsorted(places, start + room, side="right")) - 1
        if last >= 0 and places[last] > start + room // 2:
            return int(places[last])
    return start + room
