"""The corpus: `corpus.zip` (one MIDI file a piece) beside `manifest.jsonl.gz` (one row a piece), as a source.

In: the folder. Out: pieces with their metadata, under the names of the collections they come from ("mutopia",
"bandgen"): these are what mixtures weigh. What the manifest estimates (moods, chords, some keys) or took as a default
(some tempos) is left out. Pieces under the GPL (tier C) are left out unless asked for.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from midi_llm.data.sources.archive import zip_members
from midi_llm.data.sources.base import Metadata, Part, RawPiece, Skipped
from midi_llm.data.sources.collection import FILES_PER_PART, file_digest
from midi_llm.errors import DatasetError

ARCHIVE, MANIFEST = "corpus.zip", "manifest.jsonl.gz"
OPEN_TIERS = ("A", "B")
"""Tier C is GPL; weights trained on it could not be licensed CC BY-SA."""
KEYS_ARE_SIGNATURES = frozenset({"open-hymnal", "mma-pd-tunes"})
"""Sources whose keys are the key signature read as major: minor hymns are called major, tunes in F or G "C major"; the
notes contradict 17 % of the hymns' (docs/log.md 2026-11-24)."""
ARRANGED = frozenset({"mma-arranged", "mma-pd-tunes", "open-hymnal", "bandgen"})
"""Sources whose composer (or poet) wrote the tune, while the style is the arranger's: "like Christina Rossetti" would
name a charleston."""
_COLUMNS = ("id", "path", "source", "tier", "split", "licence", "attribution")
_NOBODY = re.compile(r"generated.*|anonym.*|unknown.*|various.*|\W*traditional\W*", re.IGNORECASE)
_SECTIONS = {"i": "intro", "o": "outro"}


class CorpusSource:
    """A corpus folder. Raises `DatasetError` when a file, a column or every piece of the tiers is missing."""

    name = "corpus"

    def __init__(self, folder: Path, *, tiers: Collection[str] = OPEN_TIERS) -> None:
        for file in (ARCHIVE, MANIFEST):
            if not (folder / file).is_file():
                raise DatasetError(f"{folder / file} is missing; a corpus folder holds {ARCHIVE} and {MANIFEST}")
        self._archive = folder / ARCHIVE
        self._rows = [row for row in _read_manifest(folder / MANIFEST) if row["tier"] in tiers]
        if not self._rows:
            raise DatasetError(f"{folder / MANIFEST} has no piece of tier {' or '.join(tiers)}")
        self.revision = f"{file_digest(self._archive)}-{file_digest(folder / MANIFEST)}-{''.join(sorted(tiers))}"

    def parts(self) -> list[Part]:
        """Stretches of the manifest."""
        starts = range(0, len(self._rows), FILES_PER_PART)
        return [
            Part(source=self.name, index=i, where={"start": start, "stop": start + FILES_PER_PART})
            for i, start in enumerate(starts)
        ]

    def read(self, part: Part) -> Iterator[RawPiece | Skipped]:
        """The pieces in manifest order."""
        rows = self._rows[part.where["start"] : part.where["stop"]]
        members = zip_members(self._archive, source=self.name, names=(row["path"] for row in rows))
        for row, member in zip(rows, members, strict=False):  # members end early where the archive is too large
            if isinstance(member, Skipped):
                yield Skipped(id=row["id"], source=row["source"], reason=member.reason)
            else:
                yield RawPiece(
                    id=row["id"], source=row["source"], path=row["path"], data=member.data, metadata=row_metadata(row)
                )


def row_metadata(row: Mapping[str, Any]) -> Metadata:
    """What a manifest row says that is no estimate.

    The ensemble is the manifest's `ensemble_est`: derived from the instruments and their numbers of notes.
    """
    composer = str(row.get("composer") or "")
    return Metadata(
        title=row.get("title") or "",
        composer="" if _NOBODY.fullmatch(composer) or row["source"] in ARRANGED else composer,
        licence=row["licence"] or "",
        attribution=row["attribution"] or "",
        url=row.get("url") or "",
        split=row["split"],
        group=row.get("work_group") or "",
        genres=tuple(row.get("genres") or ()),
        moods=tuple(row.get("moods") or ()),
        key=row.get("key") if _key_is_true(row) else None,
        tempo_is_known=row.get("tempo_source") != "default",
        ensemble=row.get("ensemble_est") or "",
        period=row.get("period") or "",
        form=tuple(_SECTIONS.get(letter, letter) for letter in row.get("form") or ""),
        synthetic=bool(row.get("synthetic")),
    )


def _key_is_true(row: Mapping[str, Any]) -> bool:
    """Whether the manifest's key is an annotation that the notes bear out."""
    return row.get("key_source") == "metadata" and row["source"] not in KEYS_ARE_SIGNATURES


def _read_manifest(path: Path) -> list[dict[str, Any]]:
    """The rows; every one has the columns that must be there."""
    rows = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row = json.loads(line)
                missing = [column for column in _COLUMNS if column not in row]
                if missing:
                    raise DatasetError(f"{path.name} line {number} has no {', '.join(missing)}")
                rows.append(row)
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise DatasetError(f"{path} line {len(rows) + 1} cannot be read ({error}); copy the corpus again") from error
    return rows
