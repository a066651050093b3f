"""Real music as the ceiling: facts that are true of the cut, sources in turn, and the same set again."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from data.corpora import make_score
from data.piece_rows import piece_row
from midi_llm.data.dataset import MANIFEST_FILE, Dataset, member_name
from midi_llm.data.manifest import PieceRow, write_manifest
from midi_llm.data.sources.base import Metadata
from midi_llm.errors import RequestError
from midi_llm.evaluate.prompts import prompt_from_json, prompt_to_json
from midi_llm.evaluate.systems.base import Job
from midi_llm.evaluate.systems.real import real_set, spread
from midi_llm.music.features import note_table
from midi_llm.music.read import parse_midi
from midi_llm.music.score import DRUMS
from midi_llm.music.write import to_midi_bytes

SOURCES = {"folk": 6, "games": 2, "songs": 1}


def rows() -> list[PieceRow]:
    made = []
    for source, count in SOURCES.items():
        for index in range(count):
            metadata = Metadata(genres=("rock",) if index % 2 else ("jazz", "swing"), key="C major")
            made.append(piece_row(f"{source}{index}", source=source, split="test", metadata=metadata))
    made.append(piece_row("train", split="train"))
    made.append(piece_row("dropped", split="test", dropped="too few notes"))
    made.append(piece_row("short", split="valid"))
    return made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("built")
    (folder / "pieces").mkdir()
    write_manifest(rows(), folder / MANIFEST_FILE)
    for pack in {row.pack for row in rows()}:
        with zipfile.ZipFile(folder / "pieces" / f"{pack}.zip", "w") as archive:
            for seed, row in enumerate(rows()):
                if row.pack == pack:
                    bars = 4 if row.id.endswith("short") else 24
                    archive.writestr(member_name(row), to_midi_bytes(make_score(seed, bars=bars)))
    return Dataset(folder)


def test_facts_are_true_of_the_cut(dataset: Dataset) -> None:
    prompts, system = real_set(dataset, count=9, seconds=20.0)
    for prompt in prompts:
        (delivery,) = system.compose([Job(prompt=prompt, number=0, seed=0, seconds=20.0)])
        score = parse_midi(delivery.midi)
        notes = note_table(score)
        facts = prompt.facts
        assert {number for group in facts.instruments for number in group} == set(notes.instrument.tolist())
        assert facts.only
        assert facts.without == ()
        assert facts.bpm == 123.0
        assert facts.pace == "fast"
        assert facts.metre == (4, 4)
        assert facts.seconds == pytest.approx(20.0, abs=0.02)
        assert score.seconds == pytest.approx(20.0, abs=0.02)
        assert score.tempos[0].bpm == pytest.approx(123.0, abs=0.01)
        assert set(notes.velocity.tolist()) == {80}
        assert prompt_from_json(prompt_to_json(prompt), default_id="x") == prompt
        assert prompt.text


def test_sources_take_turns_and_so_do_their_genres(dataset: Dataset) -> None:
    _, system = real_set(dataset, count=6, seconds=20.0, seed=3)
    taken = system.origin["pieces"]
    assert isinstance(taken, dict)
    assert Counter(name.split("/")[0] for name in taken.values()) == {"folk": 3, "games": 2, "songs": 1}
    order = spread([row for row in rows() if row.source == "folk" and row.split == "test"], seed=0)
    genres = [row.metadata.genres[0] for row in order[:6] if row.metadata.genres]
    assert abs(genres[:4].count("rock") - genres[:4].count("jazz")) == 0


def test_the_same_seed_gives_the_same_set(dataset: Dataset) -> None:
    first, second, other = (real_set(dataset, count=4, seconds=15.0, seed=seed) for seed in (1, 1, 2))
    assert first[0] == second[0]
    assert first[1].midi == second[1].midi
    assert first[1].describe() == second[1].describe()
    assert first[1].origin["pieces"] != other[1].origin["pieces"]


def test_only_usable_pieces_of_the_split_are_taken(dataset: Dataset) -> None:
    with pytest.raises(RequestError, match="9 usable pieces of 20 s in the split test, 10 were asked for"):
        real_set(dataset, count=10, seconds=20.0)
    with pytest.raises(RequestError, match="0 usable pieces of 20 s in the split valid"):
        real_set(dataset, count=1, seconds=20.0, split="valid")


@pytest.mark.parametrize("changed", [{"seconds": 0.0}, {"seconds": 101.0}, {"split": "all"}, {"count": 0}])
def test_settings_out_of_range_are_refused(dataset: Dataset, changed: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="allowed are train, valid, test, above 0 to 100, and 1 or more"):
        real_set(dataset, **({"count": 1} | changed))  # type: ignore[arg-type]


def test_a_piece_without_drums_says_so(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    whole = Dataset.score

    def without_drums(self: Dataset, row: PieceRow) -> object:
        score = whole(self, row)
        return replace(score, tracks=tuple(track for track in score.tracks if not track.is_drum), note_order=None)

    monkeypatch.setattr(Dataset, "score", without_drums)
    prompts, _ = real_set(dataset, count=1, seconds=20.0)
    assert prompts[0].facts.without == (DRUMS,)
    assert prompts[0].facts.key in (None, "C major")
    assert prompts[0].facts.drums is False
