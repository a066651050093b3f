from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from midi_llm.errors import CheckpointError, OutputError, RequestError
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.model.expand import COVARIANCE_SCALE, Initialisation, expand_vocabulary
from midi_llm.prompt import PUBLISHED, PromptFormat, load_tokenizer

WEIGHTS = "model.safetensors"
EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
ROWS = 300


def text_model(folder: Path, tokenizer: Path, *, tied: bool, dtype: torch.dtype, **changes: int) -> Path:
    """A random Llama with 300 text rows whose tables have a mean far from zero, as trained ones do."""
    config = transformers.LlamaConfig(
        vocab_size=ROWS,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = transformers.LlamaForCausalLM(config)
    for shift, table in ((0.3, model.model.embed_tokens), (-0.2, model.lm_head)):
        table.weight.data += shift if not tied else 0.1
    model.to(dtype).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, folder / name)
    (folder / "LICENSE.txt").write_text("terms")
    return folder


@pytest.fixture(scope="module")
def tied_text(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_model(tmp_path_factory.mktemp("text") / "tied", tiny_checkpoint, tied=True, dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def untied_text(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_model(tmp_path_factory.mktemp("text") / "untied", tiny_checkpoint, tied=False, dtype=torch.float32)


@pytest.fixture(params=["tied", "untied"])
def text_folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(f"{request.param}_text"))


@pytest.mark.parametrize("init", ["mean_covariance", "random"])
def test_old_rows_and_all_other_weights_keep_their_bits(
    text_folder: Path, tmp_path: Path, init: Initialisation
) -> None:
    before = load_file(text_folder / WEIGHTS)
    after = load_file(expand_vocabulary(text_folder, tmp_path / "new", init=init) / WEIGHTS)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        grown = name in (EMBEDDINGS, HEAD)
        assert len(after[name]) == len(tensor) + (55_030 if grown else 0)
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name][: len(tensor)], tensor)
        assert not grown or len(after[name][len(tensor) :].unique(dim=0)) > 100


def test_text_logits_are_unchanged_and_transformers_loads_the_folder(text_folder: Path, tmp_path: Path) -> None:
    folder = expand_vocabulary(text_folder, tmp_path / "new")
    old = transformers.AutoModelForCausalLM.from_pretrained(text_folder)
    new = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert type(new) is transformers.LlamaForCausalLM
    ids = torch.tensor([[256, 5, 80, 200, 17]])
    with torch.inference_mode():
        before, after = old(ids).logits.float(), new(ids).logits.float()
    assert after.shape[-1] == ROWS + 55_030
    tolerance = {"rtol": 0, "atol": 1e-6 if old.dtype == torch.float32 else 1e-2}
    torch.testing.assert_close(after[..., :ROWS], before, **tolerance)
    share = after.softmax(-1)[..., ROWS:].sum(-1)
    assert (share <= 55_030 / (55_030 + ROWS) + 1e-3).all()


def test_the_expanded_folder_is_a_checkpoint_with_its_prompt_and_its_licence(tied_text: Path, tmp_path: Path) -> None:
    prompt = PromptFormat(prefix="compose: ", suffix="", bos=True)
    folder = expand_vocabulary(tied_text, tmp_path / "music", prompt_format=prompt)
    info = verify_checkpoint(folder)
    assert (info.text_rows, info.vocab_size, info.dtype, info.tied) == (ROWS, ROWS + 55_030, "bfloat16", True)
    assert (info.name, info.prompt_format) == ("music", prompt)
    assert (folder / "LICENSE.txt").read_text() == "terms"
    assert prompt.encode("hi", load_tokenizer(folder), info.text_rows)[-1] == 55_026 + ROWS


def test_mean_and_covariance_rows_follow_the_rows_of_their_own_table(untied_text: Path, tmp_path: Path) -> None:
    folder = expand_vocabulary(untied_text, tmp_path / "new", covariance_scale=1.0)
    tensors = load_file(folder / WEIGHTS)
    for name in (EMBEDDINGS, HEAD):
        old, new = tensors[name][:ROWS].double().numpy(), tensors[name][ROWS:].double().numpy()
        spread = old.std()
        np.testing.assert_allclose(new.mean(0), old.mean(0), atol=0.03 * spread)
        np.testing.assert_allclose(np.cov(new.T), np.cov(old.T, bias=True), atol=0.05 * spread**2)


def test_the_default_scale_keeps_new_rows_close_to_the_mean(untied_text: Path, tmp_path: Path) -> None:
    table = load_file(expand_vocabulary(untied_text, tmp_path / "new") / WEIGHTS)[EMBEDDINGS]
    ratio = (table[ROWS:] - table[:ROWS].mean(0)).std() / (table[:ROWS] - table[:ROWS].mean(0)).std()
    assert float(ratio) == pytest.approx(COVARIANCE_SCALE**0.5, rel=0.05)


def test_random_rows_have_the_configured_spread_around_zero(untied_text: Path, tmp_path: Path) -> None:
    new = load_file(expand_vocabulary(untied_text, tmp_path / "new", init="random") / WEIGHTS)[EMBEDDINGS][ROWS:]
    assert float(new.mean()) == pytest.approx(0.0, abs=1e-3)
    assert float(new.std()) == pytest.approx(0.02, rel=0.02)


def test_the_seed_decides_every_byte(tied_text: Path, tmp_path: Path) -> None:
    weights = [
        (expand_vocabulary(tied_text, tmp_path / str(number), seed=seed) / WEIGHTS).read_bytes()
        for number, seed in enumerate((1, 1, 2))
    ]
    assert weights[0] == weights[1] != weights[2]


def test_a_sharded_source_gives_the_same_model(untied_text: Path, tmp_path: Path) -> None:
    whole = expand_vocabulary(untied_text, tmp_path / "whole")
    shutil.copytree(untied_text, tmp_path / "shards", ignore=shutil.ignore_patterns(WEIGHTS))
    model = transformers.AutoModelForCausalLM.from_pretrained(untied_text)
    model.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    parts = load_file(expand_vocabulary(tmp_path / "shards", tmp_path / "parts") / WEIGHTS)
    assert all(torch.equal(tensor, parts[name]) for name, tensor in load_file(whole / WEIGHTS).items())


def test_an_expanded_folder_is_refused_with_or_without_our_record(
    tied_text: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = expand_vocabulary(tied_text, tmp_path / "once")
    for source in (folder, tiny_checkpoint):
        with pytest.raises(CheckpointError, match="expanded already"):
            expand_vocabulary(source, tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


def test_bad_arguments_and_bad_sources_leave_nothing_behind(tied_text: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="allowed is 'mean_covariance' or 'random'"):
        expand_vocabulary(tied_text, tmp_path / "new", init="zeros")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="covariance_scale"):
        expand_vocabulary(tied_text, tmp_path / "new", covariance_scale=-1.0)
    source = Path(shutil.copytree(tied_text, tmp_path / "source"))
    (source / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        expand_vocabulary(source, tmp_path / "new")
    (source / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(CheckpointError, match="only 'llama'"):
        expand_vocabulary(source, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
    with pytest.raises(OutputError, match="exists and is kept"):
        expand_vocabulary(tied_text, source)


def test_a_table_smaller_than_its_tokenizer_is_refused(tiny_checkpoint: Path, tied_text: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tied_text, tmp_path / "source"))
    tokenizer = load_tokenizer(tiny_checkpoint)
    tokenizer.add_tokens([f"word{number}" for number in range(ROWS)])
    tokenizer.save(str(source / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="tokenizer is of another model"):
        expand_vocabulary(source, tmp_path / "new", prompt_format=PUBLISHED)
