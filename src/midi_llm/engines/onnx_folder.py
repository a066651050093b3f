"""The `onnx/` folder of a checkpoint: read its record, check that it fits the weights, open ONNX Runtime sessions.

In: a checkpoint folder. Out: an `OnnxRecord` and sessions. `EngineError` when the folder is missing, of another
version, incomplete, or made from other weights; the check reads samples of the weights, not all of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from midi_llm.errors import EngineError
from midi_llm.weights import Weights

FORMAT_VERSION = 2
"""The version of meta.json that is understood."""

_ERROR_SEVERITY = 3
_LOAD_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

ort.set_default_logger_severity(_ERROR_SEVERITY)
ort.disable_telemetry_events()


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadBlock:
    """A graph that computes the logits of token ids `start..stop - 1`."""

    file: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxRecord:
    """meta.json: shapes, and where the rows of the two tables and of the head blocks are."""

    folder: Path
    precision: str
    cache: str
    """The number format of cached keys and values: float32 or int8."""
    fingerprint: str
    vocab_size: int
    hidden_size: int
    layers: int
    kv_heads: int
    head_size: int
    max_positions: int
    embedding_tensor: str
    head_tensor: str
    head_blocks: tuple[HeadBlock, ...]


def read_record(checkpoint_dir: Path, weights: Weights) -> OnnxRecord:
    """Read and check `onnx/meta.json` of `checkpoint_dir`."""
    folder = checkpoint_dir / "onnx"
    remedy = f"run: midi-llm export {checkpoint_dir}"
    path = folder / "meta.json"
    if not path.is_file():
        raise EngineError(f"{checkpoint_dir} has no onnx/meta.json, which this engine needs; {remedy}")
    try:
        meta: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = meta["format_version"]
        if version != FORMAT_VERSION:
            raise EngineError(f"{path} has format version {version}, this release reads {FORMAT_VERSION}; {remedy}")
        record = OnnxRecord(
            folder=folder,
            fingerprint=meta["source"]["fingerprint"],
            head_blocks=tuple(
                HeadBlock(file=block["file"], start=block["start"], stop=block["stop"]) for block in meta["head_blocks"]
            ),
            **{name: meta[name] for name in OnnxRecord.__slots__ if name in meta and name != "head_blocks"},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path} cannot be read ({error!r}); {remedy}") from error
    if record.fingerprint != weights.fingerprint():
        raise EngineError(f"{folder} was made from other weights than those in {checkpoint_dir}; {remedy}")
    return record


def open_session(record: OnnxRecord, file: str, *, threads: int) -> ort.InferenceSession:
    """Open one graph of the folder on the CPU. Idle threads sleep: spinning made a loaded machine five times slower."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR_SEVERITY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    path = record.folder / file
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _LOAD_ERRORS as error:
        reason = str(error).splitlines()[0]
        raise EngineError(f"{path} cannot be loaded ({reason}); run: midi-llm export {record.folder.parent}") from error
