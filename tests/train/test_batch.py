from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from midi_llm.data.shards import KIND, KINDS  # noqa: E402 - after the check for torch
from midi_llm.tokens.vocab import CONTROL_OFFSET, SEPARATOR  # noqa: E402
from midi_llm.train.batch import train_batch  # noqa: E402
from midi_llm.train.config import with_changes  # noqa: E402
from midi_llm.train.model import build_model  # noqa: E402
from midi_llm.train.recipes import tiny_cpu  # noqa: E402
from train.shard_folders import TEXT_ROWS, music_segment, text_segment, write_rows  # noqa: E402


@pytest.fixture(scope="module")
def model():
    model = build_model(with_changes(tiny_cpu(), [f"shape.text_rows={TEXT_ROWS}", "compute.precision=fp32"])).eval()
    with torch.no_grad():
        for weight in model.body.parameters():  # blocks start as the identity: let attention do something
            weight.normal_(std=0.3)
    return model


@pytest.fixture(scope="module")
def segments():
    return [
        [music_segment(1, notes=20), text_segment(2, count=21), music_segment(3, notes=13, kind="instrument")],
        [music_segment(4, notes=9)],
        [text_segment(5, count=1), text_segment(6, count=1), music_segment(7, notes=25)],
    ]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_row_gives_each_segment_the_hidden_states_it_has_alone(model, segments, tmp_path, attention):
    shards = write_rows(tmp_path, segments, length=200)
    model.body.config._attn_implementation = attention
    packed = train_batch(shards, np.arange(3), with_text=True)
    with torch.no_grad():
        together, _ = model.hidden(packed.ids, packed.positions)
        for place, row in enumerate(segments):
            at = 0
            for segment in row:
                ids = torch.from_numpy(segment.ids)[None]
                alone, _ = model.hidden(ids, torch.arange(ids.shape[1])[None])
                end = at + ids.shape[1]
                torch.testing.assert_close(together[place, at:end], alone[0], atol=1e-5, rtol=1e-5)
                at = end
        unpacked, _ = model.hidden(packed.ids, torch.arange(packed.ids.shape[1])[None])
    assert not torch.allclose(unpacked[0, 65:80], together[0, 65:80], atol=1e-2), "segments would see one another"


def test_the_loss_of_packed_rows_is_that_of_their_segments(model, segments, tmp_path):
    packed = train_batch(write_rows(tmp_path / "p", segments, length=200), np.arange(3), with_text=True)
    alone = write_rows(tmp_path / "a", [[s] for row in segments for s in row], length=200)
    single = [train_batch(alone, np.array([i]), with_text=True) for i in range(len(alone))]

    def nats(batch):
        return model.position_nats(batch.ids, batch.positions, batch.slots)

    assert sum(int((b.slots >= 0).sum()) for b in single) == int((packed.slots >= 0).sum())
    torch.testing.assert_close(nats(packed).sum(), sum(nats(b).sum() for b in single), rtol=1e-4, atol=1e-3)


def test_a_batch_says_where_segments_begin_whose_each_id_is_and_what_is_learned(segments, tmp_path):
    batch = train_batch(write_rows(tmp_path, segments, length=200), np.array([2, 0]), with_text=False)
    counts = [[len(s.ids) for s in row] for row in (segments[2], segments[0])]
    for place, row in enumerate(counts):
        expected = [position for count in row for position in range(count)]
        assert batch.positions[place, : len(expected)].tolist() == expected
        padding = batch.positions[place, len(expected) :].tolist()
        assert padding == [row[-1] + i for i in range(len(padding))]
        assert (batch.slots[place, len(expected) - 1 :] == -1).all()
    assert batch.owners[0, :3].tolist() == [1, 2, 2]
    assert [KINDS[k] for k in batch.segments[batch.owners[1].unique(), KIND]] == ["plain", "text", "instrument"]
    music = (batch.ids >= TEXT_ROWS) & (batch.ids < TEXT_ROWS + CONTROL_OFFSET) | (batch.ids == TEXT_ROWS + SEPARATOR)
    torch.testing.assert_close(batch.slots >= 0, music[:, 1:])


def test_whole_rows_are_the_same_with_more_padding(segments, tmp_path):
    rows = write_rows(tmp_path, segments, length=200)
    cut, whole = (train_batch(rows, np.array([0, 2]), with_text=True, whole=whole) for whole in (False, True))
    length = cut.ids.shape[1]
    assert whole.ids.shape[1] == 200 > length
    for name, end in (("ids", length), ("positions", length), ("slots", length - 1), ("owners", length - 1)):
        assert torch.equal(getattr(whole, name)[:, :end], getattr(cut, name)), name
    assert (whole.slots[:, length - 1 :] == -1).all()


def test_control_rows_are_trained_by_rows_with_controls_and_by_no_others(model, tmp_path):
    for kind, moved in (("plain", False), ("instrument", True)):
        shards = write_rows(tmp_path / kind, [[music_segment(3, notes=20, kind=kind)]])
        batch = train_batch(shards, np.array([0]), with_text=False)
        model.zero_grad()
        model(batch.ids, batch.positions, batch.slots).sum().backward()
        assert model.tables.control.grad.any(dim=1).tolist() == [moved] * 3


def test_a_segment_of_other_ids_than_the_row_s_changes_only_itself(model, tmp_path):
    one = [music_segment(1, notes=10), music_segment(2, notes=10)]
    ids = one[0].ids.copy()
    ids[:4] = 7
    other = [replace(one[0], ids=ids), one[1]]
    rows = train_batch(write_rows(tmp_path, [one, other], length=200), np.arange(2), with_text=True)
    with torch.no_grad():
        hidden, _ = model.hidden(rows.ids, rows.positions)
    start = len(one[0].ids)
    torch.testing.assert_close(hidden[0, start:], hidden[1, start:])
    assert not torch.allclose(hidden[0, 10:start], hidden[1, 10:start])
