"""What plays on which machine, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from midi_llm.errors import MidiReadError, SynthesisError
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.music.write import to_midi_bytes
from midi_llm.synth import sound_font
from midi_llm.synth.choose import LONGEST_SECONDS, Sounds, find_sounds, perform
from midi_llm.synth.fluidsynth import PROGRAM_VARIABLE
from midi_llm.synth.plain import render_plain
from midi_llm.synth.sound_font import SOUND_FONT_VARIABLE, open_sound_font
from synth.stand_in import font_bytes, write_stand_in

SCORE = Score(tracks=(Track(program=40, notes=note_array([Note(time=0.5, duration=1.0, pitch=69)])),))
PLAIN = Sounds(font=None)


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty search path and no fonts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sound_font, "USUAL_FOLDERS", (str(tmp_path / "fonts"),))
    for variable in (PROGRAM_VARIABLE, SOUND_FONT_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return folder


def put_font(tmp_path: Path) -> Path:
    path = tmp_path / "fonts" / "TimGM6mb.sf2"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(font_bytes())
    return path


def test_fluidsynth_and_a_font_are_used_where_both_are_there(tmp_path: Path, bare: Path) -> None:
    put_font(tmp_path)
    assert find_sounds() == Sounds(font=None, missing="FluidSynth is not installed")
    write_stand_in(bare)
    found = find_sounds()
    assert found.font is not None
    assert found.font.name == "TimGM6mb.sf2"


def test_without_a_font_the_built_in_sound_plays(bare: Path) -> None:
    write_stand_in(bare)
    assert find_sounds() == Sounds(font=None, missing="no sound font was found")


def test_a_font_that_is_named_must_be_usable(tmp_path: Path, bare: Path) -> None:
    font = put_font(tmp_path)
    with pytest.raises(SynthesisError, match="fluidsynth was not found"):
        find_sounds(font)
    write_stand_in(bare)
    assert find_sounds(font) == Sounds(font=open_sound_font(font))
    with pytest.raises(SynthesisError, match="cannot be read"):
        find_sounds(tmp_path / "none.sf2")


def test_an_environment_that_names_no_program_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAM_VARIABLE, "no such program")
    with pytest.raises(SynthesisError, match="no such program"):
        find_sounds()


def test_fluidsynth_is_given_the_file_itself(tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = write_stand_in(bare)
    program.plan(seconds=9.0)
    put_font(tmp_path)
    content = to_midi_bytes(SCORE)
    sound = perform(content, find_sounds(), sample_rate=8_000)
    assert sound.samples.shape == (2, round(4.5 * 8_000))
    (call,) = program.calls
    assert content[14:40].hex() in call["midi"]


def test_the_built_in_sound_is_that_of_the_notes() -> None:
    sound = perform(to_midi_bytes(SCORE), PLAIN, sample_rate=8_000)
    assert (sound.samples == render_plain(SCORE, sample_rate=8_000).samples).all()


@pytest.mark.parametrize("length", [100, 40_000])
def test_sound_is_cut_or_padded_to_a_length(length: int) -> None:
    whole = perform(to_midi_bytes(SCORE), PLAIN, sample_rate=8_000).samples
    sound = perform(to_midi_bytes(SCORE), PLAIN, sample_rate=8_000, length=length).samples
    assert sound.shape == (2, length)
    shared = min(length, whole.shape[1])
    assert (sound[:, :shared] == whole[:, :shared]).all()
    assert not np.any(sound[:, shared:])


def test_music_without_notes_too_long_or_broken_is_refused() -> None:
    with pytest.raises(SynthesisError, match=r"it\.mid has no notes"):
        perform(to_midi_bytes(Score()), PLAIN, name="it.mid")
    late = note_array([Note(time=LONGEST_SECONDS, duration=1, pitch=60)])
    with pytest.raises(SynthesisError, match="at most 60"):
        perform(to_midi_bytes(Score(tracks=(Track(notes=late),))), PLAIN)
    with pytest.raises(MidiReadError):
        perform(b"no music", PLAIN)
