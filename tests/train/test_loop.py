import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from midi_llm.data.tokenizer import train_text_tokenizer  # noqa: E402 - after the check for torch
from midi_llm.errors import DatasetError  # noqa: E402
from midi_llm.model.checkpoint import load_torch, verify_checkpoint  # noqa: E402
from midi_llm.train.config import TrainConfig, tiny_cpu  # noqa: E402
from midi_llm.train.export import export_stage  # noqa: E402
from midi_llm.train.loop import Trainer  # noqa: E402
from midi_llm.train.model import StructuredLlama  # noqa: E402
from train.shard_folders import TEXT_ROWS, packed_rows, single_rows, text_segment, write_rows  # noqa: E402


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return single_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_rows(tmp_path_factory.mktemp("packed"))


def trainer(rows, out, **changes):
    config = replace(tiny_cpu(text_rows=TEXT_ROWS), **changes)
    return Trainer(config, rows=rows, validation=rows, out=out)


def logged(out):
    return [json.loads(line) for line in (out / "logbook.jsonl").read_text().splitlines()]


def losses(out):
    return [(r["step"], r["loss"], r.get("validation")) for r in logged(out)]


def test_training_lowers_the_loss(rows, tmp_path):
    trainer(rows, tmp_path, steps=12, checkpoint_every=100, validate_every=6).run()
    book = logged(tmp_path)
    assert [r["step"] for r in book] == list(range(1, 13))
    assert book[-1]["loss"] < book[0]["loss"] - 0.3
    assert book[-1]["validation"]["bits_per_event"] < book[5]["validation"]["bits_per_event"]


def test_packed_rows_with_text_and_controls_train_and_validate_by_kind_and_source(packed, tmp_path):
    trainer(packed, tmp_path, steps=12, train_on_prompt=True, validate_every=6, validation_rows=99).run()
    first, last = (r["validation"] for r in logged(tmp_path) if "validation" in r)
    assert last["text"] < first["text"]
    assert set(last["by_kind"]) == {"plain", "instrument"}, "text has no bits per event"
    assert set(last["by_source"]) == {"bandgen", "mutopia"}
    for bits in (last["by_kind"], last["by_source"]):
        assert min(bits.values()) <= last["bits_per_event"] <= max(bits.values())
    for group in ("by_kind", "by_source"):
        assert all(last[group][name] < first[group][name] for name in last[group])


def test_a_stopped_run_goes_on_with_equal_losses_and_weights(rows, tmp_path):
    whole = trainer(rows, tmp_path / "whole")
    whole.run()
    trainer(rows, tmp_path / "parts").run(until=2)
    resumed = trainer(rows, tmp_path / "parts")
    assert resumed.step == 2
    resumed.run()
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    for (name, one), two in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_steps_after_the_last_state_are_taken_and_logged_again(rows, tmp_path):
    trainer(rows, tmp_path / "whole").run()
    killed = trainer(rows, tmp_path / "killed")
    killed.run(until=2)
    killed.save_state = lambda: None  # as after kill -9: step 3 was logged, its state was not written
    killed.run(until=3)
    with (tmp_path / "killed/logbook.jsonl").open("a") as logbook:
        logbook.write('{"step": 4, "lo')  # a line cut short
    trainer(rows, tmp_path / "killed").run()
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_resuming_with_other_settings_names_them(rows, tmp_path):
    trainer(rows, tmp_path).run(until=1)
    with pytest.raises(DatasetError, match="adam_lr, steps differ"):
        trainer(rows, tmp_path, steps=9, adam_lr=0.5)


def test_rows_of_another_tokenizer_are_refused(rows, tmp_path):
    with pytest.raises(DatasetError, match="300 text ids, the model 512"):
        Trainer(tiny_cpu(), rows=rows, validation=rows, out=tmp_path)


def test_rows_longer_than_the_model_and_text_that_nothing_learns_are_refused(rows, packed, tmp_path):
    short = replace(tiny_cpu(text_rows=TEXT_ROWS).shape, positions=64)
    with pytest.raises(DatasetError, match="128 ids, the model 64 positions"):
        trainer(rows, tmp_path, shape=short)
    with pytest.raises(DatasetError, match="hold text, of which tiny_cpu learns nothing"):
        trainer(packed, tmp_path)


def test_text_alone_trains_too(tmp_path):
    texts = write_rows(tmp_path / "texts", [[text_segment(i)] for i in range(4)])
    trainer(texts, tmp_path / "out", steps=4, train_on_prompt=True).run()
    book = logged(tmp_path / "out")
    assert book[-1]["text"] < book[0]["text"]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_state(rows, tmp_path):
    run = trainer(rows, tmp_path)
    run.run(until=2)
    before = (tmp_path / "state.pt").read_bytes()
    with torch.no_grad():
        run.model.embedding.time_matrix.fill_(float("nan"))
    with pytest.raises(DatasetError, match="step 2, rows"):
        run.run()
    assert (tmp_path / "state.pt").read_bytes() == before


def test_the_second_stage_starts_from_the_first_one_s_weights(rows, tmp_path):
    trainer(rows, tmp_path / "one").run()
    config = replace(tiny_cpu(text_rows=TEXT_ROWS), name="two")
    second = Trainer(config, rows=rows, validation=rows, out=tmp_path / "two", start_from=tmp_path / "one/state.pt")
    first = trainer(rows, tmp_path / "one")
    assert second.step == 0
    assert torch.equal(second.model.embedding.time_matrix, first.model.embedding.time_matrix)


def test_the_learning_rate_warms_up_stays_and_falls():
    config = TrainConfig(name="x", steps=100, batch_rows=1, warmup_steps=10, decay_from=0.5)
    scales = [config.lr_scale(step) for step in range(101)]
    assert scales[0] == pytest.approx(0.1)
    assert scales[9:51] == [1.0] * 42
    assert scales[75] == pytest.approx(0.5)
    assert scales[100] == 0.0
    assert all(a >= b for a, b in itertools.pairwise(scales[50:]))


def test_an_exported_stage_is_a_plain_llama_with_the_same_hidden_states(rows, tmp_path):
    run = trainer(rows, tmp_path / "stage")
    run.run()
    tokenizer = train_text_tokenizer(["a calm rock piece"] * 3, size=TEXT_ROWS)
    folder = export_stage(tmp_path / "stage", tmp_path / "checkpoint", tokenizer=tokenizer, name="tiny")
    info = verify_checkpoint(folder)
    assert (info.text_rows, info.hidden_size, info.layers) == (TEXT_ROWS, 32, 2)
    model = load_torch(folder, dtype=torch.float32)
    ids = torch.from_numpy(rows.batch(np.arange(2)).ids[:, :100])
    structured: StructuredLlama = run.model.eval()
    with torch.no_grad():
        embedded = structured.embedding.table()[ids]
        ours = structured.body(inputs_embeds=embedded, use_cache=False).last_hidden_state
        theirs = model.model(ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=0.1, rtol=0.1)  # bf16 weights on disk


def test_export_without_a_state_says_so(tmp_path):
    tokenizer = train_text_tokenizer(["a"], size=TEXT_ROWS)
    with pytest.raises(DatasetError, match="train the stage first"):
        export_stage(tmp_path, tmp_path / "c", tokenizer=tokenizer, name="x")
