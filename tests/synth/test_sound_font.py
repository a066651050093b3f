"""Sound fonts: which files are one, and where they are looked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from midi_llm.errors import SynthesisError
from midi_llm.synth import sound_font
from midi_llm.synth.sound_font import SOUND_FONT_VARIABLE, find_sound_font, open_sound_font
from synth.stand_in import font_bytes


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two empty folders in place of the usual ones."""
    found = tmp_path / "one", tmp_path / "two"
    for folder in found:
        folder.mkdir()
    monkeypatch.setattr(sound_font, "USUAL_FOLDERS", tuple(map(str, found)))
    monkeypatch.delenv(SOUND_FONT_VARIABLE, raising=False)
    return found


def test_a_font_is_recorded_by_name_and_checksum(tmp_path: Path) -> None:
    path = tmp_path / "my font.sf3"
    path.write_bytes(font_bytes(b"sounds"))
    font = open_sound_font(path)
    assert (font.name, font.sha256) == ("my font.sf3", hashlib.sha256(font_bytes(b"sounds")).hexdigest())
    assert font.path.samefile(path)


def test_a_link_is_recorded_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real.sf2").write_bytes(font_bytes())
    (tmp_path / "default.sf2").symlink_to(tmp_path / "real.sf2")
    assert open_sound_font(tmp_path / "default.sf2").name == "real.sf2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a sound font"),
        (b"RIFF\x04\x00\x00\x00WAVE", "not a sound font"),
        (b"version https://git-lfs", "not a sound font: it begins with b'version"),
        (font_bytes(b"sounds")[:-1], "truncated"),
        (font_bytes(b"sounds") + b"x", "damaged"),
    ],
)
def test_other_files_are_refused_with_what_they_are(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "font.sf2"
    path.write_bytes(content)
    with pytest.raises(SynthesisError, match=message):
        open_sound_font(path)


@pytest.mark.parametrize("name", ["missing.sf2", ".", "nul\0.sf2"])
def test_a_path_that_cannot_be_read_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(SynthesisError, match=r"cannot be read.*apt install"):
        open_sound_font(tmp_path / name)


def test_no_font_is_none(folders: tuple[Path, Path]) -> None:
    (folders[0] / "unknown.sf2").write_bytes(font_bytes())
    assert find_sound_font() is None


def test_the_better_name_wins_wherever_it_lies(folders: tuple[Path, Path]) -> None:
    (folders[0] / "TimGM6mb.sf2").write_bytes(font_bytes())
    assert find_sound_font() == open_sound_font(folders[0] / "TimGM6mb.sf2")
    (folders[1] / "FluidR3_GM.sf2").write_bytes(font_bytes())
    assert find_sound_font() == open_sound_font(folders[1] / "FluidR3_GM.sf2")


def test_the_variable_comes_first_and_is_not_passed_over_when_wrong(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders[0] / "FluidR3_GM.sf2").write_bytes(font_bytes())
    (tmp_path / "own.sf2").write_bytes(font_bytes())
    monkeypatch.setenv(SOUND_FONT_VARIABLE, str(tmp_path / "own.sf2"))
    assert find_sound_font() == open_sound_font(tmp_path / "own.sf2")
    monkeypatch.setenv(SOUND_FONT_VARIABLE, str(tmp_path / "gone.sf2"))
    with pytest.raises(SynthesisError, match=r"gone\.sf2 cannot be read"):
        find_sound_font()


def test_without_a_home_the_folders_of_the_machine_remain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_home(path: Path) -> Path:
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    (tmp_path / "default.sf2").write_bytes(font_bytes())
    monkeypatch.setattr(sound_font, "USUAL_FOLDERS", ("~/fonts", str(tmp_path)))
    monkeypatch.delenv(SOUND_FONT_VARIABLE, raising=False)
    monkeypatch.setattr(Path, "expanduser", no_home)
    found = find_sound_font()
    assert found is not None
    assert found.path == tmp_path / "default.sf2"
