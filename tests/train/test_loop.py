import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from midi_llm.data.tokenizer import train_text_tokenizer  # noqa: E402 - after the check for torch
from midi_llm.errors import DatasetError, TrainingError  # noqa: E402
from midi_llm.model.checkpoint import load_torch, verify_checkpoint  # noqa: E402
from midi_llm.train.config import with_changes  # noqa: E402
from midi_llm.train.export import export_stage  # noqa: E402
from midi_llm.train.loop import Trainer  # noqa: E402
from midi_llm.train.recipes import tiny_cpu  # noqa: E402
from midi_llm.train.state import last_state  # noqa: E402
from train.shard_folders import TEXT_ROWS, packed_rows, single_rows, text_segment, write_rows  # noqa: E402

PROMPTED = ("loss.on_prompt=true",)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return single_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_rows(tmp_path_factory.mktemp("packed"))


def tiny(*changes):
    return with_changes(tiny_cpu(), [f"shape.text_rows={TEXT_ROWS}", *changes])


def trainer(rows, out, *changes, **places):
    return Trainer(tiny(*changes), rows=rows, validation=rows, out=out, **places)


def logged(out):
    return [json.loads(line) for line in (out / "logbook.jsonl").read_text().splitlines()]


def losses(out):
    return [(r["step"], r["loss"], r.get("validation")) for r in logged(out)]


def test_training_lowers_the_loss(rows, tmp_path):
    trainer(rows, tmp_path, "steps=12", "checkpoint_every=100", "validate_every=6").run()
    book = logged(tmp_path)
    assert [r["step"] for r in book] == list(range(1, 13))
    assert book[-1]["loss"] < book[0]["loss"] - 0.3
    assert book[-1]["validation"]["bits_per_event"] < book[5]["validation"]["bits_per_event"]


def test_packed_rows_with_text_and_controls_train_and_validate_by_kind_and_source(packed, tmp_path):
    trainer(packed, tmp_path, "steps=12", *PROMPTED, "validate_every=6", "validation_rows=99").run()
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
    trainer(rows, tmp_path / "killed").run(until=2)
    with (tmp_path / "killed/logbook.jsonl").open("a") as logbook:
        logbook.write(
            '{"step": 3, "loss": 9.9}\n{"step": 4, "validation": {"x": {}}'
        )  # as after kill -9, the last line cut short
    trainer(rows, tmp_path / "killed").run()
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_resuming_with_other_settings_names_them(rows, tmp_path):
    trainer(rows, tmp_path).run(until=1)
    with pytest.raises(DatasetError, match=r"settings.optim.lr was 0.002, is now 0.5; settings.steps was 4, is now 9"):
        trainer(rows, tmp_path, "steps=9", "optim.lr=0.5")
    trainer(rows, tmp_path, "compute.micro_rows=1").run(until=2)  # how the work is done may change


def test_rows_of_another_tokenizer_are_refused(rows, tmp_path):
    with pytest.raises(DatasetError, match="300 text ids, the model 512"):
        Trainer(tiny_cpu(), rows=rows, validation=rows, out=tmp_path)


def test_rows_longer_than_the_model_and_text_that_nothing_learns_are_refused(rows, packed, tmp_path):
    with pytest.raises(DatasetError, match="128 ids, the model 64 positions"):
        trainer(rows, tmp_path, "shape.positions=64")
    with pytest.raises(DatasetError, match="hold text, of which tiny_cpu learns nothing"):
        trainer(packed, tmp_path)


