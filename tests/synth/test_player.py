"""Which player is chosen from which facts, and running one that stands in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from midi_llm.errors import SynthesisError
from midi_llm.synth.audio_file import parse_wav
from midi_llm.synth.player import PLAYER_VARIABLE, PROGRAMS, Player, choose_player, play
from midi_llm.synth.waveform import Waveform

SOUND = Waveform(samples=np.array([[0.5, -0.5], [0.25, 0.0]], np.float32), sample_rate=8_000)


def having(*programs: str) -> Callable[[str], str | None]:
    return lambda name: f"/bin/{name}" if name in programs else None


def choose(*programs: str, platform: str = "linux", sounddevice: bool = False, **environ: str) -> Player:
    return choose_player(which=having(*programs), environ=environ, platform=platform, has_sounddevice=sounddevice)


@pytest.mark.parametrize("program", PROGRAMS)
def test_any_known_program_will_do(program: str) -> None:
    assert choose(program) == Player(kind="command", command=(f"/bin/{program}", *PROGRAMS[program]))


def test_a_sound_server_goes_before_the_bare_card_and_a_program_before_the_package() -> None:
    assert choose("aplay", "pw-play", "ffplay", sounddevice=True).command == ("/bin/pw-play",)
    assert choose(sounddevice=True) == Player(kind="sounddevice")


def test_windows_plays_itself() -> None:
    assert choose("ffplay", platform="win32") == Player(kind="winsound")


def test_the_environment_goes_first_and_must_be_right() -> None:
    named = {PLAYER_VARIABLE: "mpv"}
    assert choose("mpv", "aplay", platform="win32", **named).command == ("/bin/mpv", *PROGRAMS["mpv"])
    with pytest.raises(SynthesisError, match="'mpv', which is no program"):
        choose("aplay", **named)


def test_a_machine_without_any_is_told_what_to_do() -> None:
    with pytest.raises(SynthesisError, match=r"no program.*apt install.*midi-llm render"):
        choose()


def stand_in(tmp_path: Path, body: str) -> Player:
    path = tmp_path / "player"
    path.write_text(
        f"#!{sys.executable} -SE\nimport pathlib, shutil, sys\nhere = pathlib.Path(__file__).parent\n{body}"
    )
    path.chmod(0o755)
    return Player(kind="command", command=(str(path), "-q"))


def test_the_player_is_given_the_sound_as_a_wav_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    player = stand_in(
        tmp_path,
        "assert sys.argv[1] == '-q'\nshutil.copy(sys.argv[2], here / 'heard.wav')\n"
        "(here / 'path').write_text(sys.argv[2])",
    )
    play(SOUND, player)
    heard = parse_wav((tmp_path / "heard.wav").read_bytes())
    assert heard.sample_rate == 8_000
    assert np.abs(heard.samples - SOUND.samples).max() < 1e-4
    assert not Path((tmp_path / "path").read_text()).exists()


def test_a_player_that_fails_is_quoted(tmp_path: Path) -> None:
    player = stand_in(tmp_path, "sys.stderr.write('cannot open\\naudio device')\nsys.exit(3)")
    with pytest.raises(SynthesisError, match=r"exit status 3\) and said: cannot open audio device"):
        play(SOUND, player)


def test_a_player_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="cannot be run"):
        play(SOUND, Player(kind="command", command=(str(tmp_path / "none"),)))
