"""Render music by running the FluidSynth program: `render(score, sound_font=...)`, `fluidsynth_version()`.

In: a `Score`, or the bytes of a MIDI file (then its pedals, bends and controllers are heard too). Out: a stereo
`Waveform` of exactly its length plus a tail. The same input, font, settings and version give the same samples: all
settings that matter are given, and win over any configuration of FluidSynth on the machine. Versions differ in sound
(2.4 and 2.6 do, by their release notes): put `fluidsynth_version()` and the font's checksum beside every figure.
Measured with 2.3.1 and 2.5.7: notes of a score sound 1 to 3.5 ms late (FluidSynth acts every 64 samples and counts
milliseconds); in a MIDI file every change of tempo brings what follows 0.06 ms forward, a score has no such drift.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from midi_llm.errors import SynthesisError
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score
from midi_llm.music.write import to_midi_bytes
from midi_llm.synth.audio_file import parse_wav
from midi_llm.synth.sound_font import SoundFont
from midi_llm.synth.stop import add_stop
from midi_llm.synth.waveform import Samples, Waveform

PROGRAM_VARIABLE = "MIDI_LLM_FLUIDSYNTH"
"""Environment variable with the path of the program, where it is not on the search path."""

HOW_TO_INSTALL = (
    "install it (Debian, Ubuntu: apt install fluidsynth fluid-soundfont-gm; macOS: brew install fluid-synth; Windows:"
    f" choco install fluidsynth), or set {PROGRAM_VARIABLE} to the path of the program"
)

DEFAULT_SAMPLE_RATE = 44_100
DEFAULT_GAIN = 0.2
"""FluidSynth's own; midi2audio and most published renderings keep it."""

DEFAULT_TAIL_SECONDS = 3.0
"""Seconds after the end of the last note, in which it fades."""

LOWEST_RATE, HIGHEST_RATE = 8_000, 96_000
"""Hz; the limits of FluidSynth (`fluidsynth -o help`)."""

SETTINGS = {
    "audio.file.type": "wav",
    "audio.file.format": "float",
    "audio.period-size": "64",
    "synth.cpu-cores": "1",
    "synth.polyphony": "256",
    "synth.dynamic-sample-loading": "0",
    "synth.midi-bank-select": "gs",
    "synth.reverb.active": "1",
    "synth.reverb.room-size": "0.2",
    "synth.reverb.damp": "0.0",
    "synth.reverb.width": "0.5",
    "synth.reverb.level": "0.9",
    "synth.chorus.active": "1",
    "synth.chorus.nr": "3",
    "synth.chorus.level": "2.0",
    "synth.chorus.speed": "0.3",
    "synth.chorus.depth": "8.0",
}
"""What every rendering says. Effects are the defaults of FluidSynth 1.0 to 2.3, which published renderings used."""

_FADE_SECONDS = 0.05
_BASE_LIMIT = 60.0
_VERSION_LIMIT = 20.0
_COMPLETE = 0.9
"""A rendering shorter than this share of its due length has been given up; FluidSynth then still reports success."""

_log = logging.getLogger(__name__)


def render(
    music: Score | bytes,
    *,
    sound_font: SoundFont,
    sample_rate: int = DEFAULT_SAMPLE_RATE,
    gain: float = DEFAULT_GAIN,
    tail_seconds: float = DEFAULT_TAIL_SECONDS,
    time_limit: float | None = None,
) -> Waveform:
    """Play `music` with `sound_font`: stereo, `seconds` of the score plus `tail_seconds`, whose last 50 ms fade out.

    `gain` scales the samples, which are floats and may pass full scale. A score's tempo map is not used, its seconds
    are. Music without notes is a silent tail; nothing is run for it. `time_limit` is in seconds; None means a minute
    plus the length of the music (it usually takes 1 to 3 % of that).

    Raises `SynthesisError` for settings out of range, a missing program, and a run that fails, stops early or takes
    too long; `MidiReadError` for bytes that are no MIDI file; `OutputError` for a score that MIDI cannot say.
    """
    _check_settings(sample_rate, gain, tail_seconds)
    score, content = (music, b"") if isinstance(music, Score) else (parse_midi(music, "the MIDI file"), music)
    seconds = score.seconds + tail_seconds
    length = round(seconds * sample_rate)
    if not score.note_count:
        return Waveform(samples=np.zeros((2, length), np.float32), sample_rate=sample_rate)
    if not content:
        content = to_midi_bytes(replace(score, tempos=(), time_signatures=()))
    limit = _BASE_LIMIT + seconds if time_limit is None else time_limit
    sound = _run_fluidsynth(add_stop(content, seconds), sound_font, sample_rate, gain, limit)
    if sound.sample_rate != sample_rate or sound.samples.shape[1] < _COMPLETE * length:
        raise SynthesisError(
            f"fluidsynth rendered {sound.seconds:.1f} s at {sound.sample_rate} Hz instead of {seconds:.1f} s at"
            f" {sample_rate} Hz; it does not understand this MIDI file: read it and render the score instead"
        )
    return Waveform(
        samples=_shape(sound.samples, length, tail_seconds * sample_rate, sample_rate), sample_rate=sample_rate
    )


