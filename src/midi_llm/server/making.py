"""One job made: a checked request and an opened model in, finished takes out, notes told as they come.

In: a `Composer`, a request of schemas.py, the piece it works on. Out: facts and a MIDI file for each take.
`check` refuses before anything waits what could not be made. A service's jobs are made by a `Maker`: the model of this
process (`LocalMaker`), or others elsewhere. Knows no data base and no HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from midi_llm.compose.composer import Composer
from midi_llm.compose.editor import edit_takes
from midi_llm.compose.piece import DEFAULT_TEMPO, Piece
from midi_llm.compose.take import Progress
from midi_llm.errors import RequestError
from midi_llm.music.features import note_table
from midi_llm.music.instruments import instrument_name
from midi_llm.music.key import KEY_CONFIDENCE, estimate_key
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score
from midi_llm.music.song_file import SongFile, parse_song
from midi_llm.music.write import to_midi_bytes
from midi_llm.server import schemas
from midi_llm.server.asking import edit_settings, make_edit, settings_of

Request = schemas.Composition | schemas.Edit
Made = tuple[schemas.Take, bytes]
OnProgress = Callable[[Progress], None]

USUAL_METRE = "4/4"


class Maker(Protocol):
    """What makes jobs, several side by side where they gain by it; `make` is called from a thread for each job."""

    @property
    def takes_at_once(self) -> int:
        """How many takes of all jobs together are composed side by side at best."""

    def make(
        self, request: Request, source: bytes | None, *, on_progress: OnProgress, cancel: threading.Event
    ) -> list[Made]:
        """Make one job; where `cancel` is set, what there is. The same request gives the same takes.

        Raises `MidiLLMError`s.
        """


class LocalMaker:
    """The model of this process."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer

    @property
    def takes_at_once(self) -> int:
        """As many as the engine decodes together; 1 where it decodes each stream for itself."""
        return self._composer.engine.best_batch if self._composer.engine.joins else 1

    def make(
        self, request: Request, source: bytes | None, *, on_progress: OnProgress, cancel: threading.Event
    ) -> list[Made]:
        """As `make` of this module."""
        return make(self._composer, request, source, on_progress=on_progress, cancel=cancel)


def check(composer: Composer, request: Request, source: bytes | None) -> None:
    """Raise `RequestError` or `PromptError` for what cannot be made."""
    if isinstance(request, schemas.Composition):
        plan = composer.plan(request.prompt, settings_of(request))
        composer.prompt_ids(plan.text)
        return
    settings = edit_settings(request)
    composer.params(settings)
    make_edit(request, song_of(source))
    if request.prompt:
        composer.prompt_ids(request.prompt)


def make(
    composer: Composer, request: Request, source: bytes | None, *, on_progress: OnProgress, cancel: threading.Event
) -> list[Made]:
    """Compose all takes; where `cancel` is set, what there is. Raises `MidiLLMError`s."""
    if isinstance(request, schemas.Composition):
        pieces = composer.compose_takes(request.prompt, settings_of(request), on_progress=on_progress, cancel=cancel)
        return [_composed(number, piece) for number, piece in enumerate(pieces)]
    edit = make_edit(request, song_of(source))
    takes = edit_takes(composer, edit, request.prompt, edit_settings(request), on_progress=on_progress, cancel=cancel)
    return [
        (_facts(number, parse_midi(take.content), take.seed, take.ending, take.seconds_taken), take.content)
        for number, take in enumerate(takes)
    ]


def song_of(content: bytes | None) -> SongFile:
    """The piece that is worked on. Raises `RequestError`, `MidiReadError`."""
    if content is None:
        raise RequestError("the piece that is worked on is gone; upload it again")
    return parse_song(content, name="the piece")


def instruments_of(score: Score) -> list[schemas.Instrument]:
    """Each instrument once, in the order of the tracks."""
    numbers = dict.fromkeys(track.instrument for track in score.tracks if len(track.notes))
    return [schemas.Instrument(instrument=number, name=instrument_name(number)) for number in numbers]


def _composed(number: int, piece: Piece) -> Made:
    facts = _facts(number, piece.score, piece.seed, piece.ending, piece.seconds_taken)
    ranking = piece.ranking
    judged = {
        "findings": [
            schemas.Finding(wish=one.wish, asked=one.asked, found=one.found, met=one.met) for one in piece.findings
        ],
        "ranking": schemas.Ranking(
            total=ranking.total, adherence=ranking.adherence, health=ranking.health, novelty=ranking.novelty
        ),
    }
    return facts.model_copy(update=judged), to_midi_bytes(piece.score, title=piece.prompt)


def _facts(number: int, score: Score, seed: int, ending: str, seconds_taken: float) -> schemas.Take:
    metre = score.time_signatures[0] if score.time_signatures else None
    return schemas.Take(
        index=number,
        seed=seed,
        seconds=round(score.seconds, 3),
        tempo=round(score.tempos[0].bpm, 3) if score.tempos else DEFAULT_TEMPO,
        metre=USUAL_METRE if metre is None else f"{metre.numerator}/{metre.denominator}",
        key=_key(score),
        notes=score.note_count,
        instruments=instruments_of(score),
        findings=[],
        ranking=None,
        ending=ending,
        seconds_taken=round(seconds_taken, 3),
    )


def _key(score: Score) -> str | None:
    """The key that is written, or the one that is heard where that is sure."""
    if score.key_signatures:
        return score.key_signatures[0].key
    notes = note_table(score)
    if not len(notes.pitched()):
        return None
    key, confidence = estimate_key(notes)
    return key if confidence >= KEY_CONFIDENCE else None
