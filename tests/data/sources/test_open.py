from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from data.corpora import write_corpus
from data.sources import layouts
from data.sources.layouts import everything, lakh_members, midi, pieces, write_lines, write_tar
from midi_llm.data.sources import parquet
from midi_llm.data.sources.hub import HUB_DATASETS, download
from midi_llm.data.sources.open import KINDS, open_source
from midi_llm.errors import DatasetError, MissingExtraError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def midis(tmp_path: Path) -> Path:
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "one.mid").write_bytes(midi(1))
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Replaces the download: what it was asked for, the folder it gives, the error it raises."""
    pytest.importorskip("huggingface_hub")
    state: dict[str, Any] = {"folder": tmp_path, "error": None}

    def snapshot_download(repository: str, **settings: Any) -> str:
        state.update(repository=repository, **settings)
        if state["error"] is not None:
            raise state["error"]
        return str(state["folder"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return state


def test_a_bare_folder_is_a_corpus_where_it_looks_like_one(tmp_path: Path, midis: Path) -> None:
    assert open_source(str(write_corpus(tmp_path / "c"))).name == "corpus"
    assert open_source(f"corpus:{tmp_path / 'c'}").name == "corpus"
    assert open_source(str(midis)).name == "a-b"


def test_a_path_may_hold_a_colon(tmp_path: Path, midis: Path) -> None:
    captions = write_lines(tmp_path / "c.jsonl", [{"file": "one.mid", "caption": "A waltz."}])
    assert pieces(everything(open_source(f"folder:{midis}")))["one.mid"].metadata.captions == ()
    captioned = pieces(everything(open_source(f"folder:{midis}:{captions}")))
    assert captioned["one.mid"].metadata.captions == ("A waltz.",)


def test_every_kind_opens_its_published_layout(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_tar(tmp_path / "lmd_full.tar.gz", lakh_members("0f"))
    layouts.write_midicaps(tmp_path / "caps")
    layouts.write_aria(tmp_path / "aria-midi-v1-ext.tar.gz")
    layouts.write_parquet(tmp_path / "giga/v2.0.0/train.parquet", {"music": [midi(0)]})
    layouts.write_parquet(tmp_path / "pile/data/train-0.parquet", {"text": ["x", "y"], "src": ["wiki", "math"]})
    specs = {
        f"lakh:{tmp_path}": 2,
        f"lakh:{tmp_path}/lmd_full.tar.gz": 2,
        f"midicaps:{tmp_path}/caps": 5,
        f"aria:{tmp_path}": 4,
        f"gigamidi:{tmp_path}/giga": 1,
        f"musicpile:{tmp_path}/pile": 2,
        f"musicpile:{tmp_path}/pile:math,abc": 1,
    }
    for spec, count in specs.items():
        source = open_source(spec)
        assert (source.name, len(everything(source))) == (spec.partition(":")[0], count)
        assert source.revision == open_source(spec).revision


@pytest.mark.parametrize("spec", ["nowhere", "zip:x", "lakh:", "", "nowhere:x.jsonl"])
def test_an_unknown_source_lists_the_kinds(spec: str) -> None:
    with pytest.raises(DatasetError, match=r"neither a folder nor one of: corpus:DIR .*Example: folder:my_midis"):
        open_source(spec)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_path_is_an_error(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        open_source(f"{kind}:{tmp_path / 'nowhere'}")


def test_the_hub_gives_a_pinned_commit(hub: dict[str, Any], tmp_path: Path) -> None:
    layouts.write_aria(tmp_path / "aria-midi-v1-pruned-ext.tar.gz")
    source = open_source("aria:hub")
    assert (hub["repository"], hub["repo_type"]) == ("loubb/aria-midi", "dataset")
    assert hub["revision"] == HUB_DATASETS["aria"].commit
    assert hub["allow_patterns"] == ["aria-midi-v1-pruned-ext.tar.gz"]
    assert source.revision.startswith(str(HUB_DATASETS["aria"].commit))
    open_source(f"aria:hub@{COMMIT}")
    assert hub["revision"] == COMMIT


@pytest.mark.parametrize("spec", ["midicaps:hub", "gigamidi:hub", "gigamidi:hub@main", "aria:hub@v1"])
def test_a_branch_is_no_pin(hub: dict[str, Any], spec: str) -> None:
    with pytest.raises(DatasetError, match=r"needs a commit of 40 hex digits.*/commits/main"):
        open_source(spec)
    assert "repository" not in hub


def test_offline_says_what_to_download_where(hub: dict[str, Any]) -> None:
    hub["error"] = OSError("no route to host\nmore")
    message = r"m-a-p/MusicPile could not be downloaded \(no route to host\).*data/\*\.parquet.*musicpile:FOLDER"
    with pytest.raises(DatasetError, match=message):
        open_source("musicpile:hub")


def test_gated_data_say_where_to_accept_the_terms(hub: dict[str, Any]) -> None:
    from huggingface_hub import errors

    hub["error"] = errors.GatedRepoError.__new__(errors.GatedRepoError)
    with pytest.raises(DatasetError, match=r"terms on https://huggingface\.co/datasets/Metacreation/GigaMIDI.*hf auth"):
        open_source(f"gigamidi:hub@{COMMIT}")


def test_what_is_not_on_the_hub_needs_a_path() -> None:
    with pytest.raises(DatasetError, match="lakh is not on the hub"):
        download("lakh")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"midi-llm\[data\]"):
        parquet.parquet_parts(tmp_path, source="s", columns=("music",))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"midi-llm\[hub\]"):
        download("aria")


def test_the_home_of_nobody_is_one_clear_line() -> None:
    with pytest.raises(DatasetError, match="home folder that is not there"):
        open_source("folder:~no-such-user-here/midis")
