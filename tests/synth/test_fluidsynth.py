"""Running FluidSynth, with a program that stands in for it: what it is told, what comes back, how it can fail."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from midi_llm.errors import MidiReadError, OutputError, SynthesisError
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Note, Score, Tempo, Track, note_array
from midi_llm.music.write import to_midi_bytes
from midi_llm.synth.fluidsynth import PROGRAM_VARIABLE, SETTINGS, find_fluidsynth, fluidsynth_version, render
from midi_llm.synth.sound_font import SoundFont, open_sound_font
from synth.stand_in import StandIn, font_bytes, write_stand_in

SCORE = Score(tracks=(Track(program=40, notes=note_array([Note(time=0.5, duration=1.5, pitch=69)])),))


@pytest.fixture
def font(tmp_path: Path) -> SoundFont:
    path = tmp_path / "-odd font, ünd more.sf2"
    path.write_bytes(font_bytes())
    return open_sound_font(path)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in, in a folder and temporary folder of odd names."""
    temporary = tmp_path / "temporary; files"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    stand_in = write_stand_in(tmp_path / "-a folder" / "$HOME", "fluid synth")
    monkeypatch.setenv(PROGRAM_VARIABLE, str(stand_in.path))
    return stand_in


def test_a_score_sounds_for_its_length_and_a_tail_that_fades(program: StandIn, font: SoundFont) -> None:
    program.plan(seconds=9.0)
    sound = render(SCORE, sound_font=font, sample_rate=8000, tail_seconds=1.0)
    assert sound.sample_rate == 8000
    assert sound.samples.shape == (2, 24_000)
    assert (sound.samples[:, :23_600].T == (0.5, -0.25)).all()  # all but the last 50 ms
    fade = sound.samples[0, 23_600:]
    assert (np.diff(fade) < 0).all()
    assert (fade[0], fade[-1]) == (0.5, 0.0)


def test_without_a_tail_nothing_fades_and_a_sample_too_few_is_silence(program: StandIn, font: SoundFont) -> None:
    program.plan(seconds=1.99)
    sound = render(SCORE, sound_font=font, sample_rate=8000, tail_seconds=0)
    assert sound.samples.shape == (2, 16_000)
    assert (sound.samples[0, :15_920] == 0.5).all()
    assert not sound.samples[:, 15_920:].any()


