from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sources.layouts import midi, reasons, write_tar, write_zip
from midi_llm.data.sources.archive import Limits, Member, is_safe_name, tar_members, zip_members
from midi_llm.data.sources.base import Skipped
from midi_llm.errors import DatasetError

SMALL = Limits(member_bytes=2000, ratio=50, members=20, total_bytes=5000)


def read_zip(path: Path, *names: str, limits: Limits = SMALL) -> list[Member | Skipped]:
    return list(zip_members(path, source="s", names=names, limits=limits))


def read_tar(path: Path, limits: Limits = SMALL) -> list[Member | Skipped]:
    return list(tar_members(path, source="s", wanted=lambda number, name: True, limits=limits))


def names_of(items: list[Member | Skipped]) -> list[str]:
    return [item.name for item in items if isinstance(item, Member)]


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def test_zip_members_come_in_the_order_asked_for(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("x/1.mid", midi(1)), ("2.mid", midi(2))])
    assert read_zip(path, "2.mid", "x/1.mid") == [
        Member(name="2.mid", data=midi(2)),
        Member(name="x/1.mid", data=midi(1)),
    ]


def test_a_zip_refuses_what_is_unsafe(tmp_path: Path) -> None:
    link, device = zipfile.ZipInfo("link.mid"), zipfile.ZipInfo("device.mid")
    link.external_attr, device.external_attr = (stat.S_IFLNK | 0o777) << 16, (stat.S_IFCHR | 0o666) << 16
    names = ["../up.mid", "/root.mid", "C:/x.mid", "a/../../b.mid"]
    path = write_zip(tmp_path / "a.zip", [(link, b"/etc/passwd"), (device, b""), *((name, midi(0)) for name in names)])
    found = reasons(read_zip(path, "link.mid", "device.mid", *names, "absent.mid"))
    assert found == {
        "link.mid": "not a regular file",
        "device.mid": "not a regular file",
        **dict.fromkeys(names, "unsafe path"),
        "absent.mid": "not in the archive",
    }


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("a.mid", midi(1)), ("b.mid", midi(2)), ("a.mid", midi(3))])
    items = read_zip(path, "a.mid", "b.mid")
    assert reasons(items) == {"a.mid": "duplicate name"}
    assert names_of(items) == ["b.mid"]


def test_zip_bombs_are_not_unpacked(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep.mid", bytes(10**6))
    path = write_zip(tmp_path / "a.zip", [("big.mid", bytes(10**6)), ("tight.mid", bytes(1990)), ("in.mid", b"\0" * 9)])
    assert reasons(read_zip(path, "big.mid", "tight.mid")) == {
        "big.mid": "too large",
        "tight.mid": "packed too tightly",
    }
    nested = write_zip(tmp_path / "b.zip", [("nested.mid", inner.getvalue())])
    assert [item.data for item in read_zip(nested, "nested.mid") if isinstance(item, Member)] == [inner.getvalue()]


@pytest.mark.parametrize("stated", [100, 1500])
def test_a_zip_with_a_lying_size_is_caught(tmp_path: Path, stated: int) -> None:
    noise = bytes(range(256)) * 4
    path = write_zip(tmp_path / "a.zip", [("lie.mid", noise), ("good.mid", midi(1))])
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02")
    for offset in (22, directory + 24):  # the stated size in the member's header and in the directory
        data = data[:offset] + struct.pack("<I", stated) + data[offset + 4 :]
    path.write_bytes(data)
    items = read_zip(path, "lie.mid", "good.mid")
    assert reasons(items) == {"lie.mid": "damaged member"}
    assert names_of(items) == ["good.mid"]


def test_encrypted_zip_members_are_skipped(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("a.mid", midi(1))])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert reasons(read_zip(path, "a.mid")) == {"a.mid": "encrypted"}


def test_a_zip_stops_at_its_total(tmp_path: Path) -> None:
    noise = [bytes((i * j) % 251 for j in range(1800)) for i in (3, 5, 7)]
    path = write_zip(tmp_path / "a.zip", [(f"{i}.mid", data) for i, data in enumerate(noise)])
    items = read_zip(path, "0.mid", "1.mid", "2.mid")
    assert names_of(items) == ["0.mid", "1.mid"]
    assert reasons(items) == {"a.zip": "archive is too large"}


def test_a_zip_without_a_directory_is_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("a.mid", midi(1))])
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match="cannot be read as a zip file"):
        read_zip(path, "a.mid")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_tar_members_come_in_order_and_directories_do_not(tmp_path: Path, name: str) -> None:
    folder = special("x", tarfile.DIRTYPE)
    path = write_tar(tmp_path / name, [(folder, b""), ("x/1.mid", midi(1)), ("x/2.mid", b""), ("3.mid", midi(3))])
    assert read_tar(path) == [
        Member(name="x/1.mid", data=midi(1)),
        Member(name="x/2.mid", data=b""),
        Member(name="3.mid", data=midi(3)),
    ]


