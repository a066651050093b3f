from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.corpora import write_corpus
from data.sources.layouts import everything, midi, pieces, reasons, write_manifest, write_zip
from midi_llm.data.sources import collection, corpus
from midi_llm.data.sources.corpus import CorpusSource, row_metadata
from midi_llm.errors import DatasetError

ROW: dict[str, Any] = {
    "id": "band_1", "path": "bandgen/band_1.mid", "source": "bandgen", "tier": "A", "split": "train",
    "licence": "CC0-1.0", "attribution": "Own work", "url": None, "work_group": None, "title": "Ambient",
    "composer": "generated (own work)", "genres": ["ambient"], "period": "21st century", "key": "F major",
    "key_source": "metadata", "tempo_source": None, "moods": ["calm"], "mood_est": ["wistful"],
    "ensemble_est": "ensemble", "form": "iABo", "synthetic": True,
}  # fmt: skip


def test_pieces_carry_the_names_of_their_collections_and_gpl_is_left_out(tmp_path: Path) -> None:
    source = CorpusSource(write_corpus(tmp_path))
    found = pieces(everything(source))
    assert {piece.source for piece in found.values()} == {"bandgen", "mutopia"}
    assert found["piece_1"].metadata.split == "valid"
    assert found["piece_0"].path == "bandgen/piece_0.mid"
    assert found["piece_0"].data.startswith(b"MThd")
    everyone = CorpusSource(tmp_path, tiers=("A", "B", "C"))
    assert len(everything(everyone)) == 8
    assert everyone.revision != source.revision


def test_parts_are_stretches_of_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = CorpusSource(write_corpus(tmp_path))
    whole = everything(source)
    monkeypatch.setattr(corpus, "FILES_PER_PART", 4)
    assert [part.name for part in source.parts()] == ["corpus-00000", "corpus-00001"]
    assert everything(source) == whole
    assert collection.FILES_PER_PART <= 512


def test_what_is_true_is_kept() -> None:
    metadata = row_metadata(ROW)
    assert (metadata.key, metadata.moods, metadata.genres) == ("F major", ("calm",), ("ambient",))
    assert metadata.form == ("intro", "A", "B", "outro")
    assert (metadata.ensemble, metadata.period, metadata.synthetic) == ("ensemble", "21st century", True)
    assert (metadata.tempo_is_known, metadata.group, metadata.url) == (True, "", "")


def test_what_is_estimated_or_a_default_is_left_out() -> None:
    changes = {"key_source": "estimated", "tempo_source": "default", "moods": None, "form": None}
    metadata = row_metadata(ROW | changes)
    assert (metadata.key, metadata.tempo_is_known, metadata.moods, metadata.form) == (None, False, (), ())
    assert row_metadata(ROW | {"tempo_source": "tempo word"}).tempo_is_known


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("generated (own work)", ""),
        ("Anonymous", ""),
        ("[Traditional]", ""),
        (None, ""),
        ("Clara Schumann", "Clara Schumann"),
        ("Generali, Pietro", "Generali, Pietro"),
    ],
)
def test_nobody_is_no_composer(given: str | None, kept: str) -> None:
    assert row_metadata(ROW | {"composer": given, "source": "mutopia"}).composer == kept


def test_who_wrote_a_tune_is_not_the_style_of_its_arrangement() -> None:
    assert row_metadata(ROW | {"composer": "Clara Schumann", "source": "mma-pd-tunes"}).composer == ""


def test_keys_that_are_key_signatures_are_not_known() -> None:
    known = {"key": "C major", "key_source": "metadata"}
    assert row_metadata(ROW | known | {"source": "mutopia"}).key == "C major"
    assert row_metadata(ROW | known | {"source": "open-hymnal"}).key is None


def test_a_piece_missing_in_the_zip_is_skipped_under_its_own_name(tmp_path: Path) -> None:
    write_zip(tmp_path / "corpus.zip", [("bandgen/band_1.mid", midi(1))])
    write_manifest(tmp_path / "manifest.jsonl.gz", [ROW, ROW | {"id": "band_2", "path": "bandgen/band_2.mid"}])
    items = everything(CorpusSource(tmp_path))
    assert list(pieces(items)) == ["band_1"]
    assert reasons(items) == {"band_2": "not in the archive"}
    assert {item.source for item in items} == {"bandgen"}


def test_a_broken_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"corpus\.zip is missing"):
        CorpusSource(tmp_path)
    write_zip(tmp_path / "corpus.zip", [])
    manifest = write_manifest(tmp_path / "manifest.jsonl.gz", [ROW, {k: v for k, v in ROW.items() if k != "licence"}])
    with pytest.raises(DatasetError, match="line 2 has no licence"):
        CorpusSource(tmp_path)
    write_manifest(manifest, [ROW | {"tier": "C"}])
    with pytest.raises(DatasetError, match="no piece of tier A or B"):
        CorpusSource(tmp_path)
    manifest.write_bytes(json.dumps(ROW).encode())
    with pytest.raises(DatasetError, match="line 1 cannot be read"):
        CorpusSource(tmp_path)
