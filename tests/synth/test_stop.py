"""The track that ends a file: when it stands, and that all else is as it was."""

from __future__ import annotations

import io
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import MidiReadError
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Note, Score, Tempo, Track, note_array
from midi_llm.music.write import to_midi_bytes
from midi_llm.synth.stop import add_stop
from music.smf_builder import midi, off, on

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "amt"


def stops(content: bytes) -> list[tuple[float, int]]:
    """Second and channel of each "all sound off", as mido reads them."""
    now, found = 0.0, []
    for message in mido.MidiFile(file=io.BytesIO(content)):
        now += message.time
        if message.type == "control_change" and message.control == 120:
            found.append((now, message.channel))
    return found


@pytest.mark.parametrize("name", ["band", "edges", "halves", "one_track"])
@pytest.mark.parametrize("early", [0.5, 1.0, 1.5])
def test_all_channels_stop_at_the_second_asked_for_and_the_notes_stay(name: str, early: float) -> None:
    content = (GOLDEN / f"{name}.mid").read_bytes()
    score = parse_midi(content)
    stopped = add_stop(content, early * score.seconds)
    found = stops(stopped)
    assert [channel for _, channel in found] == list(range(16))
    assert [second for second, _ in found] == pytest.approx([early * score.seconds] * 16, abs=0.03)
    after = parse_midi(stopped)
    assert after.tempos == score.tempos
    for one, other in zip(score.tracks, after.tracks, strict=True):
        assert one.instrument == other.instrument
        for field in ("time", "duration", "pitch", "velocity"):
            assert one.notes[field] == pytest.approx(other.notes[field], abs=1e-9)


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(20, 300)), max_size=8),
    st.floats(0.1, 30),
    st.floats(0, 60),
)
@settings(deadline=None)
def test_it_stands_within_a_tick_under_any_tempo_map(
    tempos: list[tuple[float, float]], end: float, seconds: float
) -> None:
    score = Score(
        tracks=(Track(notes=note_array([Note(time=0, duration=end, pitch=60)])),),
        tempos=tuple(Tempo(time=time, bpm=bpm) for time, bpm in sorted(tempos)),
    )
    found = stops(add_stop(to_midi_bytes(score), seconds))
    tick = 60 / 20 / 480
    assert -1e-6 <= found[0][0] - seconds <= tick + 1e-6
    assert {second for second, _ in found} == {found[0][0]}


@pytest.mark.parametrize(("kind", "division"), [(2, 480), (1, -(25 << 8) | 40)])
def test_types_of_time_that_players_do_not_know_are_rewritten(kind: int, division: int) -> None:
    content = midi(on(0, 60) + off(400, 60), on(100, 64) + off(400, 64), kind=kind, division=division)
    stopped = add_stop(content, 3.0)
    assert mido.MidiFile(file=io.BytesIO(stopped)).type == 1
    assert mido.MidiFile(file=io.BytesIO(stopped)).ticks_per_beat == 480
    before, after = (
        sorted((note.time, note.duration, note.pitch) for track in parse_midi(data).tracks for note in track.to_notes())
        for data in (content, stopped)
    )
    assert np.array(after) == pytest.approx(np.array(before), abs=0.002)


def test_a_wait_longer_than_the_format_can_say_is_split() -> None:
    stopped = add_stop(midi(on(0, 60) + off(1, 60), division=32_767), 8_000.0)
    assert stops(stopped)[0][0] == pytest.approx(8_000.0, abs=1e-3)


def test_a_file_without_messages_ends_at_the_second_too() -> None:
    assert stops(add_stop(midi(b""), 2.0))[0][0] == pytest.approx(2.0, abs=1e-3)
    assert stops(add_stop(midi(), 2.0))[0][0] == pytest.approx(2.0, abs=1e-3)


def test_what_is_no_midi_file_is_refused() -> None:
    with pytest.raises(MidiReadError, match="not a standard MIDI file"):
        add_stop(b"garbage", 1.0)
