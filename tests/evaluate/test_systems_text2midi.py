"""Text2midi: its vocabulary, its music and its network, on tiny random weights in the published layout."""

from __future__ import annotations

import json
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from midi_llm.errors import CheckpointError
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.systems.base import Job
from midi_llm.evaluate.systems.remi import decode_remi, read_vocabulary
from midi_llm.music.features import note_table
from midi_llm.music.read import parse_midi
from midi_llm.music.score import DRUMS

SIZE, INNER, LAYERS, HEADS, ROWS = 16, 24, 2, 8, 32
WORDS = [
    "PAD_None", "BOS_None", "EOS_None", "MASK_None", "Bar_None", "Pitch_60", "Pitch_62", "Velocity_79",
    "Duration_1.0.4", "Position_0", "Position_6", "Program_0", "Program_40", "Program_-1",
    "PitchDrum_36", "Tempo_121.29", "TimeSig_4/4",
]  # fmt: skip


class REMI:
    """Named as the class in the published pickle; reading it must not need, import or run it."""

    def __init__(self, words: object) -> None:
        self._vocab_base = words
        self.times = np.arange(3)

    def __setstate__(self, state: object) -> None:
        raise AssertionError("the pickle's own class was run")


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hostile",)


def write_vocabulary(path: Path, words: object) -> Path:
    path.write_bytes(pickle.dumps(REMI(words)))
    return path


def test_a_vocabulary_is_read_without_its_class(tmp_path: Path) -> None:
    path = write_vocabulary(tmp_path / "v.pkl", {word: number for number, word in reversed(list(enumerate(WORDS)))})
    assert read_vocabulary(path) == WORDS


def test_a_hostile_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CheckpointError, match="holds no vocabulary"):
        read_vocabulary(tmp_path / "v.pkl")
    assert not (tmp_path / "hostile").exists()