def test_text_alone_trains_too(tmp_path):
    texts = write_rows(tmp_path / "texts", [[text_segment(i)] for i in range(4)])
    trainer(texts, tmp_path / "out", *PROMPTED).run()
    book = logged(tmp_path / "out")
    assert book[-1]["text"] < book[0]["text"]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_state(rows, tmp_path):
    run = trainer(rows, tmp_path)
    run.run(until=2)
    with torch.no_grad():
        run.model.tables.time_matrix.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 3, rows \["):
        run.run()
    assert last_state(tmp_path).name == "00000002"
    trainer(rows, tmp_path).run()


def test_the_second_stage_starts_from_the_first_one_s_weights(rows, tmp_path):
    trainer(rows, tmp_path / "one").run()
    second = trainer(rows, tmp_path / "two", "name=two", start_from=tmp_path / "one")
    first = trainer(rows, tmp_path / "one")
    assert second.step == 0
    assert torch.equal(second.model.tables.time_matrix, first.model.tables.time_matrix)


def test_an_exported_stage_is_a_plain_llama_with_the_same_hidden_states(rows, tmp_path):
    run = trainer(rows, tmp_path / "stage")
    run.run()
    tokenizer = train_text_tokenizer(["a calm rock piece"] * 3, size=TEXT_ROWS)
    folder = export_stage(tmp_path / "stage", tmp_path / "checkpoint", tokenizer=tokenizer, name="tiny")
    info = verify_checkpoint(folder)
    assert (info.text_rows, info.hidden_size, info.layers) == (TEXT_ROWS, 32, 2)
    model = load_torch(folder, dtype=torch.float32)
    ids = torch.from_numpy(rows.batch(np.arange(2)).ids[:, :100])
    with torch.no_grad():
        ours, _ = run.model.eval().hidden(ids, torch.arange(100)[None])
        theirs = model.model(ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=0.1, rtol=0.1)  # bf16 weights on disk


def test_export_without_a_state_says_so(tmp_path):
    tokenizer = train_text_tokenizer(["a"], size=TEXT_ROWS)
    with pytest.raises(TrainingError, match="train the stage first"):
        export_stage(tmp_path, tmp_path / "c", tokenizer=tokenizer, name="x")


def test_parts_of_a_step_add_up_to_the_step(rows, tmp_path):
    """The mean is over the step's positions, not over its parts'. AdamW, since Muon multiplies in bfloat16."""
    for name, micro in (("whole", "none"), ("parts", "1")):
        settings = ("compute.precision=fp32", f"compute.micro_rows={micro}", "batch_rows=3", "optim.matrix_lr=none")
        trainer(rows, tmp_path / name, *settings).run()
    for one, two in zip(losses(tmp_path / "whole"), losses(tmp_path / "parts"), strict=True):
        assert one[1] == pytest.approx(two[1], abs=2e-5)


@pytest.mark.parametrize(
    "changes",
    [
        ("compute.checkpoint_activations=true",),
        ("loss.over=vocabulary", "optim.matrix_lr=none", "optim.schedule=cosine"),
        ("shape.music_rows=plain",),
    ],
)
def test_settings_train_too(rows, tmp_path, changes):
    trainer(rows, tmp_path, "compute.precision=fp32", "steps=8", *changes).run()
    book = logged(tmp_path)
    assert book[-1]["loss"] < book[0]["loss"]


def test_activation_checkpoints_change_no_number(rows, tmp_path):
    for name, value in (("kept", "false"), ("again", "true")):
        trainer(rows, tmp_path / name, f"compute.checkpoint_activations={value}").run()
    assert losses(tmp_path / "kept") == losses(tmp_path / "again")


def test_a_state_that_cannot_be_written_leaves_the_one_before(rows, tmp_path, monkeypatch):
    run = trainer(rows, tmp_path)
    run.run(until=2)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("midi_llm.train.state.save", full)
    with pytest.raises(TrainingError, match="No space left on device; the state of step 2 is kept"):
        run.run()
    assert [path.name for path in (tmp_path / "states").iterdir()] == ["00000002"]


def test_too_little_memory_says_what_to_lower(rows, tmp_path, monkeypatch):
    run = trainer(rows, tmp_path)

    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run, "_gradients", exhausted)
    with pytest.raises(TrainingError, match=r"no memory for step 1 .* lower compute.micro_rows"):
        run.run()


def test_numbers_go_to_tensorboard_where_asked_for(rows, tmp_path):
    board = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer(rows, tmp_path).run(tensorboard=True)
    events = board.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]
    assert events.Scalars("validation/bits_per_event")[-1].value == pytest.approx(
        logged(tmp_path)[-1]["validation"]["bits_per_event"]
    )
