"""The set that MIDI-LLM was evaluated on: captions of MidiCaps and the Lakh pieces that they describe.

In: a folder with MidiCaps (`data.sources.lakh`) and a list of md5s, one a line. The authors publish theirs, 896 pieces
that Lakh's split holds out (assets/evaluation_set_lakh_ids.txt of slSeanWU/MIDI-LLM at 3f76137). Out: prompts whose
text is the caption, and the pieces as they are.
Facts are the columns tempo, key and time_signature, which captions are written from: estimates of MidiCaps' authors,
as in the tables of Text2midi. What a caption leaves out is asked for all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from midi_llm.data.sources.base import RawPiece
from midi_llm.data.sources.lakh import MIDICAPS_URL, MidiCapsSource, midicaps_rows
from midi_llm.data.windows import transpose_key
from midi_llm.errors import RequestError
from midi_llm.evaluate.prompts import Prompt, PromptFacts, facts_from_json
from midi_llm.evaluate.systems.pieces import Pieces
from midi_llm.music.key import KEYS

PAPER_IDS = 896
_MD5 = re.compile(r"[0-9a-f]{32}")
_NAMED = 5


def read_ids(path: Path) -> list[str]:
    """The md5s of a text file, one a line. Raises `RequestError` for a line that is none, and for an empty file."""
    try:
        lines = [line.strip().lower() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read ({error}); it must hold one md5 a line") from error
    wrong = next((line for line in lines if not _MD5.fullmatch(line)), None)
    if wrong is not None or not lines:
        raise RequestError(f"{path} holds {wrong or 'nothing'!r:.60}; expected one md5 a line, such as {'0f' * 16}")
    return list(dict.fromkeys(lines))


def midicaps_set(folder: Path, ids: Sequence[str]) -> tuple[list[Prompt], Pieces]:
    """A prompt (its id is the md5) and the piece for each of `ids`, in their order.

    The first caption of a piece is its prompt. Raises `RequestError` naming ids that have no caption or no file, and
    `DatasetError` when the folder does not hold MidiCaps.
    """
    source = MidiCapsSource(folder)
    wanted = set(ids)
    captions: dict[str, str] = {}
    midi: dict[str, bytes] = {}
    for part in source.parts():
        for item in source.read(part):
            if isinstance(item, RawPiece) and item.id in wanted:
                captions[item.id], midi[item.id] = item.metadata.captions[0], item.data
    missing = [name for name in ids if name not in midi]
    if missing:
        raise RequestError(
            f"{folder} has no caption or no MIDI file for {len(missing)} of {len(ids)} ids, such as"
            f" {', '.join(missing[:_NAMED])}; it must hold train.json and midicaps.tar.gz of {MIDICAPS_URL}"
        )
    facts = _facts(folder / "train.json", wanted)
    prompts = [Prompt(id=name, text=captions[name], facts=facts[name]) for name in ids]
    origin = {"kind": "midicaps", "revision": source.revision}
    return prompts, Pieces(name="real", midi={name: midi[name] for name in ids}, origin=origin)


def _facts(path: Path, wanted: set[str]) -> dict[str, PromptFacts]:
    """Of the first row of each piece."""
    found: dict[str, PromptFacts] = {}
    for _, row in midicaps_rows(path):
        md5 = PurePosixPath(str(row.get("location"))).stem.lower()
        if md5 in wanted and md5 not in found:
            found[md5] = row_facts(row)
    return found


def row_facts(row: Mapping[str, Any]) -> PromptFacts:
    """Tempo, key and metre of a row of MidiCaps; what is missing, or not to be understood, is not asked for."""
    facts: dict[str, Any] = {}
    key = transpose_key(row["key"], 0) if isinstance(row.get("key"), str) else None
    if key in KEYS:
        facts["key"] = key
    for name, value in (("bpm", _number(row.get("tempo"))), ("metre", _metre(row.get("time_signature")))):
        try:
            facts_from_json({name: value})
        except (TypeError, ValueError):
            continue
        facts[name] = value
    return facts_from_json(facts)


def _number(value: object) -> object:
    """Numbers come as such or as text."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return None


def _metre(value: object) -> object:
    parts = value.split("/") if isinstance(value, str) else []
    return [int(part) for part in parts] if len(parts) == 2 and all(part.strip().isdigit() for part in parts) else None
