"""OnnxEngine: equal to torch in float32, near it when quantised, and clear about a folder it cannot run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.errors import EngineError
from midi_llm.model.export_onnx import export_onnx
from midi_llm.model.layout import read_layout
from midi_llm.model.onnx_cache import quantize_cache
from midi_llm.weights import Weights, write_safetensors

from .conftest import SLOTS, TEXT_ROWS, SlotCycle

torch_engine = pytest.importorskip("midi_llm.engines.torch_engine")
pytest.importorskip("transformers")

PROMPT = [256, 72, 101, 108, 55_026 + TEXT_ROWS]


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path) -> Iterator[object]:
    engine = torch_engine.TorchEngine(tiny_checkpoint, device="cpu", dtype="float32")
    yield engine
    engine.close()


def ids(count: int, seed: int = 0) -> list[int]:
    return [int(value) for value in np.random.default_rng(seed).integers(0, TEXT_ROWS + 55_030, count)]


def test_float32_logits_equal_torch_for_every_slice(tiny_onnx_checkpoint: Path, reference: object) -> None:
    engine = OnnxEngine(tiny_onnx_checkpoint)
    for count in (1, 7, 300):  # 300 is more than one chunk of the prompt
        whole = engine.next_logits(ids(count))
        assert np.abs(whole - reference.next_logits(ids(count))).max() < 1e-4  # type: ignore[attr-defined]
        for start, stop in SLOTS:
            block = engine.next_logits(ids(count), start=start + TEXT_ROWS, stop=stop + TEXT_ROWS)
            assert np.abs(block - whole[start + TEXT_ROWS : stop + TEXT_ROWS]).max() < 1e-4


def test_greedy_decoding_gives_the_ids_of_torch_for_hundreds_of_steps(
    tiny_onnx_checkpoint: Path, reference: object
) -> None:
    def requests() -> list[Request]:
        params = SamplingParams(temperature=0.0, max_tokens=210)
        return [Request(prompt_ids=prompt, params=params, constraint=SlotCycle()) for prompt in (PROMPT, ids(30))]

    ours, theirs = generate(OnnxEngine(tiny_onnx_checkpoint), requests()), generate(reference, requests())  # type: ignore[arg-type]
    assert ours == theirs
    assert len(ours[0].token_ids) == 210


def test_sampled_ids_equal_torch_for_the_same_seed(tiny_onnx_checkpoint: Path, reference: object) -> None:
    def request() -> list[Request]:
        params = SamplingParams(max_tokens=30, seed=11)
        return [Request(prompt_ids=PROMPT, params=params, constraint=SlotCycle())]

    assert generate(OnnxEngine(tiny_onnx_checkpoint), request()) == generate(reference, request())  # type: ignore[arg-type]


def test_untied_grouped_and_rope_scaled_checkpoints_equal_torch(tiny_untied_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "untied"
    shutil.copytree(tiny_untied_checkpoint, folder)
    export_onnx(folder, precision="float32")
    engine = OnnxEngine(folder)
    reference = torch_engine.TorchEngine(folder, device="cpu", dtype="float32")
    prompt = ids(200)  # far enough for the slowed rotations to matter
    assert np.abs(engine.next_logits(prompt) - reference.next_logits(prompt)).max() < 1e-4
    start, stop = (edge + TEXT_ROWS for edge in SLOTS[2])
    head = engine.next_logits(prompt, start=start, stop=stop)
    assert np.abs(head - reference.next_logits(prompt, start=start, stop=stop)).max() < 1e-4


@pytest.mark.parametrize(("precision", "bound"), [("int8", 0.06), ("int4", 0.55)])
def test_quantised_logits_stay_within_the_stated_error(
    tiny_checkpoint: Path, tmp_path: Path, reference: object, precision: str, bound: float
) -> None:
    """Relative root-mean-square error on random weights, the hardest case (no structure to keep): 0.03 and 0.31."""
    folder = tmp_path / precision
    shutil.copytree(tiny_checkpoint, folder)
    export_onnx(folder, precision=precision)  # type: ignore[arg-type]
    engine = OnnxEngine(folder)
    assert engine.precision == precision
    start, stop = SLOTS[0][0] + TEXT_ROWS, SLOTS[2][1] + TEXT_ROWS
    errors = []
    for seed in range(4):
        exact = reference.next_logits(ids(20, seed), start=start, stop=stop)  # type: ignore[attr-defined]
        blocks = [
            engine.next_logits(ids(20, seed), start=first + TEXT_ROWS, stop=last + TEXT_ROWS) for first, last in SLOTS
        ]
        errors.append(np.sqrt(np.square(np.concatenate(blocks) - exact).mean()) / exact.std())
    assert 1e-4 < np.mean(errors) < bound


def test_the_int8_cache_stays_near_float32_over_a_whole_context(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The cache alone: float32 products, so that only keys and values are rounded (relative error 0.006 to 0.016)."""
    folders = []
    for name in ("float32", "int8"):
        folder = tmp_path / name
        shutil.copytree(tiny_checkpoint, folder)
        folders.append(export_onnx(folder, precision="float32"))
    layout = read_layout(tmp_path / "int8")
    quantize_cache(folders[1] / "body.onnx", layout, head_size=layout.hidden_size // layout.heads)
    meta = folders[1] / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"cache": "int8"}))
    exact, rounded = (OnnxEngine(folder.parent) for folder in folders)
    start, stop = (edge + TEXT_ROWS for edge in SLOTS[2])
    for count in (3, 600, 2048):
        reference = exact.next_logits(ids(count), start=start, stop=stop)
        error = rounded.next_logits(ids(count), start=start, stop=stop) - reference
        assert 1e-5 < np.sqrt(np.square(error).mean()) / reference.std() < 0.03


