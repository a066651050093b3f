"""VGGish: the published layout and no other, its front end against a naive transform, its network against its paper."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from evaluate.audio.sounds import sine
from midi_llm.data.files import file_sha256
from midi_llm.errors import CheckpointError, MissingExtraError, RequestError
from midi_llm.evaluate.audio import vggish
from midi_llm.evaluate.audio.ears import Ear, TextEar, cut_windows
from midi_llm.evaluate.audio.vggish import EXAMPLE, log_mel, mel_filters, open_vggish
from midi_llm.synth.waveform import Waveform

RATE = 16_000
LAYOUT = {
    "features.0": (64, 1, 3, 3), "features.3": (128, 64, 3, 3), "features.6": (256, 128, 3, 3),
    "features.8": (256, 256, 3, 3), "features.11": (512, 256, 3, 3), "features.13": (512, 512, 3, 3),
    "embeddings.0": (4096, 12288), "embeddings.2": (4096, 4096), "embeddings.4": (128, 4096),
}  # fmt: skip


def random_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of the published shapes. All rows of the two large matrices are equal, so that the file stays small."""
    rng = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in LAYOUT.items():
        spread = math.sqrt(2 / math.prod(shape[1:]))
        if name not in {"embeddings.0", "embeddings.2"}:
            state[f"{name}.weight"] = spread * torch.randn(shape, generator=rng)
        else:
            state[f"{name}.weight"] = (spread * torch.randn((1, shape[1]), generator=rng)).expand(shape)
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=rng)
    return state


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_state()


@pytest.fixture(scope="module")
def path(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def ear(path: Path) -> vggish.Vggish:
    return open_vggish(path, device="cpu")


def by_the_book(state: dict[str, torch.Tensor], examples: np.ndarray) -> np.ndarray:
    """The network of Hershey et al., layer by layer; what is flattened runs over time, then bands, then channels."""
    x = torch.from_numpy(examples)[:, None].float()
    for name in (name for name in LAYOUT if name.startswith("features")):
        x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1).clamp(min=0)
        if name not in {"features.6", "features.11"}:
            x = functional.max_pool2d(x, 2)
    batch, channels, time, bands = x.shape
    assert (channels, time, bands) == (512, 6, 4)
    flat = torch.stack([x[:, :, t, b] for t in range(time) for b in range(bands)], dim=1).reshape(batch, -1)
    for name in ("embeddings.0", "embeddings.2"):
        flat = (flat @ state[f"{name}.weight"].T + state[f"{name}.bias"]).clamp(min=0)
    return (flat @ state["embeddings.4.weight"].T + state["embeddings.4.bias"]).numpy()


def test_the_network_is_the_published_one_without_its_last_relu(
    ear: vggish.Vggish, state: dict[str, torch.Tensor]
) -> None:
    rng = np.random.default_rng(0)
    noise = Waveform(samples=(0.1 * rng.normal(size=(2, EXAMPLE))).astype(np.float32), sample_rate=RATE)
    windows = [sine(440, EXAMPLE / RATE, rate=RATE), noise]
    found = ear.embed(windows)
    expected = by_the_book(state, np.stack([log_mel(window.mono()) for window in windows]))
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert found.shape == (2, 128)
    assert (found < 0).any()
    assert np.abs(found[0] - found[1]).max() > 1e-2


def naive_log_mel(samples: np.ndarray) -> np.ndarray:
    """Sums instead of transforms, hertz by hertz."""
    mel = [1127 * math.log(1 + 8000 * bin_ / 256 / 700) for bin_ in range(257)]
    low, high = (1127 * math.log(1 + hertz / 700) for hertz in (125, 7500))
    edges = [low + (high - low) * number / 65 for number in range(66)]
    weights = np.zeros((257, 64))
    for bin_ in range(1, 257):
        for band in range(64):
            up = (mel[bin_] - edges[band]) / (edges[band + 1] - edges[band])
            down = (edges[band + 2] - mel[bin_]) / (edges[band + 2] - edges[band + 1])
            weights[bin_, band] = max(0.0, min(up, down))
    wave = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    rows = []
    for start in range(0, len(samples) - 399, 160):
        hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)])
        rows.append(np.log(np.abs(wave @ (samples[start : start + 400] * hann)) @ weights + 0.01))
    return np.array(rows)


@pytest.mark.parametrize("hertz", [150.0, 440.0, 1000.0, 7000.0])
def test_the_front_end_is_that_of_naive_sums_and_a_sine_is_in_its_band(hertz: float) -> None:
    rng = np.random.default_rng(0)
    samples = sine(hertz, 0.1, rate=RATE).samples[0] + 0.01 * rng.normal(size=1600)
    found = log_mel(samples)
    assert np.abs(found - naive_log_mel(samples)).max() < 1e-9
    middles = np.linspace(*(1127 * math.log(1 + edge / 700) for edge in (125.0, 7500.0)), 66)[1:-1]
    nearest = int(np.abs(middles - 1127 * math.log(1 + hertz / 700)).argmin())
    assert np.abs(found.mean(axis=0).argmax() - nearest) <= 1


