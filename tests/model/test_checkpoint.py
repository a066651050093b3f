from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from midi_llm.errors import CheckpointError, OutputError
from midi_llm.model.checkpoint import load_torch, save_checkpoint, verify_checkpoint
from midi_llm.prompt import PUBLISHED, CheckpointRecord, PromptFormat, load_tokenizer, read_record

WEIGHTS = "model.safetensors"
LAST_UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / WEIGHTS)
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    save_file(tensors, folder / WEIGHTS)


def fault(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        verify_checkpoint(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_folder_is_described_as_transformers_sees_it(tiny_checkpoint: Path) -> None:
    info = verify_checkpoint(tiny_checkpoint)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    assert info.parameters == model.num_parameters()
    assert info.vocab_size == info.text_rows + 55_030 == model.config.vocab_size
    assert (info.layers, info.hidden_size) == (model.config.num_hidden_layers, model.config.hidden_size)
    assert (info.tied, info.dtype, info.max_positions) == (True, "float32", 2048)
    assert info.prompt_format == PUBLISHED
    assert not info.has_onnx


def test_an_untied_bfloat16_folder_is_described_too(tiny_untied_checkpoint: Path) -> None:
    info = verify_checkpoint(tiny_untied_checkpoint)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_untied_checkpoint)
    assert info.parameters == model.num_parameters()
    assert (info.tied, info.dtype) == (False, "bfloat16")


def test_an_exported_folder_is_seen_to_have_onnx(folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "onnx" / "meta.json").write_text("{}")
    assert verify_checkpoint(folder).has_onnx


def test_a_folder_that_is_no_checkpoint_lists_all_that_is_missing(tmp_path: Path) -> None:
    message = fault(tmp_path)
    assert all(f"{name} is missing" in message for name in ("config.json", WEIGHTS, "tokenizer.json"))
    assert "is not a folder" in fault(tmp_path / "nowhere")


def test_pickled_weights_are_not_read(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin is not read: weights must be in safetensors" in fault(folder)


def test_missing_wrong_and_foreign_tensors_are_all_named(folder: Path) -> None:
    change_weights(folder, **{LAST_UP: None, "model.norm.weight": torch.ones(63), "model.layers.7.x": torch.ones(1)})
    message = fault(folder)
    assert f"1 of 20 tensors are missing ({LAST_UP})" in message
    assert "model.norm.weight has shape [63], config.json asks for [64]" in message
    assert "do not belong to this config.json (model.layers.7.x)" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "only 'llama' is supported"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "remote code"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"hidden_size": ...}, "hidden_size None, a positive integer"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers '2'"),
        ({"num_hidden_layers": 3}, "9 of 29 tensors are missing"),
        ({"num_key_value_heads": 3}, "not a multiple of 3"),
        ({"head_dim": 0}, "head_dim 0"),
        ({"tie_word_embeddings": False}, "lm_head.weight"),
        ({"vocab_size": 55_000}, "config.json asks for [55000, 64]"),
    ],
)
def test_a_config_that_does_not_fit_is_explained(folder: Path, changes: dict[str, Any], message: str) -> None:
    change_config(folder, **changes)
    assert message in fault(folder)


def test_a_plain_text_model_has_no_room_for_music(folder: Path) -> None:
    change_config(folder, vocab_size=320)
    change_weights(folder, **{"model.embed_tokens.weight": torch.zeros(320, 64)})
    assert "vocab_size 320, no room for text and 55030 music rows" in fault(folder)


@pytest.mark.parametrize("name", ["config.json", "midi_llm.json"])
def test_broken_json_is_one_line(folder: Path, name: str) -> None:
    (folder / name).write_text("{")
    assert f"{name} is not JSON" in fault(folder)


def test_cut_off_and_pointer_weights_are_noticed(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-1])
    assert "get the checkpoint again" in fault(folder)
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "git-lfs" in fault(folder)