def find_fluidsynth() -> Path:
    """Return the program that `PROGRAM_VARIABLE` names, else `fluidsynth` on the search path.

    Raises `SynthesisError`, with the command that installs it, when there is none.
    """
    if named := os.environ.get(PROGRAM_VARIABLE):
        found = shutil.which(named)
        if found is None:
            raise SynthesisError(f"{PROGRAM_VARIABLE} is {named!r}, which is no program; correct it or unset it")
    else:
        found = shutil.which("fluidsynth")
        if found is None:
            raise SynthesisError(f"the program fluidsynth was not found; {HOW_TO_INSTALL}")
    return Path(found).absolute()


def fluidsynth_version() -> str:
    """Return the version of the program that `render` would run, such as "2.3.1". Raises `SynthesisError`."""
    text = _call([str(find_fluidsynth()), "--version"], _VERSION_LIMIT).stdout
    match = re.search(r"\d+\.\d+\.\d+", text)
    if match is None:
        raise SynthesisError(f"fluidsynth --version says {text[:200]!r}, which holds no version; {HOW_TO_INSTALL}")
    return match[0]


def _check_settings(sample_rate: int, gain: float, tail_seconds: float) -> None:
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise SynthesisError(
            f"a sample rate of {sample_rate} Hz; FluidSynth renders whole rates from {LOWEST_RATE:,} to"
            f" {HIGHEST_RATE:,}: choose one of them (44100 is usual)"
        )
    if not 0 < gain <= 10:
        raise SynthesisError(f"a gain of {gain}; allowed is above 0 and at most 10 ({DEFAULT_GAIN} is usual)")
    if not 0 <= tail_seconds <= 60:
        raise SynthesisError(f"a tail of {tail_seconds} s; allowed is 0 to 60 ({DEFAULT_TAIL_SECONDS} is usual)")


def _run_fluidsynth(midi: bytes, sound_font: SoundFont, sample_rate: int, gain: float, limit: float) -> Waveform:
    program = find_fluidsynth()
    try:
        with tempfile.TemporaryDirectory(prefix="midi-llm-", ignore_cleanup_errors=True) as name:
            folder = Path(name).absolute()
            source, target, config = folder / "music.mid", folder / "music.wav", folder / "settings"
            source.write_bytes(midi)
            config.write_text(_commands(sample_rate, gain), encoding="ascii")
            command = [str(program), "-ni", "-f", str(config), "-F", str(target), "-T", "wav", "-O", "float"]
            command += ["-r", str(sample_rate), "-g", str(gain), str(sound_font.path.absolute()), str(source)]
            said = _call(command, limit, home=folder).stderr
            sound = target.read_bytes() if target.is_file() else None
    except OSError as error:
        raise SynthesisError(
            f"temporary files cannot be written: {error.strerror or error}; free some space, or set TMPDIR to another"
            " folder"
        ) from error
    if "failed to load" in said.lower():  # it goes on without the font and reports success
        raise SynthesisError(f"fluidsynth cannot use {sound_font.path}: {_last_words(said)}; try another font")
    if sound is None:
        raise SynthesisError(f"fluidsynth wrote no sound and said: {_last_words(said)}")
    if said:  # such as an instrument that the font lacks
        _log.warning("fluidsynth: %s", _last_words(said))
    try:
        return parse_wav(sound, name="its file")
    except SynthesisError as error:
        raise SynthesisError(f"fluidsynth wrote no usable sound ({error}); {HOW_TO_INSTALL}") from error


def _commands(sample_rate: int, gain: float) -> str:
    """A command file, which FluidSynth executes after all others: it wins over options and other configurations."""
    settings = SETTINGS | {"synth.sample-rate": str(sample_rate), "synth.gain": str(gain)}
    return "".join(f"set {name} {value}\n" for name, value in settings.items())


def _call(command: Sequence[str], limit: float, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `command` without a shell; it finds no user's configuration when `home` is an empty folder."""
    environment = dict(os.environ, LC_ALL="C")
    if home is not None:
        environment |= dict.fromkeys(("HOME", "USERPROFILE", "PROGRAMDATA"), str(home))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=limit,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SynthesisError(
            f"fluidsynth was not done after {limit:g} s and was stopped; shorten the music, or allow more time"
        ) from error
    except OSError as error:
        raise SynthesisError(f"{command[0]} cannot be run: {error.strerror or error}; {HOW_TO_INSTALL}") from error
    if done.returncode:
        raise SynthesisError(f"fluidsynth failed (exit status {done.returncode}) and said: {_last_words(done.stderr)}")
    return done


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-5:])[-800:] or "nothing"


def _shape(samples: Samples, length: int, tail: float, sample_rate: int) -> Samples:
    """Cut or pad samples [2, n] to `length` and fade out their end, at most as much as the tail."""
    result = np.zeros((2, length), np.float32)
    count = min(length, samples.shape[1])
    result[:, :count] = samples[:2, :count]
    fade = round(min(tail, _FADE_SECONDS * sample_rate))
    result[:, length - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return result
