from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.data import shards as shards_module
from midi_llm.data.shards import (
    END,
    KIND,
    KINDS,
    MUSIC_START,
    ROW,
    SOURCE,
    START,
    Segment,
    ShardSpec,
    finish,
    is_written,
    read_shards,
    write_shard,
)
from midi_llm.errors import DatasetError
from midi_llm.tokens.vocab import AUTOREGRESS, MUSIC_VOCAB_SIZE

SPEC = ShardSpec(length=32, text_rows=100, sources=("bandgen", "mutopia"))


def segment(count: int, *, seed: int = 0, kind: str = "plain", source: str = "bandgen") -> Segment:
    ids = np.random.default_rng(seed).integers(2, SPEC.text_rows + AUTOREGRESS, count)
    return Segment(ids=ids, music_start=count if kind == "text" else min(3, count), kind=kind, source=source)


def some_rows(shard: int) -> list[list[Segment]]:
    return [
        [segment(20, seed=shard), segment(12, seed=shard + 1, kind="text", source="mutopia")],
        [segment(7 + shard, seed=shard + 2, kind="span")],
    ]


def build(folder: Path, *, shards: int = 2) -> None:
    for index in range(shards):
        if not is_written(folder, index):
            write_shard(folder, index, some_rows(index), SPEC)
    finish(folder, SPEC, shards=shards, settings={"seed": 5, "weights": {"bandgen": 1.0}})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


segments_strategy = st.builds(
    segment,
    st.integers(1, 10),
    seed=st.integers(0, 99),
    kind=st.sampled_from(KINDS),
    source=st.sampled_from(SPEC.sources),
)
rows_strategy = st.lists(st.lists(segments_strategy, min_size=1, max_size=3), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(shards=st.lists(rows_strategy, min_size=1, max_size=3), data=st.data())
def test_rows_come_back_in_any_order_from_any_shard(tmp_path_factory, shards, data) -> None:
    folder = tmp_path_factory.mktemp("shards")
    for index, rows in enumerate(shards):
        write_shard(folder, index, rows, SPEC)
    whole = finish(folder, SPEC, shards=len(shards), settings={})
    rows = [row for shard in shards for row in shard]
    assert len(whole) == len(rows) == whole.info["rows"]
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=8))
    batch = whole.batch(np.array(indices))
    expected = [(place, s) for place, index in enumerate(indices) for s in rows[index]]
    assert batch.ids.dtype == np.int64
    assert batch.ids.shape == (len(indices), max(sum(len(s.ids) for s in rows[i]) for i in indices))
    assert len(batch.segments) == len(expected)
    for found, (place, one) in zip(batch.segments, expected, strict=True):
        assert found[ROW] == place
        np.testing.assert_array_equal(batch.ids[place, found[START] : found[END]], one.ids)
        assert found[MUSIC_START] - found[START] == one.music_start
        assert (KINDS[found[KIND]], SPEC.sources[found[SOURCE]]) == (one.kind, one.source)
    for place, index in enumerate(indices):
        assert (batch.ids[place, sum(len(s.ids) for s in rows[index]) :] == shards_module.PAD).all()


def test_the_index_says_what_is_there(tmp_path: Path) -> None:
    build(tmp_path)
    info = read_shards(tmp_path, check=True).info
    assert (info["rows"], info["segments"], info["ids"]) == (4, 6, 2 * 32 + 7 + 8)
    assert info["by_kind"] == {
        "plain": {"segments": 2, "ids": 40}, "text": {"segments": 2, "ids": 24}, "span": {"segments": 2, "ids": 15},
    }  # fmt: skip
    assert info["by_source"]["mutopia"] == {"segments": 2, "ids": 24}
    assert info["settings"] == {"seed": 5, "weights": {"bandgen": 1.0}}
    assert sorted(info["files"]) == [f"0000{i}.{name}.npy" for i in (0, 1) for name in ("ids", "segments")]


@pytest.mark.parametrize(("text_rows", "dtype"), [(65_536 - MUSIC_VOCAB_SIZE, np.uint16), (128_256, np.uint32)])
def test_ids_are_16_bits_wide_where_they_fit(tmp_path: Path, text_rows: int, dtype: type) -> None:
    spec = replace(SPEC, text_rows=text_rows)
    last = Segment(ids=np.array([text_rows + MUSIC_VOCAB_SIZE - 1]), music_start=1, kind="text", source="bandgen")
    write_shard(tmp_path, 0, [[last]], spec)
    assert np.load(tmp_path / "00000.ids.npy").dtype == dtype
    assert finish(tmp_path, spec, shards=1, settings={}).batch(np.array([0])).ids[0, 0] == last.ids[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.arange(33)}, r"33 ids up to place 33; allowed is 1\.\.32"),
        ({"ids": np.array([], np.int64)}, "0 ids"),
        ({"kind": "other"}, "kind 'other'; allowed is plain, span"),
        ({"source": "lakh"}, "source 'lakh'; allowed is bandgen, mutopia"),
        ({"music_start": 8}, r"music_start 8; allowed is 0\.\.7"),
        ({"ids": np.array([SPEC.text_rows + MUSIC_VOCAB_SIZE] * 7)}, "was it made with a tokenizer of 100 text ids"),
        ({"ids": np.array([-1] * 7)}, "ids -1"),
    ],
)
def test_a_segment_that_does_not_fit_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        write_shard(tmp_path, 0, [[replace(segment(7), **change)]], SPEC)
    with pytest.raises(DatasetError, match="holds no segment"):
        write_shard(tmp_path, 0, [[segment(7)], []], SPEC)
    assert not contents(tmp_path)