def test_a_sharded_folder_is_read_and_a_missing_shard_named(folder: Path) -> None:
    whole = verify_checkpoint(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="14MB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert verify_checkpoint(folder) == whole
    shards[-1].unlink()
    assert shards[-1].name in fault(folder)


def test_a_checkpoint_loads_into_torch_with_its_own_number_format(tiny_untied_checkpoint: Path) -> None:
    assert load_torch(tiny_untied_checkpoint).dtype == torch.bfloat16
    model = load_torch(tiny_untied_checkpoint, dtype=torch.float32)
    assert model.dtype == torch.float32
    assert not model.training
    stored = load_file(tiny_untied_checkpoint / WEIGHTS)
    assert all(torch.equal(tensor, stored[name].float()) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("fixture", ["tiny_checkpoint", "tiny_untied_checkpoint"])
def test_plain_transformers_loads_what_we_save_bit_for_bit(
    fixture: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source: Path = request.getfixturevalue(fixture)
    model = load_torch(source)
    prompt = PromptFormat(prefix="compose: ", suffix="", bos=True)
    dtype = verify_checkpoint(source).dtype
    args = (model.state_dict(), model.config, source, prompt, tmp_path / "new")
    folder = save_checkpoint(*args, name="mine", training={"steps": 3}, dtype=dtype)
    again = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype)
    assert type(again) is transformers.LlamaForCausalLM
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert again.config.rope_parameters == model.config.rope_parameters
    assert read_record(folder) == CheckpointRecord(prompt=prompt, name="mine", training={"steps": 3})
    assert (
        transformers.AutoTokenizer.from_pretrained(folder)("ab")["input_ids"] == load_tokenizer(folder).encode("ab").ids
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


def test_numpy_arrays_a_plain_config_and_a_tokenizer_object_are_enough(tiny_checkpoint: Path, tmp_path: Path) -> None:
    state = {name: tensor.numpy() for name, tensor in load_file(tiny_checkpoint / WEIGHTS).items()}
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    folder = save_checkpoint(state, config, tokenizer, PUBLISHED, tmp_path / "new")
    assert verify_checkpoint(folder).dtype == "bfloat16"
    saved = load_file(folder / WEIGHTS)
    assert all(torch.equal(torch.from_numpy(array).bfloat16(), saved[name]) for name, array in state.items())
    assert transformers.AutoTokenizer.from_pretrained(folder).bos_token == "<|begin_of_text|>"


def test_an_existing_folder_is_kept_unless_replacing_is_asked_for(tiny_checkpoint: Path, folder: Path) -> None:
    model = load_torch(tiny_checkpoint)
    (folder / "old.txt").write_text("kept")
    args = (model.state_dict(), model.config, tiny_checkpoint, PUBLISHED, folder)
    with pytest.raises(OutputError, match="exists and is kept"):
        save_checkpoint(*args)
    assert (folder / "old.txt").exists()
    save_checkpoint(*args, name="second", replace=True)
    assert verify_checkpoint(folder).name == "second"
    assert not (folder / "old.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_nothing_is_written_when_the_parts_do_not_fit(tiny_checkpoint: Path, folder: Path) -> None:
    state = load_file(tiny_checkpoint / WEIGHTS)
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    before = (folder / WEIGHTS).read_bytes()
    broken: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({name: tensor for name, tensor in state.items() if name != LAST_UP}, config, "tensors are missing"),
        (state | {LAST_UP: torch.full_like(state[LAST_UP], np.nan)}, config, "not finite"),
        (state | {"lm_head.weight": state["model.embed_tokens.weight"] + 1}, config, "says tied"),
        (state, config | {"num_attention_heads": 4}, "has shape"),
    ]
    for tensors, fields, message in broken:
        with pytest.raises(CheckpointError, match=message):
            save_checkpoint(tensors, fields, tiny_checkpoint, PUBLISHED, folder, replace=True)
    assert (folder / WEIGHTS).read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_that_cannot_be_made_is_an_output_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    model = load_torch(tiny_checkpoint)
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(model.state_dict(), model.config, tiny_checkpoint, PUBLISHED, tmp_path / "file" / "model")
