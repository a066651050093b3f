from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from midi_llm.errors import CheckpointError, OutputError, RequestError
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.model.expand import COVARIANCE_SCALES, Initialisation, expand_vocabulary
from midi_llm.prompt import PUBLISHED, PromptFormat, load_tokenizer
from midi_llm.tokens.vocab import CONTROL_OFFSET, DUR_OFFSET, NOTE_OFFSET, REST

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


@pytest.mark.parametrize("init", ["mean_covariance", "structured", "random"])
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


@pytest.fixture(scope="module")
def structured(untied_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return expand_vocabulary(untied_text, tmp_path_factory.mktemp("new") / "structured", init="structured")


def squared_distances(folder: Path, name: str) -> tuple[float, torch.Tensor]:
    """From the mean of the text rows: the text rows' mean square, and each music row's square."""
    table = load_file(folder / WEIGHTS)[name].double()
    squares = (table - table[:ROWS].mean(0)).square().sum(1)
    return float(squares[:ROWS].mean()), squares[ROWS:]


def test_the_default_scale_keeps_new_rows_close_to_the_mean(untied_text: Path, tmp_path: Path) -> None:
    text, music = squared_distances(expand_vocabulary(untied_text, tmp_path / "new"), EMBEDDINGS)
    assert float(music.mean()) / text == pytest.approx(COVARIANCE_SCALES["mean_covariance"], rel=0.05)


@pytest.mark.parametrize("name", [EMBEDDINGS, HEAD])
def test_structured_rows_of_every_block_are_as_far_from_the_mean_as_the_scale_says(structured: Path, name: str) -> None:
    text, music = squared_distances(structured, name)
    for block in (music[:DUR_OFFSET], music[DUR_OFFSET:NOTE_OFFSET], music[NOTE_OFFSET:REST], music[CONTROL_OFFSET:]):
        assert float(block.mean()) / text == pytest.approx(COVARIANCE_SCALES["structured"], rel=0.4)


@pytest.mark.parametrize("name", [EMBEDDINGS, HEAD])
def test_structured_rows_are_alike_as_far_as_they_share_parts(structured: Path, name: str) -> None:
    rows = load_file(structured / WEIGHTS)[name][ROWS:].double()

    def distance(one: int, other: int) -> float:
        return float((rows[one] - rows[other]).norm())

    assert distance(5000, 5001) < distance(5000, 5040) < distance(5000, DUR_OFFSET + 50)
    assert distance(DUR_OFFSET + 500, DUR_OFFSET + 501) < distance(DUR_OFFSET + 10, DUR_OFFSET + 11)
    piano, octave, violin = NOTE_OFFSET + 60, NOTE_OFFSET + 72, NOTE_OFFSET + 40 * 128 + 67
    assert distance(piano, octave) < distance(piano, violin)
    assert distance(piano, piano + CONTROL_OFFSET) < distance(piano, 5000 + CONTROL_OFFSET)


def test_new_rows_take_no_more_of_text_s_probability_than_the_bound_says(untied_text: Path, tmp_path: Path) -> None:
    """All text logits far below zero: random rows take everything (Hewitt 2021)."""
    source = Path(shutil.copytree(untied_text, tmp_path / "source"))
    tensors = load_file(source / WEIGHTS)
    rng = np.random.default_rng(0)
    head = rng.standard_normal((ROWS, 32)) * 0.5
    head[:, 0] = -5
    hidden = rng.standard_normal((50, 32))
    hidden[:, 0] = 10
    save_file(tensors | {HEAD: torch.from_numpy(head).float()}, source / WEIGHTS)
    ratios: dict[str, float] = {}
    for init in get_args(Initialisation):
        table = load_file(expand_vocabulary(source, tmp_path / init, init=init) / WEIGHTS)[HEAD].double().numpy()
        logits = hidden @ table.T
        text, music = logits[:, :ROWS], logits[:, ROWS:]
        assert (text < -30).all()
        variances = text.var(axis=1)
        assert variances.mean() > 6
        worst = 55_030 / ROWS * np.exp(COVARIANCE_SCALES.get(init, 0.0) * variances / 2)
        ratios[init] = float((np.exp(music).sum(1) / np.exp(text).sum(1) / worst).mean())
    assert ratios["mean_covariance"] < 1
    assert ratios["structured"] < 1
    assert ratios["random"] > 1e6


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
    with pytest.raises(RequestError, match="allowed is one of mean_covariance, structured, random"):
        expand_vocabulary(tied_text, tmp_path / "new", init="zeros")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="covariance_scale"):
        expand_vocabulary(tied_text, tmp_path / "new", covariance_scale=-1.0)
    with pytest.raises(RequestError, match="random rows have none"):
        expand_vocabulary(tied_text, tmp_path / "new", init="random", covariance_scale=0.1)
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