def test_a_tar_refuses_what_is_unsafe(tmp_path: Path) -> None:
    members = [
        (special("soft.mid", tarfile.SYMTYPE), b""),
        (special("hard.mid", tarfile.LNKTYPE), b""),
        (special("device.mid", tarfile.CHRTYPE), b""),
        (special("pipe.mid", tarfile.FIFOTYPE), b""),
        ("../up.mid", midi(0)),
        ("/root.mid", midi(0)),
        ("bell\a.mid", midi(0)),
        ("good.mid", midi(1)),
        ("good.mid", midi(2)),
        ("long.mid", bytes(2001)),
    ]
    items = read_tar(write_tar(tmp_path / "a.tar", members))
    assert reasons(items) == {
        **dict.fromkeys(["soft.mid", "hard.mid", "device.mid", "pipe.mid"], "not a regular file"),
        **dict.fromkeys(["../up.mid", "/root.mid", r"bell\x07.mid"], "unsafe path"),
        "good.mid#8": "duplicate name",
        "long.mid": "too large",
    }
    assert [item for item in items if isinstance(item, Member)] == [Member(name="good.mid", data=midi(1))]


def test_a_gzip_bomb_is_left_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar.gz", [("good.mid", midi(1)), ("bomb.mid", bytes(3 * 10**6)), ("x.mid", midi(2))])
    items = read_tar(path, Limits(member_bytes=10**7, ratio=200))
    assert names_of(items) == ["good.mid"]
    assert reasons(items) == {"a.tar.gz": "archive is too large"}


def test_too_many_members_end_the_reading(tmp_path: Path) -> None:
    items = read_tar(write_tar(tmp_path / "a.tar", [(f"{i}.mid", b"x") for i in range(25)]))
    assert (len(names_of(items)), reasons(items)) == (20, {"a.tar": "archive is too large"})


def header(name: str, size: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar header with the size field written as given."""
    block = bytearray(special(name, kind).tobuf())
    block[124:136] = size.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "block",
    [
        header("huge.mid", b"\x80" + bytes(6) + b"\x7f\xff\xff\xff\xff"),
        header("negative.mid", b"\xff" * 11 + b"\x00"),
        header("comment", b"\x80" + bytes(6) + b"\x7f\xff\xff\xff\xff", tarfile.XHDTYPE),
        header("name", b"\xff" * 10 + b"\xf0\x00", tarfile.GNUTYPE_LONGNAME),
        header("holes.mid", b"\xff" * 10 + b"\xfe\x00", tarfile.GNUTYPE_SPARSE),
    ],
    ids=["huge", "negative", "huge pax", "negative long name", "negative sparse"],
)
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_lying_tar_header_ends_the_reading(tmp_path: Path, name: str, block: bytes) -> None:
    good = header("good.mid", b"%011o" % 84) + midi(1).ljust(512, b"\0")
    data = good + block + bytes(1024)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    items = read_tar(path)
    assert names_of(items) == ["good.mid"]
    assert set(reasons(items).values()) <= {
        "archive is damaged",
        "archive is too large",
        "too large",
        "not a regular file",
    }
    assert reasons(items)


def test_a_tar_that_breaks_between_members_is_damaged(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.mid", midi(1)), ("2.mid", midi(2))])
    whole = path.read_bytes()
    for data in (whole[:1024], whole[:1300], whole[:1024] + b"\xff" * 512 + whole[1536:]):
        path.write_bytes(data)
        items = read_tar(path)
        assert (names_of(items), reasons(items)) == (["1.mid"], {"a.tar": "archive is damaged"})


def test_a_sparse_tar_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(header("holes.mid", b"%011o" % 0, tarfile.GNUTYPE_SPARSE) + bytes(1024))
    assert reasons(read_tar(path)) == {"holes.mid": "not a regular file"}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_what_was_read_of_a_truncated_tar_counts(tmp_path: Path, name: str) -> None:
    members = [(f"{i}.mid", bytes((i * j + 7) % 253 for j in range(900))) for i in range(1, 6)]
    path = write_tar(tmp_path / name, members)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 5])
    items = read_tar(path, Limits())
    assert 1 <= len(names_of(items)) < 5
    assert reasons(items) == {name: "archive is damaged"}
    path.write_bytes(whole[:20])
    with pytest.raises(DatasetError, match=r"cannot be read as \.tar"):
        read_tar(path)


@given(flips=st.lists(st.tuples(st.integers(0, 5119), st.integers(0, 255)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_damage_to_a_tar_is_an_item_or_a_dataset_error(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    path = write_tar(tmp_path_factory.getbasetemp() / "fuzz.tar", [(f"{i}.mid", midi(i)) for i in range(4)])
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[place] = value
    path.write_bytes(data)
    try:
        items = read_tar(path)
    except DatasetError:
        return
    assert all(is_safe_name(item.name) and len(item.data) <= 2000 for item in items if isinstance(item, Member))


@given(st.text(max_size=30))
def test_a_safe_name_stays_inside(name: str) -> None:
    if is_safe_name(name):
        root = Path("/somewhere/deep")
        assert root in (root / name).parents
        assert ".." not in Path(name).parts
