"""Floors: what music scores that nobody composed. Whatever a metric praises, these must have less of it.

`RandomGrammar` draws ids uniformly from what the grammar allows; `shuffled` keeps the notes of real pieces and loses
their order; `mismatched` gives real pieces to prompts that they were not made for, for metrics of control.
In: jobs, or pieces. Out: systems. The same seeds give the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.systems.base import JSON, Delivery, Job
from midi_llm.evaluate.systems.pieces import Pieces, score_of
from midi_llm.music.features import NoteTable, note_table
from midi_llm.music.read import parse_midi
from midi_llm.music.write import to_midi_bytes
from midi_llm.tokens.allowed import AllowedIds
from midi_llm.tokens.codec import decode, dequantize, quantize, tidy
from midi_llm.tokens.grammar import TRIPLET, EventGrammar
from midi_llm.tokens.vocab import MAX_TIME_TICKS, SEPARATOR, TICKS_PER_SECOND

DEFAULT_SECONDS = 30.0
MAX_SECONDS = MAX_TIME_TICKS / TICKS_PER_SECOND
MAX_GAP_TICKS = 30
"""Onsets are 0 to 0.3 s apart, all gaps equally likely: 6.7 notes a second, about as many as a real solo has
(`data.facts.relative_density`). Without a bound a uniform draw of the next onset would end a take after 6 notes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomGrammar:
    """Notes drawn uniformly from what `EventGrammar` allows, up to the length asked for.

    Durations are uniform up to 10 s, instruments and pitches over all that are legal; only the gap between onsets is
    bounded. No rests are drawn, and the piece is closed where the next onset would lie past the end.
    """

    name: str = "random"

    def describe(self) -> dict[str, JSON]:
        """The bound on gaps, and the length where none is asked for."""
        return {"kind": "random grammar", "max_gap_ticks": MAX_GAP_TICKS, "default_seconds": DEFAULT_SECONDS}

    def compose(self, jobs: Sequence[Job]) -> Iterator[Delivery]:
        """A random take for each job's seed; no longer than the 100 s of a window."""
        for job in jobs:
            seconds = DEFAULT_SECONDS if job.seconds is None else job.seconds
            if not 1 / TICKS_PER_SECOND < seconds <= MAX_SECONDS:
                yield Delivery(error=f"{seconds:g} s were asked for; allowed is up to {MAX_SECONDS:g}")
                continue
            amt_ids = random_ids(np.random.default_rng(job.seed), end_ticks=round(seconds * TICKS_PER_SECOND))
            events = tidy(decode(amt_ids))
            yield Delivery(
                midi=to_midi_bytes(dequantize(events)), strict=True, ending="asked", tokens=len(amt_ids), seed=job.seed
            )

    def close(self) -> None:
        """Nothing is held."""


def random_ids(rng: np.random.Generator, *, end_ticks: int) -> list[int]:
    """AMT ids of a random piece, drawn one by one; it ends with SEPARATOR and decodes strictly."""
    grammar = EventGrammar(end_ticks=end_ticks, max_tokens=TRIPLET * MAX_TIME_TICKS, allow_rests=False)
    amt_ids: list[int] = []
    now = 0
    while not grammar.finished:
        allowed = grammar.allowed()
        if len(amt_ids) % TRIPLET == 0:
            now = drawn = _draw_time(allowed, now, rng)
        else:
            drawn = _draw(allowed, rng)
        grammar.accept(drawn)
        amt_ids.append(drawn)
    return amt_ids


def shuffled(pieces: Pieces, *, seed: int) -> Pieces:
    """Each piece with its gaps between onsets, durations, pitches and instruments each in random order.

    It keeps how many notes, instruments, pitches, durations and chords there are and how long the piece is; what is
    lost is who plays what when. Of a note that would then be struck twice at once, one is left.
    """
    made = {}
    for number, (name, midi) in enumerate(pieces.midi.items()):
        notes = shuffle_notes(note_table(parse_midi(midi, name=name)), np.random.default_rng([seed, number]))
        made[name] = to_midi_bytes(dequantize(tidy(quantize(score_of(notes)))))
    return Pieces(name="shuffled", midi=made, origin={"kind": "shuffled", "seed": seed, "of": pieces.describe()})


def shuffle_notes(notes: NoteTable, rng: np.random.Generator) -> NoteTable:
    """`notes` with the gaps between onsets and every other column permuted, each on its own."""
    first = notes.start[:1]
    gaps = rng.permutation(np.diff(notes.start))
    return NoteTable(
        start=np.concatenate([first, first + np.cumsum(gaps)]) if len(notes) else notes.start,
        duration=rng.permutation(notes.duration),
        instrument=rng.permutation(notes.instrument),
        pitch=rng.permutation(notes.pitch),
        velocity=rng.permutation(notes.velocity),
    )


def mismatched(pieces: Pieces, prompts: Sequence[Prompt], *, seed: int) -> Pieces:
    """Every prompt with a piece that is not its own: what control metrics give to music that never read the prompt.

    Pieces are used evenly, again and again where there are more prompts. Raises `RequestError` for fewer than two.
    """
    names = list(pieces.midi)
    if len(names) < 2:
        raise RequestError(f"{len(names)} pieces cannot be exchanged; at least 2 are needed")
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    after = {name: order[(place + 1) % len(order)] for place, name in enumerate(order)}
    given = {prompt.id: after.get(prompt.id, order[place % len(order)]) for place, prompt in enumerate(prompts)}
    return Pieces(
        name="mismatched",
        midi={name: pieces.midi[other] for name, other in given.items()},
        origin={"kind": "mismatched", "seed": seed, "of": pieces.describe()},
    )


def _draw_time(allowed: AllowedIds, now: int, rng: np.random.Generator) -> int:
    """A time at most `MAX_GAP_TICKS` after `now`, or as soon as a note fits; SEPARATOR where that is past the end."""
    time = max(now + int(rng.integers(MAX_GAP_TICKS + 1)), allowed.start)
    if time < allowed.stop:
        return time
    return SEPARATOR if SEPARATOR in allowed.extra else allowed.stop - 1


def _draw(allowed: AllowedIds, rng: np.random.Generator) -> int:
    """One of the allowed durations or notes, all equally likely."""
    if allowed.mask is None:
        return int(rng.integers(allowed.start, allowed.stop))
    return allowed.start + int(rng.choice(np.flatnonzero(allowed.mask)))
