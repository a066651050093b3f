import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from midi_llm.tokens.vocab import (  # noqa: E402 - after the check for torch
    AUTOREGRESS,
    CONTROL_OFFSET,
    DUR_OFFSET,
    MUSIC_VOCAB_SIZE,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
)
from midi_llm.train.embedding import MusicEmbedding, fourier_features, training_ids  # noqa: E402
from midi_llm.train.loss import DURATION, NOTE, TEXT, TIME, slot_loss, target_slots  # noqa: E402

TEXT_ROWS, WIDTH = 40, 16


@pytest.fixture
def embedding():
    torch.manual_seed(0)
    module = MusicEmbedding(TEXT_ROWS, WIDTH)
    with torch.no_grad():
        module.residual.normal_(std=0.01)
    return module


def test_training_ids_pick_the_same_rows_from_both_tables(embedding):
    ids = torch.tensor([0, 39, 40, 40 + REST, 40 + SEPARATOR, 40 + AUTOREGRESS, 40 + MUSIC_VOCAB_SIZE - 1])
    whole, short = embedding.table(), embedding.training_table()
    assert whole.shape == (TEXT_ROWS + MUSIC_VOCAB_SIZE, WIDTH)
    torch.testing.assert_close(short[training_ids(ids, TEXT_ROWS)], whole[ids])


def test_control_rows_are_event_rows_without_residual_plus_one_row(embedding):
    table = embedding.table()[TEXT_ROWS:]
    difference = table[CONTROL_OFFSET:SEPARATOR] - (table[:REST] - embedding.residual[:REST])
    torch.testing.assert_close(difference, embedding.control.expand_as(difference))


def test_a_drum_has_a_pitch_row_of_its_own(embedding):
    notes = embedding.event_rows()[NOTE_OFFSET:REST] - embedding.residual[NOTE_OFFSET:REST]
    piano, violin, drums = notes[:128], notes[40 * 128 : 41 * 128], notes[128 * 128 :]
    torch.testing.assert_close(piano[60] - violin[60], piano[72] - violin[72])
    assert not torch.allclose(piano[60] - drums[60], piano[72] - drums[72])


def test_fourier_features_have_length_one_and_tell_neighbours_apart():
    features = fourier_features(torch.arange(10_000), 2, 20_000)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(10_000))
    similar = features @ features[5000]
    assert int(similar.argmax()) == 5000
    assert similar[5001] < 0.999


def test_slots_follow_the_span_and_mask_prompt_and_padding():
    spans = torch.tensor([[3, 9]])
    assert target_slots(spans, 11, with_text=False).tolist() == [
        [-1, -1, TIME, DURATION, NOTE, TIME, DURATION, NOTE, -1, -1]
    ]
    assert target_slots(spans, 5, with_text=True).tolist() == [[TEXT, -1, TIME, DURATION]]


def test_slot_loss_equals_a_softmax_over_the_slot_s_block_of_the_whole_table(embedding):
    rng = np.random.default_rng(0)
    music = [i for t in (0, 12, 24) for i in (t, DUR_OFFSET + 5, NOTE_OFFSET + 60)]
    ids = torch.tensor([[0, 7, 9, *(TEXT_ROWS + np.array([AUTOREGRESS, *music, SEPARATOR]))]])
    spans = torch.tensor([[4, ids.shape[1]]])
    hidden = torch.from_numpy(rng.normal(size=(1, ids.shape[1], WIDTH))).float()
    slots = target_slots(spans, ids.shape[1], with_text=True)
    loss = slot_loss(hidden, embedding.training_table(), training_ids(ids, TEXT_ROWS), slots, TEXT_ROWS)
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
        if slot >= 0:
            log_total = torch.logsumexp(logits[position, blocks[slot]], 0)
            expected[slot] += float(log_total - logits[position, ids[0, position + 1]])
    np.testing.assert_allclose(loss.nats.detach().numpy(), expected, rtol=1e-5)
    assert loss.counts.tolist() == [2, 4, 3, 3]
    bits = sum(e / c for e, c in zip(expected[1:], [4, 3, 3], strict=True)) / math.log(2)
    assert loss.bits_per_event() == pytest.approx(bits, rel=1e-5)
