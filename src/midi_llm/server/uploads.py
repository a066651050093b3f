"""A MIDI file that a stranger sent: read by a process of its own, which may use so much memory and time and no more.

In: bytes. Out: what the file holds, or a `MidiReadError`; a `ServiceError` where too many are read. Whatever a file
does to its reader (reader.py), the service goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading

from midi_llm.compose.piece import DEFAULT_TEMPO
from midi_llm.errors import MidiReadError, ServiceError
from midi_llm.music.instruments import instrument_name
from midi_llm.server import schemas
from midi_llm.server.reader import READ_SECONDS

AT_ONCE = 2
READER = (sys.executable, "-P", "-m", "midi_llm.server.reader")
"""-P: nothing is loaded from the folder where the service was started."""

_readers = threading.BoundedSemaphore(AT_ONCE)


def inspect(content: bytes, *, upload: str, name: str) -> schemas.Upload:
    """What the file `content` holds. Raises `MidiReadError` for all that is no file to work on."""
    if not _readers.acquire(timeout=READ_SECONDS):
        raise ServiceError(503, f"{AT_ONCE} other files are being read; send yours again", retry_after=READ_SECONDS)
    try:
        done = subprocess.run(READER, input=content, capture_output=True, timeout=READ_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise MidiReadError(f"the file was not read within {READ_SECONDS} s; it is broken or far too long") from error
    finally:
        _readers.release()
    if done.returncode != 0:
        raise MidiReadError("the file could not be read: its reader gave up; it is broken or far too long")
    told = json.loads(done.stdout)
    if "error" in told:
        raise MidiReadError(told["error"])
    instruments = [schemas.Instrument(instrument=one, name=instrument_name(one)) for one in told.pop("instruments")]
    tempo = told.pop("tempo") or DEFAULT_TEMPO
    return schemas.Upload(id=upload, name=name, instruments=instruments, tempo=tempo, **told)
