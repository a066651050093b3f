from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from data.corpora import tiny_spec, tree, write_corpus, write_midis
from data.test_rewrite import reworded, server
from midi_llm.data.build import build
from midi_llm.data.dataset import Dataset, read_texts
from midi_llm.data.inspect import check_dataset, open_row_set, show_row
from midi_llm.data.rewrite import RewriteSettings
from midi_llm.data.rowsets import digest, plan
from midi_llm.data.shards import END, MUSIC_START, ROW, START, read_shards
from midi_llm.errors import DatasetError
from midi_llm.prompt import load_tokenizer

STAGE1 = ("stage1.rows=10", "stage1.valid_rows=2", "stage1.length=256", "short.rows=0")


def rewriting(url: str, **changes) -> RewriteSettings:
    return RewriteSettings(base_url=url, model="m", attempts=1, backoff_seconds=0, **changes)


def prompts(dataset: Dataset, name: str = "short/train") -> list[str]:
    (_, shards), tokenizer = open_row_set(dataset, name), load_tokenizer(dataset.folder)
    return [show_row(shards, row, tokenizer).prompt for row in range(len(shards))]


def write_texts(folder: Path, count: int = 300) -> Path:
    """JSON lines in MusicPile's columns; text i says so."""
    folder.mkdir(parents=True)
    rows = [{"id": i, "text": f"Text {i} is about harmony. " * (1 + i % 9), "src": "wiki"} for i in range(count)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": 1, "text": " "}]))
    return folder


def test_captions_are_reworded_and_a_second_build_needs_no_model(tmp_path: Path) -> None:
    source = f"corpus:{write_corpus(tmp_path / 'corpus')}"
    with server(lambda texts, _: [reworded(text) for text in texts]) as (url, requests):
        spec = tiny_spec(source, rewriting=rewriting(url), changes=["short.captioned=1"])
        dataset = build(spec, tmp_path / "ds")
    assert requests
    assert {prompt.startswith("something like this: ") for prompt in prompts(dataset)} == {True}
    before = tree(tmp_path / "ds")
    shutil.rmtree(tmp_path / "ds" / "rows")
    build(spec, tmp_path / "ds")
    assert tree(tmp_path / "ds") == before
    plain = build(tiny_spec(source, changes=["short.captioned=1"]), tmp_path / "plain" / "ds")
    for before_it, after in zip(prompts(plain), prompts(dataset), strict=True):
        assert reworded(before_it).startswith(after), "shortened to the place for prompts, else the same"
    with pytest.raises(DatasetError, match="rewriter was 'm', is now None"):
        build(tiny_spec(source, changes=["short.captioned=1"]), tmp_path / "ds")


@pytest.mark.parametrize("answer", [lambda texts, _: 500, lambda texts, _: b"no JSON"])
def test_a_model_that_does_not_answer_stops_the_build_and_it_goes_on_when_it_does(tmp_path: Path, answer) -> None:
    source = f"folder:{write_midis(tmp_path / 'midis')}"
    with server(answer) as (url, _):
        with pytest.raises(DatasetError, match=r"did not reword .* captions; see that 'm' is served there"):
            build(tiny_spec(source, rewriting=rewriting(url)), tmp_path / "ds")
        assert not list((tmp_path / "ds").rglob("*.npy"))
    with server(lambda texts, _: [reworded(text) for text in texts]) as (url, _):
        dataset = build(tiny_spec(source, rewriting=rewriting(url)), tmp_path / "ds")
    assert any(prompt.startswith("something like this: ") for prompt in prompts(dataset))


def test_stage_1_packs_music_and_texts_and_keeps_some_texts_for_validation(tmp_path: Path) -> None:
    sources = f"corpus:{write_corpus(tmp_path / 'corpus')}", f"musicpile:{write_texts(tmp_path / 'texts')}"
    dataset = build(tiny_spec(*sources, changes=STAGE1), tmp_path / "ds")
    found: dict[str, set[str]] = {}
    for split in ("train", "valid"):
        shards = read_shards(dataset.folder / "rows" / "stage1" / split)
        assert shards.info["by_kind"]["text"]["segments"] > (200 if split == "train" else 0)
        assert sum(info["segments"] for kind, info in shards.info["by_kind"].items() if kind != "text") == (
            10 if split == "train" else 2
        )
        shown = "\n".join(show_row(shards, row, load_tokenizer(dataset.folder)).text for row in range(len(shards)))
        found[split] = {line.split(" is about")[0] for line in shown.splitlines() if line.startswith("# prompt: 'Text")}
    texts = list(read_texts(dataset.folder / "texts" / "musicpile-00000.jsonl.gz"))
    assert found["train"] | found["valid"] == {f"# prompt: '{text.text.split(' is')[0]}" for text in texts}
    assert found["train"] & found["valid"] == set()
    assert len(found["valid"]) == sum(digest(text.id) < 0.01 * 2**64 for text in texts) > 0
    assert shards.info["by_source"].keys() >= {"musicpile-00000"}
    train = read_shards(dataset.folder / "rows" / "stage1" / "train")
    assert train.info["rows"] < 0.6 * train.info["segments"]
    assert len(list(check_dataset(dataset))) == 4
    assert "no text" in {row.dropped for row in dataset.rows}


@pytest.mark.parametrize(("share", "low", "high"), [("0", 0, 0), ("0.5", 100, 200)])
def test_the_share_of_texts(tmp_path: Path, share: str, low: int, high: int) -> None:
    sources = f"folder:{write_midis(tmp_path / 'midis')}", f"musicpile:{write_texts(tmp_path / 'texts')}"
    build(tiny_spec(*sources, changes=[*STAGE1, f"stage1.text_share={share}"]), tmp_path / "ds")
    kinds = read_shards(tmp_path / "ds" / "rows" / "stage1" / "train").info["by_kind"]
    assert low <= kinds.get("text", {"segments": 0})["segments"] <= high


def test_texts_in_parquet_files_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
    from pyarrow import parquet

    table = pyarrow.table({"text": [f"Counterpoint {i}." for i in range(40)], "src": ["wiki"] * 40})
    (tmp_path / "texts").mkdir()
    parquet.write_table(table, tmp_path / "texts" / "a.parquet", row_group_size=20)
    sources = f"folder:{write_midis(tmp_path / 'midis')}", f"musicpile:{tmp_path / 'texts'}"
    dataset = build(tiny_spec(*sources, changes=STAGE1), tmp_path / "ds")
    names = [path.name for path in sorted((dataset.folder / "texts").iterdir())]
    assert names == ["musicpile-00000.jsonl.gz", "musicpile-00001.jsonl.gz"]
    assert read_shards(dataset.folder / "rows/stage1/train").info["by_kind"]["text"]["segments"] >= 35


def test_rows_are_music_of_their_split_with_prompts_and_no_gaps(tmp_path: Path) -> None:
    dataset = build(tiny_spec(f"corpus:{write_corpus(tmp_path / 'corpus')}"), tmp_path / "ds")
    (spec,) = tiny_spec("x").row_sets
    for split, count in (("train", 6), ("valid", 2)):
        out = dataset.folder / "rows" / "short" / split
        tasks = plan(dataset, spec, split, out)
        assert {row.split for task in tasks for row in task.pieces} == {split}
        assert sum(sum(task.counts) for task in tasks) == count == len(read_shards(out))
        table = read_shards(out).batch(read_shards(out)._firsts[:1]).segments
        assert (table[:, ROW] == 0).all()
        assert (table[:, START] == 0).all()
        assert (table[:, MUSIC_START] < table[:, END]).all()


def test_a_piece_that_makes_no_example_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_, **__):
        raise DatasetError("its caption is one long word")

    monkeypatch.setattr("midi_llm.data.rowsets.make_example", refuse)
    with pytest.raises(DatasetError, match=r"midis/song \d+\.mid makes no example: its caption is one long word"):
        build(tiny_spec(f"folder:{write_midis(tmp_path / 'midis')}"), tmp_path / "ds")


def test_a_finished_set_keeps_its_digests_and_a_deleted_shard_comes_back_the_same(tmp_path: Path) -> None:
    spec = tiny_spec(f"folder:{write_midis(tmp_path / 'midis')}")
    dataset = build(spec, tmp_path / "ds")
    whole = tree(tmp_path / "ds")
    shard = tmp_path / "ds" / "rows" / "short" / "train" / "00000.ids.npy"
    data = bytearray(shard.read_bytes())
    data[-200] ^= 1
    shard.write_bytes(data)
    build(spec, tmp_path / "ds")
    with pytest.raises(DatasetError, match=r"00000\.ids\.npy has sha256 .*: delete it and build again"):
        list(check_dataset(dataset))
    shard.unlink()
    build(spec, tmp_path / "ds")
    assert tree(tmp_path / "ds") == whole
