"""Ears: what turns sound into the vectors that FAD, KAD and the CLAP score compare, and how sound is cut for them.

In: a `Waveform` at the ear's sample rate. Out: windows of the length that the ear hears at once, one vector each.
`Ear` is what a metric asks of a network (`clap.Clap`, `vggish.Vggish`, one of your own); `TextEar` also hears texts, in
the same space. Knows no network and no metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Floats
from midi_llm.synth.waveform import Waveform

LEAST_OF_A_WINDOW = 0.5
"""A last window that holds less sound than this share of its length is dropped."""


@runtime_checkable
class Ear(Protocol):
    """A network that hears. Two sets can be compared only when ears of the same `id` heard them."""

    @property
    def id(self) -> str:
        """Model and digest of its weights, for the report."""

    @property
    def sample_rate(self) -> int:
        """Hz that sound must have; nothing is resampled here."""

    @property
    def window_seconds(self) -> float:
        """The longest sound that `embed` takes."""

    @property
    def hop_seconds(self) -> float:
        """From the beginning of one window to the next."""

    def embed(self, windows: Sequence[Waveform]) -> Floats:
        """Vectors [windows, d]; a window shorter than `window_seconds` is filled up in the ear's own way."""


@runtime_checkable
class TextEar(Ear, Protocol):
    """An ear in whose space texts have vectors too."""

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Vectors [texts, d]."""


def cut_windows(waveform: Waveform, ear: Ear) -> list[Waveform]:
    """Cut a take into the mono windows that `ear` hears, from its beginning on; none where there is no sample.

    The first window is kept however short it is, a later one when at least half of it (`LEAST_OF_A_WINDOW`) is there.
    Raises `RequestError` for another sample rate than the ear's.
    """
    if waveform.sample_rate != ear.sample_rate:
        raise RequestError(
            f"the sound has {waveform.sample_rate} Hz and {ear.id} hears {ear.sample_rate} Hz; render at that rate"
        )
    length, hop = (round(seconds * ear.sample_rate) for seconds in (ear.window_seconds, ear.hop_seconds))
    mono = waveform.mono()
    starts = [
        start for start in range(0, len(mono), hop) if start == 0 or len(mono) - start >= LEAST_OF_A_WINDOW * length
    ]
    return [Waveform(samples=mono[None, start : start + length], sample_rate=ear.sample_rate) for start in starts]


def choose_device(device: str) -> str:
    """The torch device of that name; "auto" is CUDA where there is one. Needs torch.

    Raises `RequestError` when it cannot be had.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was compiled with CUDA
        cause = str(error).strip().splitlines()[0]
        raise RequestError(f"the device {device!r} cannot be used ({cause}); take cpu, cuda or auto") from error
    return device