def test_with_an_int8_cache_steps_give_what_a_prompt_of_the_same_ids_gives(tiny_int4_checkpoint: Path) -> None:
    engine = OnnxEngine(tiny_int4_checkpoint)
    params = SamplingParams(temperature=0.0, max_tokens=30)
    requests = [Request(prompt_ids=prompt, params=params, constraint=SlotCycle()) for prompt in (PROMPT, ids(300))]
    for request, completion in zip(requests, generate(engine, requests), strict=True):
        before = [*request.prompt_ids, *completion.token_ids[:-1]]
        start, stop = (edge + TEXT_ROWS for edge in SLOTS[2])
        logits = engine.next_logits(before, start=start, stop=stop)
        drawn = completion.token_ids[-1] - start
        assert logits[drawn] > logits.max() - 2e-2  # activations are rounded per row


def test_it_runs_without_torch_or_transformers(tiny_int4_checkpoint: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from midi_llm.engines.open import open_engine;"
        "from midi_llm.engines.base import *;"
        "e = open_engine(Path(sys.argv[1]), 'onnx');"
        "print(len(generate(e, [Request(prompt_ids=[1], params=SamplingParams(max_tokens=2))])[0].token_ids));"
        "sys.exit(bool({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_int4_checkpoint)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "2", "")


def test_takes_of_one_prompt_share_its_computation_and_differ_by_seed(
    tiny_onnx_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from midi_llm.engines.onnx_batch import OnnxBatch

    filled: list[int] = []
    fill = OnnxBatch.fill
    monkeypatch.setattr(OnnxBatch, "fill", lambda self, row, embeds: filled.append(row) or fill(self, row, embeds))
    requests = [
        Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=9, seed=seed), constraint=SlotCycle())
        for seed in range(3)
    ]
    engine = OnnxEngine(tiny_onnx_checkpoint)
    completions = generate(engine, requests)
    assert filled == [0] * min(engine.workers, len(requests))
    assert len({tuple(completion.token_ids) for completion in completions}) == 3


def test_a_folder_without_onnx_files_says_how_to_make_them(tiny_checkpoint: Path) -> None:
    with pytest.raises(EngineError, match=r"has no onnx/meta.json.*midi-llm export"):
        OnnxEngine(tiny_checkpoint)


def test_a_folder_without_weights_is_an_engine_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no model\.safetensors"):
        OnnxEngine(tmp_path)


@pytest.fixture
def broken(tiny_int4_checkpoint: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_int4_checkpoint, folder)
    return folder


def test_an_onnx_folder_of_another_version_is_refused(broken: Path) -> None:
    path = broken / "onnx" / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(EngineError, match=r"version 99, this release reads 2.*midi-llm export"):
        OnnxEngine(broken)


def test_weights_trained_further_do_not_fit_the_old_onnx_folder(broken: Path) -> None:
    path = broken / "model.safetensors"
    weights = Weights(broken)
    tensors = {name: weights.rows(name) for name in weights.names}
    write_safetensors(path, {name: values * np.float32(1.01) for name, values in tensors.items()}, dtype="F32")
    with pytest.raises(EngineError, match=r"made from other weights.*midi-llm export"):
        OnnxEngine(broken)


@pytest.mark.parametrize("text", ["{", "[]", '{"format_version": 2}'])
def test_a_broken_record_is_refused(broken: Path, text: str) -> None:
    (broken / "onnx" / "meta.json").write_text(text)
    with pytest.raises(EngineError, match=r"cannot be read.*midi-llm export"):
        OnnxEngine(broken)


@pytest.mark.parametrize("name", ["body.onnx", "body.onnx.data", "head_note.onnx"])
def test_a_missing_graph_is_refused(broken: Path, name: str) -> None:
    (broken / "onnx" / name).unlink()
    with pytest.raises(EngineError, match=r"cannot be loaded.*midi-llm export"):
        OnnxEngine(broken)


def test_a_truncated_graph_is_refused(broken: Path) -> None:
    path = broken / "onnx" / "body.onnx"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(EngineError, match=r"cannot be loaded.*midi-llm export"):
        OnnxEngine(broken)