@pytest.mark.parametrize(
    "content", [b"", b"no pickle", pickle.dumps({"a": 1}), pickle.dumps(REMI({"a": 1})), pickle.dumps(REMI([]))]
)
def test_other_files_are_no_vocabulary(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.pkl").write_bytes(content)
    with pytest.raises(CheckpointError):
        read_vocabulary(tmp_path / "v.pkl")


def play(text: str):
    return decode_remi(["Bar_None" if word == "Bar" else word for word in text.split()])


def test_remi_in_closed_form() -> None:
    decoded = play(
        "Bar TimeSig_4/4 Position_0 Tempo_60.0 Program_0 Pitch_60 Velocity_79 Duration_1.0.4"
        " Position_18 Program_-1 PitchDrum_36 Velocity_99 Duration_0.6.12"
        " Bar TimeSig_6/8 Position_12 Tempo_120.0 Program_40 Pitch_72 Velocity_3 Duration_2.1.2"
        " Bar Position_0 Pitch_74 Velocity_3 Duration_1.0.4"
    )
    notes = note_table(decoded.score)
    np.testing.assert_allclose(notes.start, [0.0, 1.5, 4.5, 5.75], atol=1e-12)
    np.testing.assert_allclose(notes.duration, [1.0, 0.5, 0.625, 0.25], atol=1e-12)
    assert notes.instrument.tolist() == [0, DRUMS, 40, 40]
    assert notes.pitch.tolist() == [60, 36, 72, 74]
    assert notes.velocity.tolist() == [79, 99, 3, 3]
    assert [(tempo.time, tempo.bpm) for tempo in decoded.score.tempos] == [(0.0, 60.0), (4.5, 120.0)]
    metres = [(m.time, m.numerator, m.denominator) for m in decoded.score.time_signatures]
    assert metres == [(0.0, 4, 4), (4.0, 6, 8)]
    assert decoded.broken == 0


def test_a_note_that_sounds_through_a_change_of_tempo_is_as_long_as_its_beats() -> None:
    notes = note_table(
        play(
            "Bar Tempo_60.0 Pitch_60 Velocity_9 Duration_4.0.1"
            " Position_24 Tempo_120.0 Pitch_62 Velocity_9 Duration_1.0.4"
        ).score
    )
    assert notes.duration.tolist() == [3.0, 0.5]


def test_before_the_first_tempo_it_is_the_word_nearest_to_120() -> None:
    notes = note_table(play("Bar Position_12 Pitch_60 Velocity_9 Duration_2.0.2").score)
    np.testing.assert_allclose([notes.start[0], notes.duration[0]], [60 / 121.29, 120 / 121.29], atol=1e-12)


def test_notes_without_velocity_or_duration_are_counted_and_left_out() -> None:
    decoded = play("Bar Pitch_60 Duration_1.0.4 Velocity_9 Pitch_61 Velocity_9 Pitch_5 Pitch_62")
    assert (decoded.score.note_count, decoded.broken) == (0, 3)
    assert play("").score.note_count == 0


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all four files: random weights under the published names."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import T5Config, T5EncoderModel

    folder = tmp_path_factory.mktemp("text2midi")
    torch.manual_seed(0)
    config = T5Config(vocab_size=32, d_model=SIZE, d_kv=4, d_ff=32, num_layers=1, num_heads=2)
    (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    tokenizer = Tokenizer(models.WordLevel({"</s>": 1, "<unk>": 2, "slow": 3, "waltz": 4}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    shapes = {"input_emb.weight": (len(WORDS), SIZE), "pos_encoder.pe": (ROWS, 1, SIZE)}
    shapes |= {"projection.weight": (len(WORDS), SIZE), "projection.bias": (len(WORDS),)}
    shapes |= {"decoder.norm.weight": (SIZE,), "decoder.norm.bias": (SIZE,)}
    for number in range(LAYERS):
        layer = {"self_attn.to_qkv.weight": (3 * SIZE, SIZE), "self_attn.to_out.weight": (SIZE, SIZE)}
        layer |= {"multihead_attn.in_proj_weight": (3 * SIZE, SIZE), "multihead_attn.in_proj_bias": (3 * SIZE,)}
        layer |= {"multihead_attn.out_proj.weight": (SIZE, SIZE), "multihead_attn.out_proj.bias": (SIZE,)}
        layer |= {"linear1.weight": (INNER, SIZE), "linear1.bias": (INNER,)}
        layer |= {"linear2.weight": (SIZE, INNER), "linear2.bias": (SIZE,)}
        layer |= {f"norm{n}.{kind}": (SIZE,) for n in (1, 2, 3) for kind in ("weight", "bias")}
        shapes |= {f"decoder.layers.{number}.{name}": shape for name, shape in layer.items()}
    state = {name: torch.randn(shape) * 0.5 for name, shape in shapes.items()}
    state |= {f"encoder.{name}": value for name, value in T5EncoderModel(config).state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")
    write_vocabulary(folder / "vocab_remi.pkl", {word: number for number, word in enumerate(WORDS)})
    return folder


def normed(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def softmax(x):
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def naive_logits(state: dict[str, np.ndarray], ids: list[int], memory: np.ndarray) -> np.ndarray:
    """The published forward pass, position by position, in float64."""
    x = state["input_emb.weight"][ids] * math.sqrt(SIZE) + state["pos_encoder.pe"][0]
    count, part = len(ids), SIZE // HEADS
    for number in range(LAYERS):
        w = {name.split(".", 3)[3]: v for name, v in state.items() if name.startswith(f"decoder.layers.{number}.")}
        q, k, v = (block.reshape(-1) for block in np.split(x @ w["self_attn.to_qkv.weight"].T, 3, axis=-1))
        mixed = np.zeros(count * SIZE)
        for head in range(HEADS):
            slices = [np.arange((head * count + at) * part, (head * count + at + 1) * part) for at in range(count)]
            for at, here in enumerate(slices):
                weights = softmax(np.array([q[here] @ k[there] for there in slices[: at + 1]]) / math.sqrt(part))
                mixed[here] = sum(weight * v[there] for weight, there in zip(weights, slices, strict=False))
        x = normed(x + mixed.reshape(count, SIZE) @ w["self_attn.to_out.weight"].T, w["norm1.weight"], w["norm1.bias"])
        projections = zip(
            np.split(w["multihead_attn.in_proj_weight"], 3), np.split(w["multihead_attn.in_proj_bias"], 3), strict=True
        )
        q, k, v = (
            source @ weight.T + bias for source, (weight, bias) in zip((x, memory, memory), projections, strict=True)
        )
        heads = [slice(head * part, (head + 1) * part) for head in range(HEADS)]
        mixed = np.concatenate([softmax(q[:, h] @ k[:, h].T / math.sqrt(part)) @ v[:, h] for h in heads], axis=1)
        mixed = mixed @ w["multihead_attn.out_proj.weight"].T + w["multihead_attn.out_proj.bias"]
        x = normed(x + mixed, w["norm2.weight"], w["norm2.bias"])
        inner = np.maximum(x @ w["linear1.weight"].T + w["linear1.bias"], 0)
        x = normed(x + inner @ w["linear2.weight"].T + w["linear2.bias"], w["norm3.weight"], w["norm3.bias"])
    x = normed(x, state["decoder.norm.weight"], state["decoder.norm.bias"])
    return x[-1] @ state["projection.weight"].T + state["projection.bias"]


@pytest.mark.parametrize("count", [1, 5, 16])
def test_the_network_computes_what_the_published_code_computes(published: Path, count: int) -> None:
    import torch

    from midi_llm.evaluate.systems.text2midi import open_text2midi

    system = open_text2midi(str(published), text_encoder=str(published), device="cpu")
    state = {name: v.double().numpy() for name, v in torch.load(published / "pytorch_model.bin").items()}
    ids = np.random.default_rng(count).integers(0, len(WORDS), count).tolist()
    with torch.inference_mode():
        memory = system.model.encoder(torch.tensor([[3, 4, 1]])).last_hidden_state
        found = system.model.next_logits(torch.tensor([ids]), memory).numpy()
    np.testing.assert_allclose(found, naive_logits(state, ids, memory[0].double().numpy()), atol=1e-4)


def test_takes_are_repeatable_and_counted(published: Path) -> None:
    from midi_llm.evaluate.systems.text2midi import open_text2midi

    system = open_text2midi(str(published), text_encoder=str(published), device="cpu")
    system.tokens = 120
    prompt = Prompt(id="a", text="slow waltz")
    jobs = [Job(prompt=prompt, number=number, seed=seed, seconds=None) for number, seed in enumerate((5, 5, 6))]
    first, again, other = system.compose(jobs)
    assert first.midi == again.midi != other.midi
    assert (first.tokens, first.ending, first.seed, first.error) == (120, "full", 5, None)
    assert first.strict == (not first.repairs)
    parse_midi(first.midi)
    assert system.describe()["tokens"] == 120
    assert len(str(system.describe()["sha256"])) == 64
    system.close()
    with pytest.raises(CheckpointError, match="was closed"):
        next(system.compose(jobs))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vocab_remi.pkl", "has no vocab_remi.pkl"),
        ("pytorch_model.bin", "has no pytorch_model.bin"),
        ("config.json", "has no config.json"),
    ],
)
def test_a_missing_file_is_named(published: Path, tmp_path: Path, name: str, message: str) -> None:
    from midi_llm.evaluate.systems.text2midi import open_text2midi

    for path in published.iterdir():
        if path.name != name:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(CheckpointError, match=message):
        open_text2midi(str(tmp_path), text_encoder=str(tmp_path))


def test_a_hub_id_is_downloaded_by_the_names_of_its_files(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    from midi_llm.evaluate.systems.text2midi import open_text2midi

    calls: list[tuple[str, list[str]]] = []

    def snapshot_download(repo_id: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        calls.append((repo_id, allow_patterns + ignore_patterns))
        return str(published)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    open_text2midi("some/model", text_encoder="some/encoder", device="cpu").close()
    assert calls == [
        ("some/model", ["pytorch_model.bin", "vocab_remi.pkl"]),
        ("some/encoder", ["config.json", "tokenizer.json"]),
    ]


def test_weights_that_do_not_fit_are_refused(published: Path, tmp_path: Path) -> None:
    import torch

    from midi_llm.evaluate.systems.text2midi import open_text2midi

    for path in published.iterdir():
        (tmp_path / path.name).symlink_to(path)
    weights = tmp_path / "pytorch_model.bin"
    state = torch.load(weights)
    changes = (
        (dict(list(state.items())[1:]), "published layout"),
        (state | {"stranger": torch.zeros(1)}, "1 tensors are missing or unknown, stranger"),
        ({name: value for name, value in state.items() if name != "decoder.norm.bias"}, r"decoder\.norm\.bias"),
        (state | {"decoder.layers.0.linear1.weight": torch.zeros(7, SIZE)}, "published layout"),
        ([1, 2], "no state dict"),
    )
    for changed, message in changes:
        weights.unlink()
        torch.save(changed, weights)
        with pytest.raises(CheckpointError, match=message):
            open_text2midi(str(tmp_path), text_encoder=str(tmp_path))
    weights.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        open_text2midi(str(tmp_path), text_encoder=str(tmp_path))
    weights.unlink()
    weights.symlink_to(published / "pytorch_model.bin")
    (tmp_path / "vocab_remi.pkl").unlink()
    write_vocabulary(tmp_path / "vocab_remi.pkl", {word: number for number, word in enumerate(WORDS[:-1])})
    with pytest.raises(CheckpointError, match="17 ids and 16 words"):
        open_text2midi(str(tmp_path), text_encoder=str(tmp_path))
