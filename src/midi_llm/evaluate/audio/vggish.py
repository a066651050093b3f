"""VGGish as an ear, from weights that a user supplies. Needs the extra `torch`.

In: a file with the state dict that torchvggish publishes (harritaylor/torchvggish, vggish-10086976.pth), as safetensors
or as a torch file, which is read by torch's reader that runs no code. Out: `Vggish`, an `ears.Ear`: 128 numbers for
each 0.96 s at 16 kHz. Source of the network: Hershey et al. 2017, "CNN architectures for large-scale audio
classification". Knows no metric.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from midi_llm.data.files import file_sha256
from midi_llm.errors import CheckpointError, MissingExtraError, RequestError
from midi_llm.evaluate.audio.ears import choose_device
from midi_llm.evaluate.metric import Floats
from midi_llm.synth.waveform import Samples, Waveform

if TYPE_CHECKING:
    from torch import Tensor, nn

SAMPLE_RATE = 16_000
FRAME, HOP, TRANSFORM = 400, 160, 512
"""Samples of a frame (25 ms), between frames (10 ms), and of its Fourier transform."""
BANDS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
LOG_OFFSET = 0.01
FRAMES = 96
"""Frames of an example: 0.96 s from the first to the beginning of the next example's first."""
EXAMPLE = (FRAMES - 1) * HOP + FRAME
"""Samples of an example, 0.975 s: the last frame reaches into the next one."""
DIMENSIONS = 128
BATCH = 64

_CONVOLUTIONS = {0: (1, 64), 3: (64, 128), 6: (128, 256), 8: (256, 256), 11: (256, 512), 13: (512, 512)}
"""Place in `features`: channels in and out; a maximum over 2 x 2 follows 0, 3, 8 and 13."""
_LINEARS = {0: (512 * 4 * 6, 4096), 2: (4096, 4096), 4: (4096, DIMENSIONS)}
_POOLED = (0, 3, 8, 13)
_POST_PROCESSING = "pproc."
"""Prefix of the PCA that may lie in the file too."""


@dataclass(kw_only=True, slots=True)
class Vggish:
    """An opened network; make it with `open_vggish`.

    Differences from torchvggish:

    1. Neither PCA with whitening nor rounding to 8 bits follows, and not the last ReLU: as fadtk, and as is common for
       FAD. Figures with post-processing are others.
    2. A last example of which at least half is there is filled up with silence (`ears.cut_windows`); there it is
       dropped. Nothing is resampled: render at 16 kHz.
    """

    features: nn.Module
    embeddings: nn.Module
    id: str
    device: str
    batch: int = BATCH

    @property
    def sample_rate(self) -> int:
        """Always 16 kHz."""
        return SAMPLE_RATE

    @property
    def window_seconds(self) -> float:
        """What the frames of an example reach over."""
        return EXAMPLE / SAMPLE_RATE

    @property
    def hop_seconds(self) -> float:
        """From example to example."""
        return FRAMES * HOP / SAMPLE_RATE

    def embed(self, windows: Sequence[Waveform]) -> Floats:
        """Vectors [windows, 128]. Raises `RequestError` for a window that is too long or at another rate."""
        import torch

        mels = [log_mel(_filled(window)) for window in windows]
        found: list[Floats] = [np.zeros((0, DIMENSIONS))]
        with torch.inference_mode():
            for start in range(0, len(mels), self.batch):
                examples = np.stack(mels[start : start + self.batch])[:, None].astype(np.float32)
                found.append(self._forward(torch.from_numpy(examples).to(self.device)).cpu().numpy().astype(np.float64))
        return np.concatenate(found)

    def _forward(self, examples: Tensor) -> Tensor:
        """[examples, 1, 96, 64] to [examples, 128]; channels come last when the picture is laid flat."""
        picture: Tensor = self.features(examples)  # [examples, 512, 6, 4]
        vectors: Tensor = self.embeddings(picture.permute(0, 2, 3, 1).flatten(1))
        return vectors


