import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from midi_llm.model.music_structure import PARTS, structure_features  # noqa: E402 - after the check for torch
from midi_llm.tokens.vocab import (  # noqa: E402 - after the check for torch
    ADUR_OFFSET,
    ANOTE_OFFSET,
    ANTICIPATE,
    ATIME_OFFSET,
    AUTOREGRESS,
    CONTROL_OFFSET,
    DUR_OFFSET,
    MUSIC_VOCAB_SIZE,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
)
from midi_llm.train.config import LossConfig  # noqa: E402
from midi_llm.train.embedding import MusicEmbedding, MusicStructure, TwoTables  # noqa: E402
from midi_llm.train.loss import (  # noqa: E402
    DURATION,
    NOTE,
    TEXT,
    TIME,
    position_nats,
    slot_loss,
    slot_sums,
    target_slots,
)

TEXT_ROWS, WIDTH = 40, 16


@pytest.fixture
def embedding():
    torch.manual_seed(0)
    module = MusicEmbedding(TEXT_ROWS, WIDTH)
    with torch.no_grad():
        module.residual.normal_(std=0.01)
        module.control.normal_(std=0.01)
    return module


def test_a_control_s_row_is_its_event_s_row_plus_one_row_per_block_that_starts_at_zero(embedding):
    assert not MusicEmbedding(TEXT_ROWS, WIDTH).control.any()
    table = embedding.table()[TEXT_ROWS:]
    assert table.shape == (MUSIC_VOCAB_SIZE, WIDTH)
    blocks = ((ATIME_OFFSET, ADUR_OFFSET), (ADUR_OFFSET, ANOTE_OFFSET), (ANOTE_OFFSET, SEPARATOR))
    for row, (start, stop) in zip(embedding.control, blocks, strict=True):
        difference = table[start:stop] - table[start - CONTROL_OFFSET : stop - CONTROL_OFFSET]
        torch.testing.assert_close(difference, row.expand_as(difference))


def test_a_drum_has_a_pitch_row_of_its_own(embedding):
    notes = embedding.event_rows()[NOTE_OFFSET:REST] - embedding.residual[NOTE_OFFSET:REST]
    piano, violin, drums = notes[:128], notes[40 * 128 : 41 * 128], notes[128 * 128 :]
    torch.testing.assert_close(piano[60] - violin[60], piano[72] - violin[72])
    assert not torch.allclose(piano[60] - drums[60], piano[72] - drums[72])


