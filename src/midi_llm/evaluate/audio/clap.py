"""CLAP as an ear for sounds and texts, from its public weights. Needs the extra `torch`.

In: a folder or hub id of a `ClapModel` with its feature extractor's settings and `tokenizer.json`, such as
laion/larger_clap_music or laion/clap-htsat-unfused. Out: `Clap`, an `ears.TextEar`: 10 s at 48 kHz a window. Weights
are safetensors, or pytorch_model.bin where there are none: then by torch's reader that runs no code. Nothing is drawn:
the extractor cuts what is longer than a window at random, and is never given any. Knows no metric.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midi_llm.data.files import file_sha256
from midi_llm.errors import CheckpointError, MissingExtraError, RequestError
from midi_llm.evaluate.audio.ears import choose_device
from midi_llm.evaluate.metric import Floats
from midi_llm.model.catalog import HUB_PATTERNS, download
from midi_llm.synth.waveform import Waveform
from midi_llm.weights import quiet_transformers, weight_files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODELS = ("laion/larger_clap_music", "laion/clap-htsat-unfused")
"""What the messages name; the first was trained on music."""
TEXT_IDS = 77
"""At which LAION cuts texts (LAION-AI/CLAP at 043035b, hook.py); transformers alone would not cut them."""
BATCH = 16
CONFIG_FILE, TOKENIZER_FILE, PICKLED_FILE = "config.json", "tokenizer.json", "pytorch_model.bin"
EXTRACTOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Either will do: repositories of before and after transformers 5."""
_REVISION = re.compile(r"[0-9a-f]{40}")
_DIGEST_DIGITS = 16


@dataclass(kw_only=True, slots=True)
class Clap:
    """An opened model; make it with `open_clap`.

    A sound shorter than 10 s is repeated as often as it fits and followed by silence, as LAION does ("repeatpad").
    Differences from LAION's own code (LAION-AI/CLAP, hook.py):

    1. A sound longer than 10 s is cut into windows (`ears.cut_windows`), all of which are heard; there, and in
       transformers, 10 s of it are drawn at random. fadtk's windows begin every second and overlap; ours do not.
    2. Samples are not clipped to full scale and rounded to 16 bits first: loud takes sound as they were rendered.
    """

    model: Any
    extractor: Any
    tokenizer: Tokenizer
    id: str
    sample_rate: int
    window_seconds: float
    device: str
    batch: int = BATCH

    @property
    def hop_seconds(self) -> float:
        """Windows lie side by side."""
        return self.window_seconds

    def embed(self, windows: Sequence[Waveform]) -> Floats:
        """Vectors [windows, d] of length 1.

        Raises `RequestError` for a window that is empty, too long, or at another rate than the model's.
        """
        return self._run([_checked(window, self) for window in windows], self._audio_features)

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Vectors [texts, d] of length 1, of the first `TEXT_IDS` ids of each text."""
        return self._run(list(texts), self._text_features)

    def _run(self, items: Sequence[Any], features: Any) -> Floats:
        import torch

        with torch.inference_mode():
            found = [features(part) for part in _batches(items, self.batch)]
        empty = np.zeros((0, int(self.model.config.projection_dim)))
        return np.concatenate([empty, *(part.float().cpu().numpy().astype(np.float64) for part in found)])

    def _audio_features(self, samples: list[Any]) -> Any:
        inputs = self.extractor(samples, truncation="rand_trunc", sampling_rate=self.sample_rate, return_tensors="pt")
        mel = inputs["input_features"].to(self.device, self.model.dtype)
        return _vectors(self.model.get_audio_features(input_features=mel))

    def _text_features(self, texts: list[str]) -> Any:
        import torch

        encoded = self.tokenizer.encode_batch(texts)
        ids = torch.tensor([one.ids for one in encoded], device=self.device)
        mask = torch.tensor([one.attention_mask for one in encoded], device=self.device)
        return _vectors(self.model.get_text_features(input_ids=ids, attention_mask=mask))


def _vectors(output: Any) -> Any:
    """The projected vectors, which come bare or as the pooler's output, by the version of transformers."""
    return getattr(output, "pooler_output", output)


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _checked(window: Waveform, ear: Clap) -> Any:
    """The mono samples [n]."""
    samples = window.mono()
    longest = round(ear.window_seconds * ear.sample_rate)
    if window.sample_rate != ear.sample_rate or not 0 < len(samples) <= longest:
        raise RequestError(
            f"a window has {len(samples)} samples at {window.sample_rate} Hz; CLAP hears 1 to {longest} at"
            f" {ear.sample_rate} Hz: cut it with cut_windows"
        )
    return samples


