"""Training a checkpoint that exists: tied and untied, in full and with adapters."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from midi_llm.errors import CheckpointError, DatasetError, RequestError  # noqa: E402 - after the check for torch
from midi_llm.model.checkpoint import load_torch, verify_checkpoint  # noqa: E402
from midi_llm.model.tiny import write_tiny_checkpoint  # noqa: E402
from midi_llm.train.config import with_changes  # noqa: E402
from midi_llm.train.export import export_stage  # noqa: E402
from midi_llm.train.loop import Trainer  # noqa: E402
from midi_llm.train.recipes import lora_1b_8gb, stage2_1b, tiny_cpu  # noqa: E402
from train.shard_folders import music_segment, write_rows  # noqa: E402

SMALL = (
    "steps=3",
    "batch_rows=2",
    "validation_rows=2",
    "optim.lr=0.01",
    "optim.warmup_steps=1",
    "compute.compile=false",
)


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def base(request, tmp_path):
    return write_tiny_checkpoint(tmp_path / "base", tied=request.param, dtype="BF16")


@pytest.fixture
def rows(base, tmp_path):
    text_rows = verify_checkpoint(base).text_rows
    segments = [[music_segment(seed, text_rows=text_rows)] for seed in range(4)]
    return write_rows(tmp_path / "rows", segments, text_rows=text_rows)


def train(recipe, rows, base, out, *changes):
    trainer = Trainer(with_changes(recipe, [*SMALL, *changes]), rows=rows, validation=rows, out=out, base=base)
    trainer.run()
    return [json.loads(line)["loss"] for line in (out / "logbook.jsonl").read_text().splitlines()]


def states(base, folder):
    return load_torch(base).state_dict(), load_torch(folder).state_dict()


def test_all_of_a_checkpoint_trains_and_comes_back_as_a_checkpoint(base, rows, tmp_path):
    losses = train(stage2_1b(), rows, base, tmp_path / "out")
    assert losses[-1] < losses[0]
    folder = export_stage(tmp_path / "out", tmp_path / "made", tokenizer=base, base=base, name="made")
    assert verify_checkpoint(folder).tied == verify_checkpoint(base).tied
    before, after = states(base, folder)
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name], after[name]) for name in before if "proj" in name or "embed" in name)


def test_adapters_change_the_body_and_leave_the_tables(base, rows, tmp_path):
    losses = train(lora_1b_8gb(), rows, base, tmp_path / "out")
    assert losses[-1] < losses[0]
    folder = export_stage(tmp_path / "out", tmp_path / "made", tokenizer=base, base=base, name="made")
    before, after = states(base, folder)
    changed = {name for name in before if not torch.equal(before[name].float(), after[name].float())}
    assert changed
    assert all("proj" in name for name in changed)


def test_adapters_may_train_the_music_rows_too(base, rows, tmp_path):
    train(lora_1b_8gb(), rows, base, tmp_path / "out", "lora.music_rows=true")
    folder = export_stage(tmp_path / "out", tmp_path / "made", tokenizer=base, base=base, name="made")
    before, after = states(base, folder)
    text_rows = verify_checkpoint(base).text_rows
    name = "model.embed_tokens.weight"
    assert torch.equal(before[name][:text_rows], after[name][:text_rows])
    assert not torch.equal(before[name][text_rows:], after[name][text_rows:])


def test_structured_rows_start_as_the_base_and_come_back_as_a_plain_table(base, rows, tmp_path):
    """Untied in full, tied with adapters."""
    info = verify_checkpoint(base)
    changes = ["base_rows=structured", "compute.precision=fp32", "optim.lr=0.001"]
    changes += ["lora.music_rows=true"] if info.tied else []
    config = with_changes(lora_1b_8gb() if info.tied else stage2_1b(), [*SMALL, *changes])
    trainer = Trainer(config, rows=rows, validation=rows, out=tmp_path / "out", base=base)
    before = load_torch(base).state_dict()
    assert all(
        torch.equal(tensor.float(), before[name].float()) for name, tensor in trainer.model.llama_state().items()
    )

    first = trainer.validate()["bits_per_event"]
    trainer.run()
    assert trainer.validate()["bits_per_event"] < first
    folder = export_stage(tmp_path / "out", tmp_path / "made", tokenizer=base, base=base, name="made")
    assert verify_checkpoint(folder).tied == info.tied
    after = load_torch(folder).state_dict()
    tables = trainer.model.tables
    ends = [("model.embed_tokens.weight", tables.inputs, tables.music_inputs, tables.input_structure)]
    if not info.tied:
        ends.append(("lm_head.weight", tables.output, tables.music_output, tables.output_structure))
    for name, whole, own, structure in ends:
        rows_ND = own if own is not None else whole[info.text_rows :]
        with torch.no_grad():
            total = (rows_ND + structure.music_rows()).bfloat16()
        torch.testing.assert_close(after[name][info.text_rows :], total)
        assert not torch.equal(total[9_000], before[name][info.text_rows + 9_000]), "what no row has moves by its parts"


def test_structured_rows_go_with_a_base_whose_music_rows_train():
    with pytest.raises(RequestError, match=r"trains no base but a shape; set shape.music_rows=structured"):
        with_changes(tiny_cpu(), ["base_rows=structured"])
    with pytest.raises(RequestError, match=r"no music row trains: set lora.music_rows=true"):
        with_changes(lora_1b_8gb(), ["base_rows=structured"])


def test_a_merged_adapter_computes_what_the_adapter_computed(base, rows, tmp_path):
    config = with_changes(lora_1b_8gb(), [*SMALL, "compute.precision=fp32"])
    trainer = Trainer(config, rows=rows, validation=rows, out=tmp_path / "out", base=base)
    trainer.run()
    ids = torch.from_numpy(rows.batch(np.arange(2)).ids[:, :60]).long()
    made = load_torch(base, dtype=torch.float32)
    made.load_state_dict({name: value.float() for name, value in trainer.model.llama_state().items()}, strict=False)
    with torch.no_grad():
        ours, _ = trainer.model.eval().hidden(ids, torch.arange(60)[None])
        torch.testing.assert_close(ours.float(), made.model(ids).last_hidden_state, atol=0.05, rtol=0.05)


def test_going_on_from_another_base_is_refused(base, rows, tmp_path):
    train(lora_1b_8gb(), rows, base, tmp_path / "out")
    other = write_tiny_checkpoint(tmp_path / "other", seed=1, tied=verify_checkpoint(base).tied, dtype="BF16")
    with pytest.raises(DatasetError, match=r"base.model.safetensors was "):
        train(lora_1b_8gb(), rows, other, tmp_path / "out")


def test_a_recipe_without_a_shape_needs_a_base(rows, tmp_path):
    with pytest.raises(RequestError, match="trains a model that exists: give its folder as the base"):
        train(stage2_1b(), rows, None, tmp_path / "out")


def test_a_base_without_weights_says_what_is_missing(base, rows, tmp_path):
    (base / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="safetensors"):
        train(stage2_1b(), rows, base, tmp_path / "out")


def test_adapters_on_layers_that_are_not_there(base, rows, tmp_path):
    with pytest.raises(RequestError, match=r"lora.modules names k_prjo"):
        train(lora_1b_8gb(), rows, base, tmp_path / "out", "lora.modules=q_proj,k_prjo")
