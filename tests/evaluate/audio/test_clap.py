"""CLAP: a tiny random model in the published layout, loaded by the real code and compared with transformers itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from evaluate.audio.sounds import sine
from evaluate.audio.tiny_clap import WORDS, write_clap
from midi_llm.data.files import file_sha256
from midi_llm.errors import CheckpointError, MissingExtraError, RequestError
from midi_llm.evaluate.audio import clap
from midi_llm.evaluate.audio.clap import Clap, open_clap
from midi_llm.evaluate.audio.ears import TextEar, cut_windows
from midi_llm.synth.waveform import Waveform

RATE = 48_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clap(tmp_path_factory.mktemp("clap") / "tiny")


@pytest.fixture(scope="module")
def ear(folder: Path) -> Clap:
    return open_clap(str(folder), device="cpu")


def sounds() -> list[Waveform]:
    """A full window, a short one, half of a window, silence, and stereo."""
    rng = np.random.default_rng(0)
    noise = Waveform(samples=(0.1 * rng.normal(size=(2, 3 * RATE))).astype(np.float32), sample_rate=RATE)
    return [
        sine(440, 10.0, rate=RATE),
        sine(880, 1.3, rate=RATE),
        sine(220, 5.0, rate=RATE, volume=0.1),
        sine(220, 2.0, rate=RATE, volume=0.0),
        noise,
    ]


def by_transformers(folder: Path, mono: list[Any], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of one sound and one text at a time, as a model card tells."""
    model = transformers.ClapModel.from_pretrained(folder).eval()
    extractor = transformers.ClapFeatureExtractor.from_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>")
    heard, read = [], []
    with torch.inference_mode():
        for samples in mono:
            inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt")
            heard.append(model.get_audio_features(**inputs).pooler_output[0].numpy())
        for text in texts:
            tokens = tokenizer(text, return_tensors="pt")
            ids, mask = tokens["input_ids"], tokens["attention_mask"]
            read.append(model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output[0].numpy())
    return np.array(heard), np.array(read)


def test_embeddings_are_those_of_transformers_called_directly(folder: Path, ear: Clap) -> None:
    waveforms, texts = sounds(), ["a slow waltz", "rock", "a fast rock tune unheard of"]
    heard, read = by_transformers(folder, [one.samples.mean(axis=0) for one in waveforms], texts)
    assert ear.embed(waveforms) == pytest.approx(heard, abs=1e-5)
    assert ear.embed_texts(texts) == pytest.approx(read, abs=1e-5)
    for vectors in (heard, read):
        assert np.abs(vectors[:, None] - vectors[None]).max(axis=2)[~np.eye(len(vectors), dtype=bool)].min() > 1e-3


def test_it_is_an_ear_for_sound_and_text(ear: Clap) -> None:
    assert isinstance(ear, TextEar)
    assert (ear.sample_rate, ear.window_seconds, ear.hop_seconds) == (RATE, 10.0, 10.0)
    vectors = ear.embed(sounds()[:2])
    assert vectors.dtype == np.float64
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(2), abs=1e-6)
    assert ear.embed([]).shape == ear.embed_texts([]).shape == (0, 12)


def test_nothing_is_drawn_and_batches_change_nothing(folder: Path, ear: Clap) -> None:
    windows = [*cut_windows(sine(440, 16.0, rate=RATE), ear), sounds()[1]]
    assert [len(window.samples[0]) for window in windows[:2]] == [10 * RATE, 6 * RATE]
    np.random.seed(0)  # from whose state the extractor would draw
    before = np.random.get_state()[1].copy()
    whole = ear.embed(windows)
    assert (np.random.get_state()[1] == before).all()
    assert (ear.embed(windows) == whole).all()
    single = open_clap(str(folder), device="cpu", batch=1)
    assert single.embed(windows) == pytest.approx(whole, abs=1e-5)
    assert single.embed_texts(["rock", "a slow waltz"]) == pytest.approx(
        ear.embed_texts(["rock", "a slow waltz"]), abs=1e-5
    )


def test_a_long_text_is_cut_at_77_ids(ear: Clap) -> None:
    words = ["a", "slow", "waltz", "rock", "fast"] * 20
    long, cut = ear.embed_texts([" ".join(words), " ".join(words[:75])])
    assert long == pytest.approx(cut, abs=1e-6)
    shorter = ear.embed_texts([" ".join(words[:74])])[0]
    assert np.abs(long - shorter).max() > 1e-4


@pytest.mark.parametrize(
    "window",
    [sine(440, 10.5, rate=RATE), sine(440, 0.0, rate=RATE), sine(440, 1.0, rate=44_100)],
    ids=["too long", "empty", "another rate"],
)
def test_what_is_no_window_is_refused(ear: Clap, window: Waveform) -> None:
    with pytest.raises(RequestError, match="CLAP hears 1 to 480000 at 48000 Hz"):
        ear.embed([window])


