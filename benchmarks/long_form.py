"""Do long pieces drift? Minute by minute: notes per second, tempo heard, instruments; by a plan of sections or without.

    python benchmarks/long_form.py [--pieces 8] [--seconds 300 | --sections PLAN] [--model nano] [--seed 0]
        [--midi DIR] [-o table.md]

The last whole minute is compared with the first: density and tempo as ratios (a tempo twice or half as fast counts as
the same), instruments that fell silent or joined. Tempo is as heard (docs/evaluation.md), each minute for itself. With
sections, "on the bars" says how far the bars heard in the last minute are from those of the file, in quarter notes.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import machine
from midi_llm import Composer, Piece, asked_for
from midi_llm.compose.settings import Settings
from midi_llm.compose.timing import LEVELS, bar_seconds
from midi_llm.music.beats import estimate_beats
from midi_llm.music.features import NoteTable, note_table
from midi_llm.music.form import bar_labels, repeated_share

PROMPTS = (
    "A cheerful rock song with bright electric guitars, bass and drums, 120 bpm",
    "A calm piano piece",
    "A jazz trio: piano, upright bass and drums, 140 bpm",
    "An orchestral film theme with strings, horns and timpani",
    "Techno with a driving beat and synth lead, 128 bpm",
    "A string quartet in a minor key",
    "Reggae with organ, bass and drums, 80 bpm",
    "A flute melody over acoustic guitar",
)
MINUTE = 60.0
NEAR = 0.05
"""A tempo this close (as a share) counts as the same."""


@dataclass(frozen=True, kw_only=True)
class Minute:
    density: float
    """Notes per second."""
    bpm: float | None
    instruments: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Course:
    """One piece, minute by minute."""

    piece: Piece
    minutes: list[Minute]

    @property
    def density_ratio(self) -> float:
        return self.minutes[-1].density / self.minutes[0].density

    @property
    def tempo_ratio(self) -> float | None:
        first, last = self.minutes[0].bpm, self.minutes[-1].bpm
        if first is None or last is None:
            return None
        return min((last / first * level for level in LEVELS), key=lambda ratio: max(ratio, 1 / ratio))

    @property
    def repeated(self) -> float | None:
        """Share of the bars that are like an earlier one, note for note; None without a tempo in the file."""
        score = self.piece.score
        if not score.tempos:
            return None
        metre = score.time_signatures[0]
        bar = bar_seconds(score.tempos[0].bpm, (metre.numerator, metre.denominator))
        return repeated_share(bar_labels(note_table(score), bar, int(score.seconds / bar)))

    @property
    def off_beat(self) -> float | None:
        """Quarter notes, at most half of one, between the file's beats and those heard in the last whole minute."""
        score = self.piece.score
        if not score.markers:
            return None
        start = (len(self.minutes) - 1) * MINUTE
        notes = note_table(score)
        last = notes.where((notes.start >= start) & (notes.start < start + MINUTE))
        quarter = 60.0 / score.tempos[0].bpm
        grid = estimate_beats(last, bpm=score.tempos[0].bpm)
        if grid is None:
            return None
        at = grid.beats / quarter
        return float(np.median(np.abs(at - np.rint(at))))


def listen(piece: Piece) -> Course:
    notes = note_table(piece.score)
    count = max(1, int((piece.seconds + 1.0) / MINUTE))
    parts = [notes.where((notes.start >= at * MINUTE) & (notes.start < (at + 1) * MINUTE)) for at in range(count)]
    return Course(piece=piece, minutes=[minute(part) for part in parts])


def minute(notes: NoteTable) -> Minute:
    grid = estimate_beats(notes)
    return Minute(
        density=len(notes) / MINUTE,
        bpm=None if grid is None else grid.bpm,
        instruments=frozenset(notes.instrument.tolist()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--sections", help="a plan such as 'intro 4, verse 8, chorus 8', in place of --seconds")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--midi", type=Path, help="a folder for the pieces")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    seconds = None if args.sections else args.seconds
    wishes = asked_for(sections=args.sections)
    courses = []
    with Composer.open(args.model, engine=args.engine) as composer:
        for number in range(args.pieces):
            prompt = PROMPTS[number % len(PROMPTS)]
            settings = Settings(seconds=seconds, seed=args.seed + number, retries=0, wishes=wishes)
            courses.append(listen(composer.compose(prompt, settings)))
            if args.midi:
                args.midi.mkdir(parents=True, exist_ok=True)
                courses[-1].piece.save(args.midi / f"{number}.mid", overwrite=True)
            print(line(courses[-1]), flush=True)
    text = table(courses)
    text += f"\n\n{args.pieces} pieces of {args.sections or f'{args.seconds:g} s'}"
    text += f", model {args.model}, seeds from {args.seed}; {machine.describe('onnxruntime', 'numpy')}"
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")


def line(course: Course) -> str:
    """One piece, for the eye."""
    piece = course.piece
    density = " ".join(f"{one.density:.1f}" for one in course.minutes)
    tempo = " ".join("-" if one.bpm is None else f"{one.bpm:.0f}" for one in course.minutes)
    sounding = " ".join(str(len(one.instruments)) for one in course.minutes)
    return (
        f"{piece.seconds:5.0f} s, {piece.ending}, RTF {piece.rtf:.1f}, notes/s {density}, bpm {tempo},"
        f" instruments {sounding}  {piece.prompt}"
    )


def table(courses: list[Course]) -> str:
    density = [course.density_ratio for course in courses]
    tempo = [ratio for course in courses if (ratio := course.tempo_ratio) is not None]
    first = [course.minutes[0].instruments for course in courses]
    last = [course.minutes[-1].instruments for course in courses]
    off = [away for course in courses if (away := course.off_beat) is not None]
    near = sum(abs(ratio - 1) <= NEAR for ratio in tempo)
    rows = [
        ("notes per second, last minute / first", spread(density)),
        ("… between one half and two", f"{sum(0.5 <= ratio <= 2 for ratio in density)} of {len(density)}"),
        ("tempo, last minute / first", spread(tempo)),
        (f"… within {NEAR:.0%}", f"{near} of {len(tempo)}"),
        ("instruments of the first minute that are silent in the last", mean_count(first, last)),
        ("instruments of the last minute that are new", mean_count(last, first)),
        ("bars like an earlier one", spread([share for course in courses if (share := course.repeated) is not None])),
        ("beats heard in the last minute off those of the file", spread(off)),
        ("length in seconds", spread([course.piece.seconds for course in courses])),
        ("seconds of music per second of wall clock", spread([course.piece.rtf for course in courses])),
    ]
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def mean_count(these: list[frozenset[int]], others: list[frozenset[int]]) -> str:
    gone = statistics.mean(len(one - other) for one, other in zip(these, others, strict=True))
    return f"{gone:.1f} of {statistics.mean(map(len, these)):.1f}"


def spread(values: list[float]) -> str:
    """Median (least, most)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}, {max(values):.2f})" if values else "-"


if __name__ == "__main__":
    main()