def _filled(window: Waveform) -> Samples:
    """An example's samples [15600], silence at the end."""
    samples = window.mono()
    if window.sample_rate != SAMPLE_RATE or len(samples) > EXAMPLE:
        raise RequestError(
            f"a window has {len(samples)} samples at {window.sample_rate} Hz; VGGish hears up to {EXAMPLE} at"
            f" {SAMPLE_RATE} Hz: cut it with cut_windows"
        )
    return np.pad(samples, (0, EXAMPLE - len(samples)))


def log_mel(samples: npt.NDArray[np.floating[Any]]) -> Floats:
    """Log of the mel spectrum [frames, 64] of samples [n] at 16 kHz; frames that are not whole are left out.

    Magnitudes, not powers; a periodic Hann window; triangles that are straight on the mel scale of HTK.
    """
    if len(samples) < FRAME:
        return np.zeros((0, BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, np.float64), FRAME)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    magnitudes = np.abs(np.fft.rfft(frames * window, TRANSFORM))
    return np.asarray(np.log(magnitudes @ mel_filters() + LOG_OFFSET))


@cache
def mel_filters() -> Floats:
    """Weights [257, 64] of the frequencies in each band, 1 at its middle; frequency 0 is in none."""
    mel = _mel(np.linspace(0.0, SAMPLE_RATE / 2, TRANSFORM // 2 + 1))[:, None]
    edges = np.linspace(_mel(np.array(LOWEST_HZ)), _mel(np.array(HIGHEST_HZ)), BANDS + 2)
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(np.minimum(rising, falling), 0.0))


def _mel(hertz: Floats) -> Floats:
    """HTK's mel scale."""
    return np.asarray(1127.0 * np.log(1.0 + hertz / 700.0))


def open_vggish(path: Path, *, device: str = "auto", batch: int = BATCH) -> Vggish:
    """Open a file of weights; `device` "auto" is CUDA where there is one.

    Raises `MissingExtraError` without torch; `CheckpointError` for a file that is missing, broken or of another layout;
    `RequestError` for a device that is not there.
    """
    try:
        from torch import nn
    except ImportError as error:
        raise MissingExtraError("torch", "torch") from error
    state = {name: value for name, value in _read(path).items() if not name.startswith(_POST_PROCESSING)}
    _check_shapes(path, state)
    layers: list[nn.Module] = []
    for place, (inner, outer) in _CONVOLUTIONS.items():
        layers += [nn.Conv2d(inner, outer, 3, padding=1, device="meta"), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if place in _POOLED else []
    features = nn.Sequential(*layers)
    first, second, last = (nn.Linear(inner, outer, device="meta") for inner, outer in _LINEARS.values())
    embeddings = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
    chosen = choose_device(device)
    for name, part in (("features", features), ("embeddings", embeddings)):
        mine = {
            key.removeprefix(f"{name}."): value.float() for key, value in state.items() if key.startswith(f"{name}.")
        }
        part.load_state_dict(mine, assign=True)
        part.eval().requires_grad_(False).to(chosen)
    return Vggish(
        features=features,
        embeddings=embeddings,
        id=f"{path.name} sha256:{file_sha256(path)[:16]}",
        device=chosen,
        batch=batch,
    )


def _read(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a safetensors or torch file."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be loaded ({cause}); give torchvggish's weights") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no state dict; give torchvggish's weights, vggish-10086976.pth")
    return state


def _check_shapes(path: Path, state: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` unless `state` has exactly the published tensors."""
    shapes: dict[str, tuple[int, ...]] = {}
    for place, (inner, outer) in _CONVOLUTIONS.items():
        shapes |= {f"features.{place}.weight": (outer, inner, 3, 3), f"features.{place}.bias": (outer,)}
    for place, (inner, outer) in _LINEARS.items():
        shapes |= {f"embeddings.{place}.weight": (outer, inner), f"embeddings.{place}.bias": (outer,)}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{path}: {len(wrong)} tensors are not VGGish's; {name} is {found.get(name, 'missing')}, expected"
            f" {shapes.get(name, 'no such tensor')}; give torchvggish's weights, vggish-10086976.pth"
        )