def test_a_shard_may_be_empty_but_not_all(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [], SPEC)
    with pytest.raises(DatasetError, match="hold no row"):
        finish(tmp_path, SPEC, shards=1, settings={})
    write_shard(tmp_path, 1, some_rows(1), SPEC)
    write_shard(tmp_path, 2, [], SPEC)
    whole = finish(tmp_path, SPEC, shards=3, settings={})
    assert len(whole) == whole.info["rows"] == 2
    np.testing.assert_array_equal(whole.batch(np.array([1])).ids[0], some_rows(1)[1][0].ids)


def test_a_row_that_is_not_there_is_an_index_error(tmp_path: Path) -> None:
    build(tmp_path)
    for wrong in ([4], [-1], []):
        with pytest.raises(IndexError):
            read_shards(tmp_path).batch(np.array(wrong, np.int64))


def test_what_is_unfinished_newer_older_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"shards\.json is missing"):
        read_shards(tmp_path)
    write_shard(tmp_path, 1, some_rows(1), SPEC)
    with pytest.raises(DatasetError, match=r"lacks 00000\.ids\.npy"):
        finish(tmp_path, SPEC, shards=2, settings={})
    build(tmp_path)
    index, ids = tmp_path / "shards.json", tmp_path / "00001.ids.npy"
    info, whole = json.loads(index.read_text()), ids.read_bytes()
    for version, action in ((99, "update midi-llm"), (1, "build it again")):
        index.write_text(json.dumps(info | {"format_version": version}))
        with pytest.raises(DatasetError, match=action):
            read_shards(tmp_path)
    for broken in ("{", "{}", "[]"):
        index.write_text(broken)
        with pytest.raises(DatasetError, match="cannot be read"):
            read_shards(tmp_path)
    index.write_text(json.dumps(info))
    ids.write_bytes(whole[:-1])
    with pytest.raises(DatasetError, match="has bytes"):
        read_shards(tmp_path)
    ids.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    read_shards(tmp_path)
    with pytest.raises(DatasetError, match="has sha256"):
        read_shards(tmp_path, check=True)
    ids.unlink()
    with pytest.raises(DatasetError, match=r"00001\.ids\.npy is missing"):
        read_shards(tmp_path)


def test_a_shard_of_another_build_is_not_taken_in(tmp_path: Path) -> None:
    build(tmp_path, shards=3)
    with pytest.raises(DatasetError, match=r"holds 00002\.ids\.npy of another build"):
        finish(tmp_path, SPEC, shards=2, settings={})


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_disk_leaves_no_half_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    build(tmp_path / "whole")
    write_shard(tmp_path / "full", 0, some_rows(0), SPEC)
    before, calls, save = contents(tmp_path / "full"), [], np.save

    def full(file, array) -> None:
        calls.append(array)
        if len(calls) == failing:
            file.write(b"\x93NUMPY half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, array)

    monkeypatch.setattr(shards_module.np, "save", full)
    with pytest.raises(DatasetError, match=r"00001\.ids\.npy could not be written: .*No space left.*free some space"):
        write_shard(tmp_path / "full", 1, some_rows(1), SPEC)
    assert contents(tmp_path / "full") == before
    monkeypatch.undo()
    build(tmp_path / "full")
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from data.test_shards import build
    from midi_llm.data import shards

    def kill_at(line):
        left = [line]
        def trace(frame, event, argument):
            if frame.f_code.co_filename != shards.__file__:
                return None
            left[0] -= event == "line"
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace
        sys.settrace(trace)

    for line in map(int, sys.argv[2:]):
        if os.fork() == 0:
            kill_at(line)
            build(Path(sys.argv[1], str(line)))
            os._exit(0)
        os.wait()
"""
"""A process that is killed with -9 as it comes to a given line of the module, for many lines."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_leaves_whole_files_only_and_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    build(tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    lines = np.random.default_rng(7).choice(420, 60, replace=False).tolist()
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), *map(str, lines)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": f"{root}", "OMP_NUM_THREADS": "1"})
    finished = 0
    for line in lines:
        folder = tmp_path / str(line)
        left = contents(folder) if folder.exists() else {}
        visible = {name: data for name, data in left.items() if not name.startswith(".")}
        assert visible.items() <= whole.items()
        finished += visible.keys() == whole.keys()
        if "shards.json" not in visible:
            with pytest.raises(DatasetError, match="is missing"):
                read_shards(folder)
        build(folder)
        assert contents(folder) == whole, line
    assert 0 < finished < len(lines) / 2


def test_what_a_killed_run_left_of_a_file_is_written_over(tmp_path: Path) -> None:
    build(tmp_path / "whole")
    for name in (".00000.ids.npy.partial", ".00001.segments.npy.partial", ".shards.json.partial"):
        (tmp_path / "again").mkdir(exist_ok=True)
        (tmp_path / "again" / name).write_bytes(b"\x93NUMPY half of it" * 1000)
    build(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")