def test_the_program_is_given_whole_paths_all_settings_and_no_foreign_ones(program: StandIn, font: SoundFont) -> None:
    program.plan(seconds=9.0)
    render(SCORE, sound_font=font, sample_rate=22_050, gain=0.35)
    (call,) = program.calls
    words = call["words"]
    assert words[-2] == str(font.path)
    assert [words[words.index(option) + 1] for option in ("-r", "-g", "-T", "-O")] == ["22050", "0.35", "wav", "float"]
    said = dict(line.split()[1:] for line in call["settings"].splitlines())
    assert said == {**SETTINGS, "synth.sample-rate": "22050", "synth.gain": "0.35"}
    assert sorted(call["home"]) == ["music.mid", "settings"]  # no configuration of the user's there
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_a_relative_font_is_found_from_the_folder_it_was_meant_in(
    program: StandIn, font: SoundFont, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.plan(seconds=9.0)
    monkeypatch.chdir(font.path.parent)
    render(SCORE, sound_font=replace(font, path=Path(font.name)))
    assert program.calls[0]["words"][-2] == str(font.path)


def test_a_score_is_told_in_seconds_and_a_file_as_it_is(program: StandIn, font: SoundFont) -> None:
    program.plan(seconds=9.0)
    rubato = replace(SCORE, tempos=(Tempo(time=0.0, bpm=77.0), Tempo(time=0.7, bpm=211.0)))
    for music in (SCORE, rubato, to_midi_bytes(rubato)):
        render(music, sound_font=font)
    plain, freed, kept = (bytes.fromhex(call["midi"]) for call in program.calls)
    assert plain == freed
    assert [tempo.bpm for tempo in parse_midi(kept).tempos] == pytest.approx([77, 211], abs=0.01)
    for content in (plain, kept):
        assert parse_midi(content).seconds == pytest.approx(2.0, abs=0.002)
        assert bytes.fromhex("b07800 00b17800 00b27800") in content


@pytest.mark.parametrize("music", [Score(), Score(tracks=(Track(),)), to_midi_bytes(Score())])
def test_music_without_notes_is_silence_and_runs_nothing(
    music: Score | bytes, program: StandIn, font: SoundFont
) -> None:
    sound = render(music, sound_font=font, sample_rate=8000, tail_seconds=0.25)
    assert sound.samples.shape == (2, 2000)
    assert not sound.samples.any()
    assert render(music, sound_font=font, tail_seconds=0).seconds == 0
    assert program.calls == []


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"status": 3, "says": "first\n\nno such thing\n"}, r"exit status 3.*first \| no such thing"),
        ({"status": 1}, r"exit status 1.*nothing"),
        ({"says": "fluidsynth: error: Failed to open audio file\n"}, "wrote no sound and said: .*Failed to open"),
        ({"seconds": 9.0, "says": "Failed to load the SoundFont x\n"}, r"cannot use .*odd font.*try another font"),
        ({"seconds": 0.1}, r"0\.1 s at 44100 Hz instead of 5\.0 s.*render the score instead"),
        ({"seconds": 9.0, "rate": 22_050}, "at 22050 Hz instead"),
        ({"writes": b"garbage".hex()}, "no usable sound.*not a WAV file"),
        ({"writes": ""}, "no usable sound"),
        ({"sleeps": 30, "seconds": 9.0}, r"not done after 0\.4 s and was stopped"),
    ],
)
def test_a_run_that_fails_is_an_error_that_says_why(
    plan: dict[str, object], message: str, program: StandIn, font: SoundFont
) -> None:
    program.plan(**plan)
    limit = 0.4 if "sleeps" in plan else None
    with pytest.raises(SynthesisError, match=message):
        render(SCORE, sound_font=font, time_limit=limit)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_what_the_program_warns_of_is_logged(
    program: StandIn, font: SoundFont, caplog: pytest.LogCaptureFixture
) -> None:
    program.plan(seconds=9.0, says="fluidsynth: warning: No preset found on channel 0\n")
    with caplog.at_level(logging.WARNING):
        render(SCORE, sound_font=font)
    assert "No preset found" in caplog.text


def test_a_missing_program_is_an_error_with_the_commands_that_install_it(
    font: SoundFont, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PROGRAM_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisError, match=r"not found.*apt install.*brew install.*choco install"):
        render(SCORE, sound_font=font)
    found = write_stand_in(tmp_path).path
    assert find_fluidsynth() == found
    monkeypatch.setenv(PROGRAM_VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(SynthesisError, match="which is no program"):
        render(SCORE, sound_font=font)
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv(PROGRAM_VARIABLE, str(tmp_path / "broken"))
    with pytest.raises(SynthesisError, match="cannot be run"):
        render(SCORE, sound_font=font)


def test_no_room_for_temporary_files_is_an_error(
    program: StandIn, font: SoundFont, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SynthesisError, match="No space left"):
        render(SCORE, sound_font=font)
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(SynthesisError, match="No space left"):
        render(SCORE, sound_font=font)


def test_the_version_is_read_from_the_program(program: StandIn) -> None:
    assert fluidsynth_version() == "2.3.1"
    program.plan(version="something else\n")
    with pytest.raises(SynthesisError, match="holds no version"):
        fluidsynth_version()


@pytest.mark.parametrize(
    "settings",
    [
        {"sample_rate": 7_999},
        {"sample_rate": 96_001},
        {"gain": 0.0},
        {"gain": 10.5},
        {"gain": float("nan")},
        {"tail_seconds": -0.1},
        {"tail_seconds": float("inf")},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], program: StandIn, font: SoundFont) -> None:
    with pytest.raises(SynthesisError, match=r"allowed is|renders whole rates from 8,000 to 96,000"):
        render(SCORE, sound_font=font, **settings)  # type: ignore[arg-type]
    assert program.calls == []


def test_music_that_cannot_be_said_is_refused(program: StandIn, font: SoundFont) -> None:
    with pytest.raises(MidiReadError, match="the MIDI file is not a standard MIDI file"):
        render(b"garbage", sound_font=font)
    early = Score(tracks=(Track(notes=note_array([Note(time=-1.0, duration=3.0, pitch=60)])),))
    with pytest.raises(OutputError, match="negative"):
        render(early, sound_font=font)
    assert program.calls == []
