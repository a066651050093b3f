"""A source from one line of text, such as "lakh:lmd_full.tar.gz".

In: KIND:PATH. Out: a `Source`. Local paths never use the network; PATH "hub" or "hub@COMMIT" does (`hub`).
A bare folder is a corpus where it looks like one, else a folder of MIDI files. Everything after the first ":" is the
path, so that a path may contain ":"; only "folder" and "musicpile" split off a last field (`KINDS`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from midi_llm.data.sources.aria import AriaSource
from midi_llm.data.sources.base import Source
from midi_llm.data.sources.corpus import ARCHIVE, MANIFEST, CorpusSource
from midi_llm.data.sources.folder import FolderSource
from midi_llm.data.sources.gigamidi import GigaMidiSource
from midi_llm.data.sources.hub import download
from midi_llm.data.sources.lakh import LakhSource, MidiCapsSource
from midi_llm.data.sources.musicpile import MusicPileSource
from midi_llm.errors import DatasetError

KINDS = {
    "corpus": "corpus:DIR (corpus.zip and manifest.jsonl.gz)",
    "folder": "folder:DIR or folder:DIR:CAPTIONS.jsonl (any MIDI files)",
    "lakh": "lakh:lmd_full.tar.gz or lakh:DIR",
    "midicaps": "midicaps:DIR (train.json and midicaps.tar.gz) or midicaps:hub@COMMIT",
    "gigamidi": "gigamidi:DIR (parquet files) or gigamidi:hub@COMMIT",
    "aria": "aria:ARCHIVE.tar.gz, aria:DIR or aria:hub",
    "musicpile": "musicpile:DIR, musicpile:hub, or musicpile:DIR:SRC,SRC for some of its collections",
}


def open_source(spec: str) -> Source:
    """The source that `spec` describes. Raises `DatasetError` for an unknown kind or missing files."""
    try:
        return _opened(spec)
    except RuntimeError as error:  # of expanduser
        raise DatasetError(f"{spec!r} names a home folder that is not there: {error}") from error


def _opened(spec: str) -> Source:
    """The same, where "~name" may still be nobody's."""
    kind, colon, path = spec.partition(":")
    if kind in KINDS and colon and path:
        return _OPENERS[kind](path)
    folder = Path(spec).expanduser()
    if not spec or not folder.is_dir():
        raise DatasetError(
            f"{spec!r} is neither a folder nor one of: " + "; ".join(KINDS.values()) + ". Example: folder:my_midis"
        )
    is_corpus = all((folder / name).is_file() for name in (ARCHIVE, MANIFEST))
    return CorpusSource(folder) if is_corpus else FolderSource(folder)


def _local(path: str, kind: str) -> tuple[Path, str | None]:
    """(path, hub commit): a local path, or the folder that the hub's files are in."""
    name, _, commit = path.partition("@")
    if name == "hub" and not Path(path).exists():
        return download(kind, commit or None)
    return Path(path).expanduser(), None


def _folder(path: str) -> Source:
    """The last field is a caption file when it is named *.jsonl; a folder of that name comes first."""
    folder, colon, captions = path.rpartition(":")
    if colon and captions.endswith(".jsonl") and not Path(path).expanduser().is_dir():
        return FolderSource(Path(folder).expanduser(), captions=Path(captions).expanduser())
    return FolderSource(Path(path).expanduser())


def _midicaps(path: str) -> Source:
    folder, commit = _local(path, "midicaps")
    return MidiCapsSource(folder, revision=commit)


def _gigamidi(path: str) -> Source:
    folder, commit = _local(path, "gigamidi")
    return GigaMidiSource(folder, revision=commit)


def _aria(path: str) -> Source:
    place, commit = _local(path, "aria")
    return AriaSource(place, revision=commit)


def _musicpile(path: str) -> Source:
    """The last field names collections unless the whole is a folder."""
    place, colon, names = path.rpartition(":")
    if not colon or Path(path).expanduser().is_dir():
        place, names = path, ""
    folder, commit = _local(place, "musicpile")
    return MusicPileSource(folder, revision=commit, collections=frozenset(names.split(",")) if names else None)


_OPENERS: dict[str, Callable[[str], Source]] = {
    "corpus": lambda path: CorpusSource(Path(path).expanduser()),
    "folder": _folder,
    "lakh": lambda path: LakhSource(Path(path).expanduser()),
    "midicaps": _midicaps,
    "gigamidi": _gigamidi,
    "aria": _aria,
    "musicpile": _musicpile,
}