def test_the_id_holds_model_and_digest(folder: Path, ear: Clap) -> None:
    assert ear.id == f"{folder} sha256:{file_sha256(folder / 'model.safetensors')[:16]}"


def test_a_hub_id_is_downloaded_and_its_revision_recorded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "snapshots" / ("0123abcd" * 5)
    shutil.copytree(folder, snapshot)
    asked: list[str] = []
    monkeypatch.setattr(clap, "download", lambda hub_id: asked.append(hub_id) or snapshot)
    assert open_clap("laion/tiny", device="cpu").id.startswith("laion/tiny@0123abcd sha256:")
    assert asked == ["laion/tiny"]


def test_a_hub_model_without_safetensors_is_had_with_its_pickled_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = shutil.copytree(folder, tmp_path / "older")
    (older / "model.safetensors").unlink()
    asked: list[tuple[str, ...]] = []

    def download(hub_id: str, *, allowed: tuple[str, ...] = (), ignored: tuple[str, ...] = ()) -> Path:
        asked.append(allowed)
        if allowed:
            torch.save(load_file(folder / "model.safetensors"), older / "pytorch_model.bin")
        return older

    monkeypatch.setattr(clap, "download", download)
    found = open_clap("laion/older", device="cpu")
    assert [("pytorch_model.bin" in allowed) for allowed in asked] == [False, True]
    assert found.id.endswith(file_sha256(older / "pytorch_model.bin")[:16])
    assert found.embed(sounds()[:1]) == pytest.approx(open_clap(str(folder), device="cpu").embed(sounds()[:1]))


class Payload:
    """What a pickle with code in it would run."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('code of the file was run')",)


def test_a_processor_saved_by_transformers_5_is_read(folder: Path, tmp_path: Path, ear: Clap) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(folder, newer)
    settings = json.loads((newer / "preprocessor_config.json").read_text())
    (newer / "preprocessor_config.json").unlink()
    (newer / "processor_config.json").write_text(
        json.dumps({"feature_extractor": settings, "processor_class": "ClapProcessor"})
    )
    assert open_clap(str(newer), device="cpu").embed(sounds()[:1]) == pytest.approx(ear.embed(sounds()[:1]), abs=1e-6)


def test_tables_of_positions_may_be_missing_in_the_file(folder: Path, tmp_path: Path, ear: Clap) -> None:
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    state = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in state.items() if value.is_floating_point()}
    assert len(kept) < len(state)
    save_file(kept, older / "model.safetensors", metadata={"format": "pt"})
    found = open_clap(str(older), device="cpu")
    assert found.embed(sounds()[:1]) == pytest.approx(ear.embed(sounds()[:1]), abs=1e-6)
    assert found.embed_texts(["rock"]) == pytest.approx(ear.embed_texts(["rock"]), abs=1e-6)


def change_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


def remove(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def with_code(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale_a": Payload()}, folder / "pytorch_model.bin")


def without_a_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["audio_projection.linear1.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def other_words(folder: Path) -> None:
    vocabulary = {str(number): number for number in range(len(WORDS) + 1)}
    Tokenizer(models.WordLevel(vocabulary, unk_token="0")).save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("config.json"), "has no config.json; give a folder or hub id of a CLAP"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (change_config(model_type="llama"), "of type 'llama', expected 'clap'"),
        (change_config(audio_config={"enable_fusion": True}), "hears parts drawn at random"),
        (change_config(projection_dim=13), "cannot be loaded as ClapModel"),
        (change_config(projection_dim="many"), "cannot be loaded as ClapModel"),
        (remove("preprocessor_config.json"), "has no preprocessor_config.json or processor_config.json"),
        (remove("tokenizer.json"), "has no tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "is no tokenizer"),
        (other_words, "has 11 ids and the text model 10"),
        (remove("model.safetensors"), "has no model.safetensors; a checkpoint folder in safetensors"),
        (with_code, "cannot be loaded as ClapModel"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 40), "cannot be loaded as ClapModel"),
        (without_a_tensor, "lacks 1 tensors of a CLAP, audio_projection.linear1.weight among them"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore")
def test_a_folder_that_is_no_clap_is_named_with_a_remedy(
    folder: Path, tmp_path: Path, change: Callable[[Path], Any], message: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    change(broken)
    with pytest.raises(CheckpointError, match=message):
        open_clap(str(broken), device="cpu")


def test_a_device_that_is_not_there_is_named(folder: Path) -> None:
    for device in ("quantum", "cuda:99"):
        with pytest.raises(RequestError, match=f"the device '{device}' cannot be used"):
            open_clap(str(folder), device=device)


def test_without_transformers_the_install_command_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"midi-llm\[torch\]"):
        open_clap(str(folder))
