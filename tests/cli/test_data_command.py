"""`midi-llm data` from outside: results, exit codes and one-line errors; nothing half-written."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Result
from data.corpora import TINY, columns, make_score, tree, write_archive, write_corpus, write_midis
from midi_llm.music.read import read_midi
from midi_llm.music.write import to_midi_bytes
from midi_llm.tokens.dump import parse_dump

Run = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--vocabulary", "300", "--captions", "16", "--workers", "1", "--set", "stage1.rows=0"]
SMALL += [word for change in TINY for word in ("--set", change)]


def assert_refused(result: Result, *found: str) -> None:
    """Exit code 2, and a last line that says what is wrong."""
    assert result.code == 2
    assert "Traceback" not in result.err
    assert result.out == ""
    last = result.err.splitlines()[-1]
    assert last.startswith("midi-llm: error: ")
    assert result.err.count("midi-llm: error: ") == 1
    for part in found:
        assert part in last


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    return f"corpus:{write_corpus(tmp_path / 'corpus')}"


def test_build_stats_show_and_check(midi_llm: Run, corpus: str) -> None:
    built = midi_llm("data", "build", "--source", corpus, "--out", "ds", *SMALL)
    assert (built.code, built.out) == (0, "ds/card.html\n")
    assert "5 of 6 pieces" in built.err
    assert "unreadable" in built.err
    before = tree(Path("ds"))
    assert midi_llm("data", "build", "--source", corpus, "--out", "ds", *SMALL).code == 0
    assert tree(Path("ds")) == before

    stats = midi_llm("data", "stats", "ds", "--json")
    assert json.loads(stats.out)["dropped"] == {"unreadable": 1}
    assert "5 of 6 pieces" in midi_llm("data", "stats", "ds").out

    shown = midi_llm("data", "show", "ds", "2", "-o", "row.mid")
    assert (shown.code, shown.err) == (0, "row.mid\n")
    played = sum(line[:1] == " " and "REST" not in line for line in shown.out.splitlines())
    assert len(parse_dump(shown.out)) >= 3 * played > 60
    assert read_midi(Path("row.mid")).note_count > 20
    assert midi_llm("data", "show", "ds", "--row-set", "short/valid").out.startswith("# short/valid\n# row 0: ")

    checked = midi_llm("data", "check", "ds")
    assert (checked.code, len(checked.out.splitlines())) == (0, 4)
    assert_refused(midi_llm("data", "show", "ds", "2", "-o", "row.mid"), "row.mid exists")
    assert_refused(midi_llm("data", "show", "ds", "6"), "there are 6 rows, 0 to 5; there is no row 6")
    assert_refused(midi_llm("data", "show", "ds", "two"), "invalid int value: 'two'")
    assert_refused(midi_llm("data", "show", "ds", "--row-set", "x"), "there is no row set 'x'; there are short/train")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--source", "vinyl:x"], "'vinyl:x' is neither a folder nor one of: corpus:DIR"),
        (["--source", "folder:nowhere"], "nowhere is no folder"),
        (["--source", "corpus:nowhere"], "corpus.zip is missing"),
        (["--source", "lakh:nowhere"], "nowhere does not exist"),
        (["--source", ""], "is neither a folder nor one of"),
        (["--source", "folder:empty"], "has no MIDI file"),
        (["--source", "folder:midis", "--source", "folder:more/midis"], "two sources are called 'midis'"),
        (["--source", "folder:midis", "--workers", "-1"], "--workers is -1; allowed is 1 or more"),
        (["--source", "folder:midis", "--workers", "two"], "invalid int value: 'two'"),
        (["--source", "folder:midis", "--filters", "none"], "'none'; allowed are lenient, amt"),
        (["--source", "folder:midis", "--preset", "big"], "'big'; presets are nano, midi-llm-1b"),
        (["--source", "folder:midis", "--set", "short=3"], "'short=3' changes nothing"),
        (["--source", "folder:midis", "--set", "short.rows=-3"], "-3 and 2 rows"),
        (["--source", "folder:midis", "--set", "short.length=9"], "length is 9"),
        (["--source", "folder:midis", "--vocabulary", "8"], "allowed are 258 ids or more"),
        (["--source", "folder:midis", "--captions", "0"], "1 caption or more"),
        (["--source", "folder:midis", "--seed", "-4"], "a seed from 0 on"),
        (["--source", "folder:midis", "--exclude", "nowhere"], "--exclude nowhere cannot be read"),
        (["--source", "folder:midis", "--tokenizer", "empty"], "empty has no tokenizer.json"),
        (["--source", "folder:midis", "--tokenizer", "broken"], "is not a tokenizer that can be read"),
        (["--source", "folder:midis", "--rewrite"], "MIDI_LLM_REWRITE_URL"),
        (["--source", "folder:midis:nowhere.jsonl"], "nowhere.jsonl is missing"),
        (["--source", "folder:midis:twice.jsonl"], "lines 1 and 2 both describe 'song 100.mid'"),
        (["--source", "folder:midis:nobody.jsonl"], "0 of 1 captions name a file"),
        (["--source", "folder:midis:list.jsonl"], "line 1 is a JSON list"),
        (["--source", "folder:midis:bytes.jsonl"], "cannot be read as UTF-8"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is_written(
    midi_llm: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], found: str
) -> None:
    monkeypatch.delenv("MIDI_LLM_REWRITE_URL", raising=False)
    write_midis(Path("midis"), [100, 101])
    write_midis(Path("more/midis"), [102])
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/tokenizer.json").write_text("{")
    line = '{"file": "song 100.mid", "caption": "x"}\n'
    Path("twice.jsonl").write_text(line * 2)
    Path("nobody.jsonl").write_text(line.replace("song", "wrong"))
    Path("list.jsonl").write_text("[1]\n")
    Path("bytes.jsonl").write_bytes(b"\xff\xfe")
    assert_refused(midi_llm("data", "build", "--out", "out/ds", *SMALL, *arguments), found)
    assert not Path("out").exists()


def test_without_a_source_or_a_verb_the_usage_is_named(midi_llm: Run) -> None:
    assert_refused(midi_llm("data", "build", "--out", "ds"), "required: --source")
    assert_refused(midi_llm("data"), "required: VERB")
    for verb in ("stats", "show", "check"):
        assert_refused(midi_llm("data", verb, "nowhere"), "nowhere has no manifest.jsonl.gz; make it with")


def test_broken_files_are_skipped_and_counted(midi_llm: Run, tmp_path: Path) -> None:
    folder, good = write_midis(tmp_path / "midis"), to_midi_bytes(make_score(7))
    (folder / "text.mid").write_text("not music at all\n")
    (folder / "cut.MID").write_bytes(good[: len(good) // 2])
    (folder / "empty.kar").write_bytes(b"")
    (folder / "huge.mid").write_bytes(b"MThd" + bytes(17 * 2**20))
    (folder / "link.mid").symlink_to("/etc/hosts")
    captions = tmp_path / "captions.jsonl"
    nasty = ["A \x1b[2Jcalm\x00 waltz\u202e.\n\nSlow.", "\u200b", "<|end_of_text|>", "長い曲 " * 60, "x " * 3000]
    lines = [{"file": f"song {100 + i}.mid", "caption": text} for i, text in enumerate(nasty)]
    captions.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"file": "gone", "caption": "x"}]))
    result = midi_llm("data", "build", "--source", f"folder:{folder}:{captions}", "--out", "ds", *SMALL)
    assert result.code == 0, result.err
    dropped = json.loads(midi_llm("data", "stats", "ds", "--json").out)["dropped"]
    assert dropped == {"unreadable": 3, "caption without a file": 1, "symbolic link": 1, "too large": 1}
    assert midi_llm("data", "check", "ds").code == 0


def test_a_zip_bomb_and_members_that_lead_outside_are_skipped_and_counted(midi_llm: Run) -> None:
    pieces = [(columns(f"p{i}"), to_midi_bytes(make_score(i))) for i in range(5)]
    pieces += [(columns("bomb"), b"MThd" + bytes(30 * 2**20)), (columns("out", path="../out.mid"), pieces[0][1])]
    write_archive(Path("corpus"), pieces)
    assert midi_llm("data", "build", "--source", "corpus:corpus", "--out", "ds", *SMALL).code == 0
    assert json.loads(midi_llm("data", "stats", "ds", "--json").out)["dropped"] == {"too large": 1, "unsafe path": 1}
    assert not list(Path.cwd().parent.glob("out.mid"))


@pytest.mark.parametrize(
    ("name", "found"),
    [("manifest.jsonl.gz", "format 99, this program reads 1; upgrade"), ("build.json", "format_version was 99"),
     ("rows/short/train/shards.json", "format 99; this program reads 2: update"),
     ("index/corpus-00000.jsonl.gz", "format 99, this program reads 1; upgrade")],
)  # fmt: skip
def test_a_data_set_of_a_newer_version_is_left_alone(midi_llm: Run, corpus: str, name: str, found: str) -> None:
    build = ["data", "build", "--source", corpus, "--out", "ds", *SMALL]
    assert midi_llm(*build).code == 0
    path = Path("ds") / name
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(b'{"format_version":99,"rows":0}\n'))
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    if name.startswith("index"):
        Path("ds/manifest.jsonl.gz").unlink()
    before = tree(Path("ds"))
    assert_refused(midi_llm(*build), found)
    assert tree(Path("ds")) == before


def test_an_out_that_cannot_be_written_is_one_line(midi_llm: Run, corpus: str) -> None:
    Path("file").write_text("mine")
    for out in ("file", "file/ds"):
        assert_refused(midi_llm("data", "build", "--source", corpus, "--out", out, *SMALL), "could not be written")
    assert Path("file").read_text() == "mine"
    Path("used").mkdir()
    Path("used/diary.txt").write_text("mine")
    assert_refused(midi_llm("data", "build", "--source", corpus, "--out", "used", *SMALL), "used is not empty")
    assert list(tree(Path("used"))) == ["diary.txt"]


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 5, 6, 8, 11])
def test_a_full_disk_is_one_line_and_the_build_goes_on_when_there_is_room(
    midi_llm: Run, corpus: str, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    left = [writes]

    def fsync(number: int) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(28, "No space left on device")

    build = ["data", "build", "--source", corpus, *SMALL]
    assert midi_llm(*build, "--out", "whole/ds").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert_refused(midi_llm(*build, "--out", "full/ds"), "No space left on device; free some space")
    assert tree(Path("full/ds")).items() <= tree(Path("whole/ds")).items()
    assert midi_llm(*build, "--out", "full/ds").code == 0
    assert tree(Path("full/ds")) == tree(Path("whole/ds"))


@pytest.mark.parametrize(
    ("name", "place"), [("rows/short/train/00000.ids.npy", -300), ("pieces/corpus-00000.zip", 200)]
)
def test_check_finds_a_flipped_byte(midi_llm: Run, corpus: str, name: str, place: int) -> None:
    assert midi_llm("data", "build", "--source", corpus, "--out", "ds", *SMALL).code == 0
    data = bytearray(Path("ds", name).read_bytes())
    data[place] ^= 16
    Path("ds", name).write_bytes(data)
    result = midi_llm("data", "check", "ds")
    assert_refused(Result(result.code, "", result.err), Path(name).name, "build")


def test_a_text_row_has_no_music_to_write(midi_llm: Run) -> None:
    write_midis(Path("midis"))
    Path("texts").mkdir()
    Path("texts/a.jsonl").write_text("".join(json.dumps({"text": f"Harmony {i}. " * 90}) + "\n" for i in range(9)))
    sets = ["stage1.rows=3", "stage1.valid_rows=1", "stage1.length=256", "short.rows=0", "full.rows=0"]
    build = ["--vocabulary", "300", "--captions", "8", "--workers", "1"] + [w for s in sets for w in ("--set", s)]
    sources = ["--source", "folder:midis", "--source", "musicpile:texts"]
    assert midi_llm("data", "build", *sources, "--out", "ds", *build).code == 0
    shown = [midi_llm("data", "show", "ds", str(row), "-o", f"{row}.mid") for row in range(8)]
    texts = [one for one in shown if one.code == 2]
    assert texts
    assert all("is text alone; there is no music to write" in one.err for one in texts)
    assert len(list(Path().glob("*.mid"))) == len(shown) - len(texts)


def test_a_real_build_killed_with_9_goes_on_to_the_same_bytes(midi_llm: Run, corpus: str, tmp_path: Path) -> None:
    build = ["data", "build", "--source", corpus, *SMALL]
    assert midi_llm(*build, "--out", "whole/ds").code == 0
    command = [sys.executable, "-m", "midi_llm", *build, "--out", "killed/ds"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    codes = set()
    for files in (1, 7):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        while process.poll() is None and sum(path.is_file() for path in Path("killed").rglob("*")) < files:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        codes.add(process.wait())
    assert codes in ({-signal.SIGKILL}, {-signal.SIGKILL, 0})  # one of them may have come to its end
    assert midi_llm(*build, "--out", "killed/ds").code == 0
    assert tree(Path("killed/ds")) == tree(Path("whole/ds"))


def test_progress_ends_before_an_error_begins(midi_llm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_midis(Path("midis"), [100])
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    assert midi_llm("data", "build", "--source", "folder:midis", "--out", "ds", *SMALL).code == 2
    assert stream.getvalue().splitlines()[-1].startswith("midi-llm: error: of 1 pieces 1 can be trained on")


def test_the_large_preset_wants_the_tokenizer_of_its_model(midi_llm: Run) -> None:
    assert_refused(
        midi_llm("data", "build", "--source", "folder:midis", "--out", "x", "--preset", "midi-llm-1b"),
        "needs --tokenizer",
    )
