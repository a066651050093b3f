"""Devices that are there, weights that they hold, and kernels that cannot be used."""

from __future__ import annotations

import logging
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from midi_llm.engines import torch_device
from midi_llm.engines.torch_device import check_format, choose_ops, find_device
from midi_llm.engines.torch_llama import from_transformers
from midi_llm.engines.torch_ops import PlainOps
from midi_llm.errors import EngineError

from .small_llama import model_of


@pytest.mark.parametrize(
    ("cuda", "mps", "found"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")], ids=str
)
def test_auto_is_the_fastest_device_there_is(
    cuda: bool, mps: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert find_device("auto").type == found
    assert find_device("cpu").type == "cpu"


def test_devices_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device, text in (("gpu7", "not known"), ("cuda", "no CUDA"), ("mps", "no MPS"), ("meta", "no META")):
        with pytest.raises(EngineError, match=text):
            find_device(device)


def test_fp8_needs_a_gpu_that_converts_it() -> None:
    for weights, device, capability in (
        ("int8", "cpu", None),
        ("fp8", "cpu", None),
        ("int8", "mps", None),
        ("int8", "cuda", (7, 5)),
        ("fp8", "cuda", (8, 9)),
        ("fp8", "cuda", (9, 0)),
        ("fp8", "cuda", (12, 0)),
    ):
        check_format(weights, device, capability)
    with pytest.raises(EngineError, match=r"8\.9, this one has 8\.0; use int8.*bfloat16"):
        check_format("fp8", "cuda", (8, 0))
    with pytest.raises(EngineError, match="Apple GPU; use int8"):
        check_format("fp8", "mps", None)
    with pytest.raises(EngineError, match="'int4' are not known; allowed are int8 and fp8"):
        check_format("int4", "cpu", None)


class TritonError(Exception):
    """In place of `triton.errors.TritonError`."""


def with_triton(monkeypatch: pytest.MonkeyPatch, *, fitting: bool = True) -> None:
    """Stand-ins for triton and for the kernels, so that no compiler is needed."""
    errors, kernels = ModuleType("triton.errors"), ModuleType("midi_llm.engines.torch_kernels")
    errors.TritonError = TritonError  # type: ignore[attr-defined]
    kernels.KernelOps, kernels.fits = PlainOps, lambda llama: fitting  # type: ignore[attr-defined]
    for module in (ModuleType("triton"), errors, kernels):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def failing(error: Exception) -> Any:
    def agrees(*_: Any) -> bool:
        raise error

    return agrees


class CompilationError(TritonError):
    def __init__(self) -> None:
        super().__init__("at 3:4:\n    x = y\n    ^\ntype fp8 not supported")
        self.error_message = "type fp8 not supported"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CompilationError(), "CompilationError: type fp8 not supported"),
        (RuntimeError("PassManager::run failed\nand more"), "RuntimeError: PassManager::run failed"),
        (subprocess.CalledProcessError(1, ["gcc"]), "CalledProcessError: Command '['gcc']' returned non-zero"),
        (PermissionError(13, "Permission denied"), "PermissionError: [Errno 13] Permission denied"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kernels_that_fail_are_left_out_with_one_line(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_triton(monkeypatch)
    monkeypatch.setattr(torch_device, "agrees", failing(error))
    with pytest.raises(EngineError) as caught:
        torch_device.trusted_kernels(from_transformers(model_of()))
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_kernels_that_differ_or_do_not_fit_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    llama = from_transformers(model_of())
    with_triton(monkeypatch)
    assert type(torch_device.trusted_kernels(llama)) is PlainOps  # the stand-in
    monkeypatch.setattr(torch_device, "agrees", lambda *_: False)
    with pytest.raises(EngineError, match="do not give what plain torch gives"):
        torch_device.trusted_kernels(llama)
    with_triton(monkeypatch, fitting=False)
    with pytest.raises(EngineError, match="sizes of this model"):
        torch_device.trusted_kernels(llama)
    monkeypatch.setitem(sys.modules, "triton.errors", None)
    with pytest.raises(EngineError, match="triton cannot be imported"):
        torch_device.trusted_kernels(llama)


def test_a_mistake_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with_triton(monkeypatch)
    monkeypatch.setattr(torch_device, "agrees", failing(TypeError("attend() got an unexpected argument")))
    with pytest.raises(TypeError):
        torch_device.trusted_kernels(from_transformers(model_of()))


def test_the_plain_step_stands_in_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Any) -> PlainOps:
        raise EngineError("OutOfResources: out of resource: shared memory")

    class OnCuda:
        device = torch.device("cuda")

    monkeypatch.setattr(torch_device.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch_device, "trusted_kernels", refuse)
    with caplog.at_level(logging.WARNING):
        assert type(choose_ops(OnCuda())) is PlainOps  # type: ignore[arg-type]
    (record,) = caplog.records
    assert record.getMessage().endswith("without the Triton kernels: OutOfResources: out of resource: shared memory")
    assert type(choose_ops(from_transformers(model_of()))) is PlainOps
    assert len(caplog.records) == 1  # a CPU has none to miss
