"""What can be had of a finished take or an upload: its notes as numbers, a score for notation programs, stems, sound.

In: the bytes of its MIDI file. Out: bodies of answers. Made when asked for; knows no job.
"""

from __future__ import annotations

import threading
from functools import lru_cache

from midi_llm.compose.settings import MAX_SECONDS
from midi_llm.errors import RequestError, ServiceError
from midi_llm.music.read import parse_midi
from midi_llm.music.stems import split_stems
from midi_llm.notation.musicxml import to_musicxml
from midi_llm.server import schemas
from midi_llm.synth.audio_file import to_wav_bytes
from midi_llm.synth.choose import LOUDNESS, Sounds, find_sounds, perform
from midi_llm.synth.loudness import matching_gain, scale

NAME = "the piece"
_one_sound = threading.Lock()
"""Sound takes much memory: one is made at a time."""
SOUND_SECONDS = 20.0
"""How long a request waits for its turn."""
MOST_SOUND_SECONDS = 2 * MAX_SECONDS
"""A take continued as far as it can be; an upload may last for a day. So much sound takes 1.5 GB to make (measured)."""


def notes_of(midi: bytes) -> schemas.Notes:
    """All notes, in seconds."""
    score = parse_midi(midi, NAME)
    return schemas.Notes(
        seconds=score.seconds,
        tempos=[(one.time, one.bpm) for one in score.tempos],
        metres=[(one.time, one.numerator, one.denominator) for one in score.time_signatures],
        tracks=[
            schemas.TrackNotes(name=track.name, instrument=track.instrument, notes=track.notes.tolist())
            for track in score.tracks
        ],
    )


def musicxml_of(midi: bytes, *, title: str) -> str:
    """The piece on staves. Raises `RequestError` for one without notes, or too long for a score."""
    return to_musicxml(parse_midi(midi, NAME), title=title)


def stems_of(midi: bytes) -> list[schemas.Stem]:
    """The tracks that `stem_of` gives."""
    return [
        schemas.Stem(index=index, name=stem.name, instrument=stem.track.instrument)
        for index, stem in enumerate(split_stems(midi, NAME))
    ]


def stem_of(midi: bytes, index: int) -> bytes:
    """A track as a MIDI file of its own. Raises `ServiceError` where there is none."""
    stems = split_stems(midi, NAME)
    if index >= len(stems):
        raise ServiceError(404, f"there is no stem {index}; the piece has {len(stems)}, counted from 0")
    return stems[index].content


def wav_of(midi: bytes) -> bytes:
    """The sound of the piece, 16 bits. Raises `SynthesisError`, and `RequestError` for one that is too long."""
    seconds = parse_midi(midi, NAME).seconds
    if seconds > MOST_SOUND_SECONDS:
        raise RequestError(
            f"the piece lasts {seconds:,.0f} s; the service makes sound of at most {MOST_SOUND_SECONDS:g} s:"
            " cut the piece, or render its MIDI file where it is played"
        )
    if not _one_sound.acquire(timeout=SOUND_SECONDS):
        raise ServiceError(503, "sound is being made for others; ask again", retry_after=SOUND_SECONDS)
    try:
        sound = perform(midi, sounds(), name=NAME)
        return to_wav_bytes(scale(sound, matching_gain(sound, LOUDNESS)))
    finally:
        _one_sound.release()


@lru_cache(maxsize=1)
def sounds() -> Sounds:
    """The best sounds of this machine, looked for once. Raises `SynthesisError`."""
    return find_sounds()
