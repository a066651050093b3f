"""Sound in the format that a file's ending names: `to_audio_bytes(waveform, ".flac")`.

In: a `Waveform`. Out: the bytes of a WAV, FLAC, Ogg Vorbis or MP3 file. WAV is written here; the others by libsndfile,
through the extra `audio`. FLAC is exact to 16 bits; the quality of the others is libsndfile's usual one.
"""

from __future__ import annotations

import io

from midi_llm.errors import MissingExtraError, OutputError
from midi_llm.synth.audio_file import to_wav_bytes
from midi_llm.synth.waveform import Waveform

_FORMATS = {".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", "MPEG_LAYER_III")}
AUDIO_SUFFIXES = (".wav", *_FORMATS)
"""Endings of audio files that can be written."""

_BLOCK = 1 << 16
"""Samples that are handed over at once: Vorbis overflows libsndfile's stack with long ones."""


def check_audio_suffix(suffix: str) -> None:
    """Raise `OutputError` for an ending that is none of `AUDIO_SUFFIXES`, `MissingExtraError` where its library lacks.

    Ask before rendering: this is how a user learns of it within a second.
    """
    if suffix.lower() not in AUDIO_SUFFIXES:
        raise OutputError(
            f"sound is written as {', '.join(AUDIO_SUFFIXES)}, not as {suffix or 'a file without ending'}"
        )
    if suffix.lower() in _FORMATS:
        try:
            import soundfile  # noqa: F401 - whether it is there
        except (ImportError, OSError) as error:  # OSError: the package is there, libsndfile is not
            raise MissingExtraError("soundfile", "audio") from error


def to_audio_bytes(waveform: Waveform, suffix: str) -> bytes:
    """The bytes of an audio file of the format that `suffix` (".wav", ".flac", ".ogg", ".mp3") names.

    Raises as `check_audio_suffix`, and `OutputError` for what the format cannot hold, such as MP3 above 48,000 Hz.
    """
    check_audio_suffix(suffix)
    if suffix.lower() not in _FORMATS:
        return to_wav_bytes(waveform)
    import soundfile

    name, subtype = _FORMATS[suffix.lower()]
    target = io.BytesIO()
    try:
        with soundfile.SoundFile(
            target, "w", samplerate=waveform.sample_rate, channels=waveform.channels, format=name, subtype=subtype
        ) as file:
            for start in range(0, waveform.samples.shape[1], _BLOCK):
                file.write(waveform.samples[:, start : start + _BLOCK].T)
    except (soundfile.LibsndfileError, ValueError) as error:
        reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else error
        raise OutputError(
            f"{name} of {waveform.channels} channels at {waveform.sample_rate} Hz cannot be written: {reason};"
            " choose a rate of 44100 or 48000, or .wav"
        ) from error
    return target.getvalue()
