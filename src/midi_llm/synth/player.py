"""Let sound be heard: `find_player()`, then `play(waveform, player)`.

A program of the machine plays it, or Windows itself, or the Python package sounddevice. Which one, `choose_player`
decides from facts alone. Playing ends with the sound, or at once with Ctrl-C, and leaves no process and no file behind.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from midi_llm.errors import SynthesisError
from midi_llm.synth.audio_file import write_wav
from midi_llm.synth.waveform import Waveform

PLAYER_VARIABLE = "MIDI_LLM_PLAYER"
"""Environment variable with the program that plays WAV files, where it is none of those known."""

PROGRAMS: dict[str, tuple[str, ...]] = {
    "pw-play": (),
    "paplay": (),
    "aplay": ("-q",),
    "afplay": (),
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error"),
    "mpv": ("--no-video", "--really-quiet"),
    "play": ("-q",),
}
"""Programs that play a WAV file, and their options: PipeWire, PulseAudio, ALSA, macOS, FFmpeg, mpv, SoX."""

HOW_TO_PLAY = (
    "install one (Debian, Ubuntu: apt install alsa-utils; anywhere: pip install sounddevice), name yours in"
    f" {PLAYER_VARIABLE}, or write a file with midi-llm render"
)
_PATIENCE = 2.0
"""Seconds that a player has to end when it is told to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Player:
    """What plays: a `command` to which the path of a WAV file is added, Windows, or the package sounddevice."""

    kind: Literal["command", "winsound", "sounddevice"]
    command: tuple[str, ...] = ()


def choose_player(
    *, which: Callable[[str], str | None], environ: Mapping[str, str], platform: str, has_sounddevice: bool
) -> Player:
    """The player that the environment names, else Windows itself, else the first program there is, else sounddevice.

    `which` finds a program's path, `platform` is `sys.platform`. Raises `SynthesisError` when there is none.
    """
    if named := environ.get(PLAYER_VARIABLE):
        found = which(named)
        if found is None:
            raise SynthesisError(f"{PLAYER_VARIABLE} is {named!r}, which is no program; correct it or unset it")
        return Player(kind="command", command=(found, *PROGRAMS.get(Path(named).stem, ())))
    if platform == "win32":
        return Player(kind="winsound")
    for program, options in PROGRAMS.items():
        if (found := which(program)) is not None:
            return Player(kind="command", command=(found, *options))
    if has_sounddevice:
        return Player(kind="sounddevice")
    raise SynthesisError(f"no program that plays sound was found (looked for {', '.join(PROGRAMS)}); {HOW_TO_PLAY}")


def find_player() -> Player:
    """The player of this machine, see `choose_player`."""
    return choose_player(
        which=shutil.which,
        environ=os.environ,
        platform=sys.platform,
        has_sounddevice=importlib.util.find_spec("sounddevice") is not None,
    )


def play(waveform: Waveform, player: Player) -> None:
    """Play `waveform` to its end. Raises `SynthesisError` when the player fails, for want of a sound card perhaps."""
    if player.kind == "sounddevice":
        _play_here(waveform)
        return
    with tempfile.TemporaryDirectory(prefix="midi-llm-", ignore_cleanup_errors=True) as name:
        path = Path(name) / "music.wav"
        write_wav(waveform, path)
        if player.kind == "command":
            _run((*player.command, str(path)))
        elif sys.platform == "win32":
            import winsound

            winsound.PlaySound(str(path), winsound.SND_FILENAME)


def _run(command: tuple[str, ...]) -> None:
    """Run a player; it ends with us, however we end."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except OSError as error:
        raise SynthesisError(f"{command[0]} cannot be run: {error.strerror or error}; {HOW_TO_PLAY}") from error
    try:
        _, said = process.communicate()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if process.returncode:
        words = " ".join(said.decode("utf-8", "replace").split())[-300:] or "nothing"
        raise SynthesisError(
            f"{command[0]} failed (exit status {process.returncode}) and said: {words}; is there a sound card? midi-llm"
            " render writes a file instead"
        )


def _play_here(waveform: Waveform) -> None:
    try:
        import sounddevice
    except OSError as error:  # the package is there, PortAudio is not
        raise SynthesisError(f"sounddevice cannot be used: {error}; {HOW_TO_PLAY}") from error
    try:
        sounddevice.play(waveform.samples.T, waveform.sample_rate)
        sounddevice.wait()
    except sounddevice.PortAudioError as error:
        raise SynthesisError(f"no sound can be played here: {error}; midi-llm render writes a file instead") from error
    finally:
        sounddevice.stop()
