"""Sound fonts: the recordings that a synthesizer plays. `open_sound_font(path)`, `find_sound_font()`.

Out: a `SoundFont`, a record with a checksum, so that a report can say which sounds were heard. Two fonts make two
different sounds of one score: compare audio figures only between equal checksums. It looks at the head of the file
only; whether all its sounds are there, the synthesizer finds out.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from midi_llm.errors import SynthesisError

SOUND_FONT_VARIABLE = "MIDI_LLM_SOUND_FONT"
"""Environment variable with the path of the sound font to use."""

HOW_TO_GET = (
    "install one (Debian, Ubuntu: apt install fluid-soundfont-gm; Fedora: dnf install fluid-soundfont-gm; Arch:"
    " pacman -S soundfont-fluid; elsewhere: download a General MIDI .sf2 or .sf3 file, such as FluidR3_GM.sf2) and set"
    f" {SOUND_FONT_VARIABLE} to its path if it is in none of the usual places"
)

USUAL_FOLDERS = (
    "~/.local/share/soundfonts",
    "~/.local/share/sounds/sf2",
    "~/.local/share/sounds/sf3",
    "~/Library/Audio/Sounds/Banks",
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/usr/local/share/sounds/sf2",
    "/opt/homebrew/share/soundfonts",
    "/opt/local/share/sounds/sf2",
    "/Library/Audio/Sounds/Banks",
    "C:/ProgramData/soundfonts",
    "C:/soundfonts",
)
"""Where fonts lie: one's own first, then Debian, Fedora and Arch, Homebrew, MacPorts, and FluidSynth's own default."""

USUAL_NAMES = (
    "FluidR3_GM.sf2",
    "MuseScore_General.sf3",
    "MuseScore_General.sf2",
    "FluidR3Mono_GM.sf3",
    "TimGM6mb.sf2",
    "default-GM.sf2",
    "default-GM.sf3",
    "default.sf2",
    "default.sf3",
)
"""General MIDI fonts, the best known first; the names that stand for "whatever this machine has" come last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundFont:
    """A file of sounds. `name` is that of the file, links followed; `sha256` that of its bytes, hex."""

    path: Path
    name: str
    sha256: str


def open_sound_font(path: str | Path) -> SoundFont:
    """Look at the sound font at `path` (.sf2, or .sf3 with compressed sounds) and return its record.

    Raises `SynthesisError` when it is missing, unreadable, truncated, or something else.
    """
    try:
        real = Path(path).expanduser().resolve()
        with real.open("rb") as file:
            head = file.read(12)
            size = os.fstat(file.fileno()).st_size
            _check(path, head, size)
            file.seek(0)
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, RuntimeError, ValueError) as error:  # a missing file; no home folder; a NUL byte in the path
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SynthesisError(f"the sound font {path} cannot be read: {what}; {HOW_TO_GET}") from error
    return SoundFont(path=real, name=real.name, sha256=checksum)


def find_sound_font() -> SoundFont | None:
    """Return the font that `SOUND_FONT_VARIABLE` names, else the first of `USUAL_NAMES` in `USUAL_FOLDERS`, else None.

    Names matter more than folders: a better font wins wherever it lies. Raises `SynthesisError` when the font that is
    named or found cannot be used.
    """
    if named := os.environ.get(SOUND_FONT_VARIABLE):
        return open_sound_font(named)
    folders = _usual_folders()
    for name in USUAL_NAMES:
        for folder in folders:
            if (folder / name).is_file():
                return open_sound_font(folder / name)
    return None


def _usual_folders() -> list[Path]:
    try:
        return [Path(folder).expanduser() for folder in USUAL_FOLDERS]
    except RuntimeError:  # this user has no home
        return [Path(folder) for folder in USUAL_FOLDERS if not folder.startswith("~")]


def _check(path: str | Path, head: bytes, size: int) -> None:
    if head[:4] != b"RIFF" or head[8:12] != b"sfbk":
        raise SynthesisError(
            f"{path} is not a sound font: it begins with {head!r}; needed is a General MIDI .sf2 or .sf3 file:"
            f" {HOW_TO_GET}"
        )
    stated = int.from_bytes(head[4:8], "little") + 8
    if stated != size:
        raise SynthesisError(
            f"the sound font {path} has {size:,} bytes and should have {stated:,}: it is truncated or damaged;"
            " download it again"
        )
