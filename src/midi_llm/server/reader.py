"""The reader of uploads, a program of its own: `python -m midi_llm.server.reader < FILE`.

In: a MIDI file on stdin. Out: on stdout one JSON object, what the file holds or {"error": why it cannot be used}. It
bounds its own memory and time before it reads.
"""

from __future__ import annotations

import json
import sys

from midi_llm.errors import MidiLLMError
from midi_llm.music.read import parse_midi
from midi_llm.music.song_file import parse_song

READ_SECONDS = 20
READ_BYTES = 3 << 30
"""Address space: reading needs 130 bytes for one of the file (music/smf.py), and numpy reserves some."""


def _limit() -> None:
    """Bound this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (READ_BYTES, READ_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (READ_SECONDS, READ_SECONDS))


def _read(content: bytes) -> dict[str, object]:
    song = parse_song(content, name="the file")
    score = parse_midi(content, song.name)
    return {
        "bars": len(song.bars) - 1,
        "seconds": round(score.seconds, 3),
        "tempo": round(score.tempos[0].bpm, 3) if score.tempos else None,
        "instruments": list(dict.fromkeys(track.instrument for track in score.tracks)),
    }


def _main() -> None:
    _limit()
    try:
        told: dict[str, object] = _read(sys.stdin.buffer.read())
    except MidiLLMError as error:
        told = {"error": " ".join(str(error).split())}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    _main()