def test_parts_summed_block_by_block_are_features_times_parts(embedding):
    state = embedding.state_dict()
    parts = np.concatenate([state[name].numpy() for name in PARTS])
    with torch.no_grad():
        embedding.residual.zero_()
        table = embedding.table()[TEXT_ROWS:]
        structure = embedding.music_rows()
    expected = structure_features(np.arange(MUSIC_VOCAB_SIZE)) @ parts
    np.testing.assert_allclose(table.numpy(), expected, atol=1e-6)
    expected[[REST, *range(SEPARATOR, MUSIC_VOCAB_SIZE)]] = 0
    np.testing.assert_allclose(structure.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_shared_structure_starts_as_the_table_and_learns_together(tied):
    inputs, output = (torch.nn.Parameter(torch.randn(TEXT_ROWS + MUSIC_VOCAB_SIZE, 4)) for _ in range(2))
    tables = TwoTables(inputs, None if tied else output, music_rows=MUSIC_VOCAB_SIZE)
    tables.share_structure()
    one, two = tables()
    assert torch.equal(one, inputs)
    assert torch.equal(two, inputs if tied else output)
    two[TEXT_ROWS + 5000].sum().backward()  # one time
    structure = tables.input_structure if tied else tables.output_structure
    torch.optim.SGD(tables.parameters(), lr=0.1).step()
    moved = (tables()[1] - two).detach()[TEXT_ROWS:].norm(dim=1)
    assert moved[5000] > moved[5001] > moved[5100] > 0
    assert moved[5000 + CONTROL_OFFSET] > 0
    assert not moved[DUR_OFFSET:CONTROL_OFFSET].any(), "blocks share nothing"
    assert structure.time_matrix.any()
    torch.testing.assert_close(
        tables()[1][TEXT_ROWS:], (inputs if tied else output)[TEXT_ROWS:] + structure.music_rows()
    )


def test_every_part_of_a_structure_gets_a_gradient_from_its_rows():
    structure = MusicStructure(4, std=0.0)
    assert not structure.music_rows().any()
    structure.music_rows().sum().backward()
    assert all(part.grad.any() for part in structure.parameters())


EVENT = [5, DUR_OFFSET + 5, NOTE_OFFSET + 60]
LAST_EVENT = [DUR_OFFSET - 1, NOTE_OFFSET - 1, REST]
CONTROL = [i + CONTROL_OFFSET for i in EVENT]
LAST_CONTROL = [ADUR_OFFSET - 1, ANOTE_OFFSET - 1, SEPARATOR - 1]


def slots_of(ids, *, with_text, padding=0, positions=None):
    ids = torch.tensor([ids])
    places = torch.arange(ids.shape[1])
    positions = places[None] if positions is None else torch.tensor([positions])
    inside = (places < ids.shape[1] - padding)[None]
    return target_slots(ids, positions, inside, text_rows=TEXT_ROWS, with_text=with_text)[0].tolist()


def music(*ids):
    return [TEXT_ROWS + i for i in ids]


def test_events_and_the_separator_are_learned_text_on_request_padding_and_start_ids_never():
    ids = [0, 39, *music(AUTOREGRESS, *EVENT, *LAST_EVENT, SEPARATOR), 1, 1]
    events = [TIME, DURATION, NOTE] * 2 + [TIME]
    assert slots_of(ids, with_text=False, padding=2) == [-1, -1, *events, -1, -1]
    assert slots_of(ids, with_text=True, padding=2) == [TEXT, -1, *events, -1, -1]


def test_controls_are_given_and_the_id_after_them_is_learned():
    ids = [0, *music(ANTICIPATE, *CONTROL, *LAST_CONTROL, *EVENT, *CONTROL, *EVENT, SEPARATOR)]
    events = [TIME, DURATION, NOTE]
    assert slots_of(ids, with_text=True) == [-1, *[-1] * 6, *events, *[-1] * 3, *events, TIME]


def test_the_first_id_of_every_segment_is_not_learned():
    ids = [3, 4, 5, *music(*EVENT), 6, 7]
    assert slots_of(ids, with_text=True, positions=[0, 1, 2, 0, 1, 2, 0, 1]) == [
        TEXT, TEXT, -1, DURATION, NOTE, -1, TEXT
    ]  # fmt: skip


def test_slot_loss_equals_a_softmax_over_the_slot_s_block_of_the_whole_table(embedding):
    rng = np.random.default_rng(0)
    notes = [i for t in (0, 12, 24) for i in (t, DUR_OFFSET + 5, NOTE_OFFSET + 60)]
    ids = torch.tensor([[0, 7, 9, *music(ANTICIPATE, *CONTROL, *notes, SEPARATOR)]])
    hidden = torch.from_numpy(rng.normal(size=(1, ids.shape[1], WIDTH))).float()
    slots = torch.tensor([slots_of(ids[0].tolist(), with_text=True)])
    nats = position_nats(hidden, embedding.table(), ids, slots, text_rows=TEXT_ROWS, loss=LossConfig(chunk=3))
    loss = slot_loss(nats, slots)
    logits = (hidden @ embedding.table().T).detach().double()[0]
    music_rows = torch.arange(MUSIC_VOCAB_SIZE) + TEXT_ROWS
    blocks = {
        TEXT: torch.arange(TEXT_ROWS),
        DURATION: music_rows[DUR_OFFSET:NOTE_OFFSET],
        NOTE: music_rows[NOTE_OFFSET : REST + 1],
        TIME: torch.cat([music_rows[:DUR_OFFSET], music_rows[SEPARATOR : SEPARATOR + 1]]),
    }
    expected = [0.0] * 4
    for position, slot in enumerate(slots[0].tolist()):
        own = 0.0
        if slot >= 0:
            own = float(torch.logsumexp(logits[position, blocks[slot]], 0) - logits[position, ids[0, position + 1]])
            expected[slot] += own
        assert nats[0, position].item() == pytest.approx(own, rel=1e-5)
    np.testing.assert_allclose(loss.nats.detach().numpy(), expected, rtol=1e-5)
    assert loss.counts.tolist() == [2, 4, 3, 3]
    bits = sum(e / c for e, c in zip(expected[1:], [4, 3, 3], strict=True)) / math.log(2)
    assert loss.bits_per_event() == pytest.approx(bits, rel=1e-5)


def test_sums_by_slot_are_the_nats_by_position_added_up_over_slots_and_over_the_whole_vocabulary(embedding):
    ids = torch.tensor([[0, 7, 9, *music(AUTOREGRESS, *EVENT, *LAST_EVENT, SEPARATOR)]])
    hidden = torch.randn(1, ids.shape[1], WIDTH, generator=torch.Generator().manual_seed(1))
    slots = torch.tensor([slots_of(ids[0].tolist(), with_text=True)])
    totals = []
    for loss in (LossConfig(), LossConfig(over="vocabulary", chunk=2)):
        arguments = (hidden, embedding.table(), ids, slots)
        sums = slot_sums(*arguments, text_rows=TEXT_ROWS, loss=loss)
        nats = position_nats(*arguments, text_rows=TEXT_ROWS, loss=loss)
        torch.testing.assert_close(sums, slot_loss(nats, slots).nats)
        totals.append(sums)
    assert (totals[1] > totals[0]).all(), "the whole vocabulary takes mass from every slot"


def test_tables_of_a_checkpoint_train_their_music_rows_alone():
    inputs, output = (torch.nn.Parameter(torch.randn(50, 4)) for _ in range(2))
    tables = TwoTables(inputs, output, music_rows=30)
    tables.requires_grad_(False)
    tables.train_music_rows()
    one, two = tables()
    torch.testing.assert_close(one, inputs)
    torch.testing.assert_close(two, output)
    (one.sum() + two.sum()).backward()
    assert [name for name, p in tables.named_parameters() if p.grad is not None] == ["music_inputs", "music_output"]
    tied = TwoTables(inputs, None, music_rows=30)
    assert tied()[0] is tied()[1]
