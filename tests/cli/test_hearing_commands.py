"""`render` and `play`, and what all commands that read a MIDI file share: what they write, say and refuse."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from midi_llm.music.read import read_midi
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.music.write import write_midi
from midi_llm.synth.audio_file import read_wav
from midi_llm.synth.loudness import integrated_loudness
from notation.musicxml_reader import read_parts
from synth.stand_in import font_bytes, write_stand_in

COMMANDS = ("render", "play", "show", "score", "stems")
PLAYER = """#!{python} -SE
import pathlib, shutil, sys, time
here = pathlib.Path(__file__).parent
shutil.copy(sys.argv[-1], here / "part.wav")
(here / "part.wav").rename(here / "heard.wav")
time.sleep({seconds})
(here / "ended").touch()
"""

pytestmark = pytest.mark.usefixtures("bare")

HEARS_CTRL_C = """import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from midi_llm.cli.main import main
sys.exit(main())"""
"""The command in a process of its own; a shell lets what it runs in the background ignore Ctrl-C."""


def put_player(folder: Path, *, seconds: float = 0) -> None:
    path = folder / "aplay"
    path.write_text(PLAYER.format(python=sys.executable, seconds=seconds))
    path.chmod(0o755)


def fails(result, *words: str) -> bool:
    last = result.err.splitlines()[-1]
    return (
        result.code == 2 and result.out == "" and last.startswith("midi-llm: error:") and all(w in last for w in words)
    )


def test_render_makes_a_wav_file_and_says_how_to_get_better_sound(midi_llm, song: Path) -> None:
    result = midi_llm("render", song, "--rate", "22050")
    assert (result.code, result.out) == (0, "song.wav\n")
    assert result.err.count("\n") == 1
    assert all(word in result.err for word in ("simple built-in sound", "not installed", "apt install fluidsynth"))
    sound = read_wav("song.wav")
    assert (sound.sample_rate, sound.channels) == (22_050, 2)
    assert sound.seconds == pytest.approx(read_midi(song).seconds + 3, abs=0.01)
    assert -20 < integrated_loudness(sound) < -15


def test_render_uses_fluidsynth_and_the_font_that_is_named(midi_llm, song: Path, bare: Path) -> None:
    write_stand_in(bare).plan(seconds=10.0)
    Path("my.sf2").write_bytes(font_bytes())
    result = midi_llm("render", song, "-o", "song.wav", "--sound-font", "my.sf2")
    assert (result.code, result.err) == (0, "")
    assert fails(midi_llm("render", song, "-o", "x.wav", "--sound-font", "none.sf2"), "none.sf2")


def test_rendered_stems_are_as_long_as_the_whole_and_add_up_to_it(midi_llm, song: Path) -> None:
    result = midi_llm("render", song, "-o", "song.wav", "--stems", "parts", "--rate", "8000")
    paths = result.out.split()
    assert paths == ["song.wav", "parts/01-acoustic-grand-piano.wav", "parts/02-drums.wav"]
    whole, *parts = (read_wav(path).samples for path in paths)
    assert np.abs(sum(parts) - whole)[:, :-400].max() < 3e-3


@pytest.mark.parametrize("output", ["song.gif", "song", "song.mid.txt"])
def test_an_ending_that_is_not_known_names_those_that_are(midi_llm, song: Path, output: str) -> None:
    assert fails(midi_llm("render", song, "-o", output), ".wav, .flac, .ogg, .mp3")
    assert fails(midi_llm("score", song, "-o", output), ".musicxml, .xml, .pdf, .png, .svg")
    assert fails(midi_llm("roll", song, "-o", output), ".svg or .png")
    assert not Path(output).exists()


def test_a_missing_library_is_named_before_the_work(midi_llm, song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("soundfile", "typst", "verovio"):
        monkeypatch.setitem(sys.modules, module, None)
    assert fails(midi_llm("render", song, "-o", "song.mp3"), "midi-llm[audio]")
    assert fails(midi_llm("roll", song, "-o", "song.png"), "midi-llm[pictures]")
    assert fails(midi_llm("score", song, "-o", "song.pdf"), "midi-llm[score]")
    assert [path.name for path in Path().iterdir() if path.suffix not in {".mid", ""}] == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("content", [b"", b"words, not music\n", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\1\0\0\x90"])
def test_a_file_that_is_not_midi_fails_in_one_line(midi_llm, bare: Path, command: str, content: bytes) -> None:
    put_player(bare)
    Path("bad.mid").write_bytes(content)
    assert fails(midi_llm(command, "bad.mid"), "bad.mid")
    assert fails(midi_llm(command, "none.mid"), "none.mid")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_without_notes_says_so(midi_llm, bare: Path, command: str) -> None:
    put_player(bare)
    write_midi(Score(), "empty.mid")
    result = midi_llm(command, "empty.mid")
    assert "no notes" in (result.out if command == "show" else result.err)
    assert result.code == (0 if command == "show" else 2)
    assert sorted(path.name for path in Path().iterdir()) == ["bin", "empty.mid"]


def test_nothing_is_overwritten_without_force(midi_llm, song: Path) -> None:
    Path("parts").mkdir()
    for name in ("song.wav", "song.musicxml", "song.svg", "parts/02-drums.mid"):
        Path(name).write_text("mine")
    for command, name in (("render", "song.wav"), ("score", "song.musicxml"), ("roll", "song.svg"), ("stems", "parts")):
        assert fails(midi_llm(command, song, "-o", name), "exists", "--force")
        if name != "parts":
            assert Path(name).read_text() == "mine"
    assert [path.name for path in Path("parts").iterdir()] == ["02-drums.mid"]
    assert midi_llm("stems", song, "-o", "parts", "--force").code == 0
    assert read_midi("parts/02-drums.mid").tracks[0].is_drum


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs folders that cannot be written in")
def test_a_folder_that_cannot_be_written_in_is_named(midi_llm, song: Path) -> None:
    Path("shut").mkdir(mode=0o500)
    assert fails(midi_llm("render", song, "-o", "shut/song.wav"), "cannot write in shut")


def test_play_plays_what_render_writes_and_leaves_nothing(midi_llm, song: Path, bare: Path) -> None:
    put_player(bare)
    result = midi_llm("play", song)
    assert (result.code, result.out) == (0, "")
    midi_llm("render", song, "-o", "song.wav")
    assert (bare / "heard.wav").read_bytes() == Path("song.wav").read_bytes()


def test_play_without_a_player_says_what_to_do(midi_llm, song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows plays by itself")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert fails(midi_llm("play", song), "no program that plays sound", "apt install", "midi-llm render")


@pytest.mark.skipif(os.name == "nt", reason="signals are other ones there")
def test_ctrl_c_stops_the_player_too(song: Path, bare: Path, tmp_path: Path) -> None:
    put_player(bare, seconds=60)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HEARS_CTRL_C, "play", str(song)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (bare / "heard.wav").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said.splitlines()[-1]) == (130, b"midi-llm: stopped")
    assert not (bare / "ended").exists()
    assert list(temporary.iterdir()) == []
    running = subprocess.run(
        [shutil.which("ps", path="/bin:/usr/bin") or "true", "-e", "-o", "args"], capture_output=True
    )
    assert str(bare / "aplay") not in running.stdout.decode("utf-8", "replace")


def test_all_of_64_tracks_are_served(midi_llm) -> None:
    tracks = tuple(
        Track(program=number, notes=note_array([Note(time=number / 8, duration=1, pitch=60)])) for number in range(64)
    )
    write_midi(Score(tracks=tracks), "many.mid")
    count = len(read_midi("many.mid").tracks)
    assert count == 64
    assert len(midi_llm("stems", "many.mid").out.split()) == 64
    assert len(re.findall("1 notes", midi_llm("show", "many.mid").out)) == 64
    assert len(read_parts(midi_llm("score", "many.mid").out)) == 64
    assert midi_llm("render", "many.mid", "--rate", "8000").code == 0


def test_three_hours_are_shown_and_written_but_not_rendered(midi_llm) -> None:
    notes = note_array(Note(time=t, duration=0.5, pitch=60) for t in range(0, 10_800, 5))
    write_midi(Score(tracks=(Track(notes=notes),)), "long.mid")
    assert "2:59:5" in midi_llm("show", "long.mid").out
    assert midi_llm("score", "long.mid", "-o", "long.musicxml").code == 0
    assert fails(midi_llm("render", "long.mid"), "at most 60", "shorter pieces")
    assert not Path("long.wav").exists()