def test_every_band_hears_something_and_the_lowest_frequency_nothing() -> None:
    assert mel_filters().shape == (257, 64)
    assert (mel_filters().sum(axis=0) > 0).all()
    assert not mel_filters()[0].any()


def test_silence_is_the_log_of_the_offset() -> None:
    assert np.abs(log_mel(np.zeros(EXAMPLE)) - math.log(0.01)).max() < 1e-12


@pytest.mark.parametrize(
    ("seconds", "examples"), [(0.2, 1), (0.975, 1), (1.4, 1), (1.45, 2), (1.935, 2), (9.615, 10), (30.0, 31)]
)
def test_examples_begin_every_96_hundredths(ear: vggish.Vggish, seconds: float, examples: int) -> None:
    waveform = sine(440, seconds, rate=RATE, channels=2)
    windows = cut_windows(waveform, ear)
    assert len(windows) == examples
    whole = log_mel(np.pad(waveform.mono(), (0, EXAMPLE)))
    for number, window in enumerate(windows):
        found = log_mel(vggish._filled(window))
        assert found.shape == (96, 64)
        assert np.abs(found - whole[96 * number : 96 * (number + 1)]).max() < 1e-9


def test_too_few_samples_have_no_frame() -> None:
    assert log_mel(np.zeros(399)).shape == (0, 64)
    assert log_mel(np.zeros(400)).shape == (1, 64)


def test_it_is_an_ear_that_reads_no_texts(ear: vggish.Vggish, path: Path) -> None:
    assert isinstance(ear, Ear)
    assert not isinstance(ear, TextEar)
    assert (ear.sample_rate, ear.window_seconds, ear.hop_seconds) == (RATE, 0.975, 0.96)
    assert ear.id == f"vggish.pth sha256:{file_sha256(path)[:16]}"
    assert ear.embed([]).shape == (0, 128)


def test_batches_change_nothing(path: Path, ear: vggish.Vggish) -> None:
    windows = cut_windows(sine(440, 1.9, rate=RATE), ear)
    assert len(windows) == 2
    assert open_vggish(path, device="cpu", batch=1).embed(windows) == pytest.approx(ear.embed(windows), abs=1e-4)


def test_what_is_no_window_is_refused(ear: vggish.Vggish) -> None:
    for window in (sine(440, 1.0, rate=RATE), sine(440, 0.5, rate=44_100)):
        with pytest.raises(RequestError, match="VGGish hears up to 15600 at 16000 Hz"):
            ear.embed([window])


def test_the_post_processing_in_the_file_is_left_out(
    path: Path, tmp_path: Path, ear: vggish.Vggish, state: dict[str, torch.Tensor]
) -> None:
    torch.save(state | {"pproc.pca_means": torch.ones(128, 1)}, tmp_path / "vggish.pth")
    window = [sine(440, 0.9, rate=RATE)]
    assert (open_vggish(tmp_path / "vggish.pth", device="cpu").embed(window) == ear.embed(window)).all()


def test_a_safetensors_file_is_read_too(
    tmp_path: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vggish, "_LINEARS", {0: (12288, 8), 2: (8, 8), 4: (8, 128)})
    rng = torch.Generator().manual_seed(1)
    small = {name: value for name, value in state.items() if name.startswith("features")}
    for place, (inner, outer) in vggish._LINEARS.items():
        small[f"embeddings.{place}.weight"] = torch.randn((outer, inner), generator=rng) / math.sqrt(inner)
        small[f"embeddings.{place}.bias"] = torch.randn(outer, generator=rng)
    torch.save(small, tmp_path / "v.pth")
    save_file(small, tmp_path / "v.safetensors")
    one, other = (open_vggish(tmp_path / name, device="cpu") for name in ("v.pth", "v.safetensors"))
    window = [sine(440, 0.9, rate=RATE)]
    assert (one.embed(window) == other.embed(window)).all()
    assert one.embed(window).std() > 0.1


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('code ran')",)


def test_files_that_are_no_vggish_are_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    cases: list[tuple[Any, str]] = [
        (state | {"features.0.weight": torch.zeros(64, 3, 3, 3)}, r"1 tensors are not .* is \(64, 3, 3, 3\), expected"),
        ({name: value for name, value in state.items() if name != "embeddings.4.bias"}, "embeddings.4.bias is missing"),
        (state | {"extra": torch.zeros(1)}, "extra is .* expected no such tensor"),
        ([torch.zeros(3)], "is no state dict"),
        (Bomb(), "cannot be loaded"),
    ]
    for number, (content, message) in enumerate(cases):
        path = tmp_path / f"{number}.pth"
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=message):
            open_vggish(path, device="cpu")
    save_file({"features.0.bias": torch.zeros(64)}, tmp_path / "little.safetensors")
    with pytest.raises(CheckpointError, match="17 tensors are not VGGish's"):
        open_vggish(tmp_path / "little.safetensors", device="cpu")
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            open_vggish(tmp_path / name, device="cpu")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        open_vggish(tmp_path / "nowhere.pth", device="cpu")


def test_without_torch_the_install_command_is_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"midi-llm\[torch\]"):
        open_vggish(path)
