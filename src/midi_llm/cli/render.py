"""`midi-llm render FILE`: a MIDI file as sound, WAV, FLAC, Ogg or MP3, in one file or also one for each track."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.cli.files import check_file, check_stems, write_stems

if TYPE_CHECKING:
    from midi_llm.synth.choose import Sounds
    from midi_llm.synth.waveform import Waveform


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `render`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a MIDI file")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write the sound: .wav, .flac, .ogg or .mp3 (default: NAME.wav here)",
    )
    register_sounds(parser)
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate (default 44100)")
    parser.add_argument(
        "--stems", type=Path, metavar="DIR", help="also write one sound file for each track into this folder"
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def register_sounds(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says what plays."""
    parser.add_argument(
        "--sound-font",
        type=Path,
        metavar="FILE",
        help="a .sf2 or .sf3 file for FluidSynth (default: the best one found; without one a simple built-in sound)",
    )


def run(args: argparse.Namespace) -> int:
    """Render; stdout gets the paths of the files."""
    from midi_llm.music.read import midi_content
    from midi_llm.synth.compressed import check_audio_suffix, to_audio_bytes
    from midi_llm.synth.loudness import scale
    from midi_llm.whole_file import write_file

    output = args.output if args.output is not None else Path(f"{args.file.stem}.wav")
    check_audio_suffix(output.suffix)
    check_file(output, force=args.force)
    content = midi_content(args.file)
    stems = check_stems(content, args.file, args.stems, output.suffix, force=args.force) if args.stems else []
    sounds = open_sounds(args)
    mix, gain = sound_of(content, args.file, sounds, rate=args.rate)
    write_file(to_audio_bytes(scale(mix, gain), output.suffix), output)
    print(output)
    if not stems:
        return 0
    from midi_llm.synth.choose import perform

    def rendered(stem: bytes) -> bytes:
        sound = perform(stem, sounds, sample_rate=mix.sample_rate, length=mix.samples.shape[1], name=str(args.file))
        return to_audio_bytes(scale(sound, gain), output.suffix)

    for path in write_stems(stems, rendered):
        print(path)
    return 0


def open_sounds(args: argparse.Namespace) -> Sounds:
    """What plays; one line on stderr where it is the built-in sound."""
    from midi_llm.synth.choose import HOW_TO_BETTER, find_sounds

    sounds = find_sounds(args.sound_font)
    if sounds.font is None:
        print(f"simple built-in sound ({sounds.missing}); for real instruments {HOW_TO_BETTER}", file=sys.stderr)
    return sounds


def sound_of(content: bytes, file: Path, sounds: Sounds, *, rate: int | None = None) -> tuple[Waveform, float]:
    """The sound of the whole `content` of `file`, and the gain that brings it to the usual loudness."""
    from midi_llm.synth.choose import LOUDNESS, perform
    from midi_llm.synth.fluidsynth import DEFAULT_SAMPLE_RATE
    from midi_llm.synth.loudness import matching_gain

    sound = perform(content, sounds, sample_rate=DEFAULT_SAMPLE_RATE if rate is None else rate, name=str(file))
    return sound, matching_gain(sound, LOUDNESS)