def open_clap(model: str, *, device: str = "auto", batch: int = BATCH) -> Clap:
    """Open a folder or hub id; `device` "auto" is CUDA where there is one.

    Raises `MissingExtraError` without torch, transformers, or (for a hub id) huggingface_hub; `CheckpointError` for
    files that cannot be had, are incomplete, or are no CLAP; `RequestError` for a device that is not there.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "torch") from error
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _downloaded(model)
    weights = _check_files(folder)
    chosen = choose_device(device)
    network, loading = _load(
        transformers.ClapModel,
        folder,
        use_safetensors=weights[0].name != PICKLED_FILE,
        weights_only=True,
        output_loading_info=True,
        dtype=torch.float32,
    )
    tensors = network.state_dict()  # integers are positions, which transformers fills in
    missing = sorted(name for name in loading["missing_keys"] if tensors[name].is_floating_point())
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} tensors of a CLAP, {missing[0]} among them; get the checkpoint again"
        )
    extractor = _load(transformers.ClapFeatureExtractor, folder)
    return Clap(
        model=network.eval().requires_grad_(False).to(chosen),
        extractor=extractor,
        tokenizer=_open_tokenizer(folder / TOKENIZER_FILE, network.config.text_config),
        id=_name(model, folder, weights),
        sample_rate=int(extractor.sampling_rate),
        window_seconds=float(extractor.max_length_s),
        device=chosen,
        batch=batch,
    )


def _downloaded(hub_id: str) -> Path:
    """The hub's snapshot: its safetensors, and only where it has none the pickled weights."""
    folder = download(hub_id)
    if any(folder.glob("*.safetensors")):
        return folder
    return download(hub_id, allowed=(*HUB_PATTERNS, PICKLED_FILE), ignored=())


def _check_files(folder: Path) -> tuple[Path, ...]:
    """The weight files. Raises `CheckpointError` for a folder that is not an unfused CLAP."""
    again = f"give a folder or hub id of a CLAP, such as {' or '.join(MODELS)}"
    if not (folder / CONFIG_FILE).is_file():
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}; {again}")
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        kind, is_fused = config.get("model_type"), (config.get("audio_config") or {}).get("enable_fusion", False)
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} cannot be read ({error}); get the checkpoint again") from error
    if kind != "clap":
        raise CheckpointError(f"{folder} holds a model of type {kind!r}, expected 'clap'; {again}")
    if is_fused:
        raise CheckpointError(f"{folder} is a CLAP with fusion, which hears parts drawn at random; {again}")
    if not any((folder / name).is_file() for name in EXTRACTOR_FILES):
        raise CheckpointError(f"{folder} has no {' or '.join(EXTRACTOR_FILES)}; get the checkpoint again")
    if not (folder / TOKENIZER_FILE).is_file():
        raise CheckpointError(f"{folder} has no {TOKENIZER_FILE}; get the checkpoint again")
    pickled = folder / PICKLED_FILE
    return (pickled,) if pickled.is_file() and not any(folder.glob("*.safetensors*")) else weight_files(folder)


def _load(kind: Any, folder: Path, **settings: Any) -> Any:
    """`kind.from_pretrained` of a local folder. Raises `CheckpointError` with the first line of what went wrong."""
    import pickle

    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        with quiet_transformers():
            return kind.from_pretrained(folder, local_files_only=True, **settings)
    except (
        OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError, StrictDataclassError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{folder} cannot be loaded as {kind.__name__} ({cause}); get it again") from error


def _open_tokenizer(path: Path, config: Any) -> Tokenizer:
    """The text tokenizer, which pads and truncates. Raises `CheckpointError` when it is not one of this model."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is no tokenizer ({error}); get the checkpoint again") from error
    if tokenizer.get_vocab_size() > config.vocab_size:
        raise CheckpointError(
            f"{path} has {tokenizer.get_vocab_size()} ids and the text model {config.vocab_size}; they do not belong"
            " together: get the checkpoint again"
        )
    pad = int(config.pad_token_id)
    tokenizer.enable_padding(pad_id=pad, pad_token=tokenizer.id_to_token(pad) or "<pad>")
    tokenizer.enable_truncation(min(TEXT_IDS, int(config.max_position_embeddings) - pad - 1))
    return tokenizer


def _name(model: str, folder: Path, weights: Sequence[Path]) -> str:
    """What was asked for, the revision where the hub's cache tells it, and the digest of all weights."""
    digests = [file_sha256(path) for path in weights]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    revision = f"@{folder.name[:8]}" if _REVISION.fullmatch(folder.name) else ""
    return f"{model}{revision} sha256:{digest[:_DIGEST_DIGITS]}"
