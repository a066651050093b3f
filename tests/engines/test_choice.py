"""Which engine "auto" means, for facts about machines that are made up here, and what finding them loads."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from midi_llm.engines import devices
from midi_llm.engines.choice import Facts, choose, find_facts
from midi_llm.engines.open import choose_engine, open_engine
from midi_llm.errors import EngineError

FOLDER = Path("some/model")
ALL = Facts(device="cuda", has_torch=True, is_usable=True, has_vllm=True, onnx="int8")


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({}, "vllm", "there is a CUDA device and vLLM is installed"),
        ({"vllm_fault": "vLLM 0.9 is too old"}, "torch", "there is a CUDA device; vLLM 0.9 is too old"),
        ({"has_vllm": False}, "torch", "there is a CUDA device; vLLM is not installed"),
        ({"device": "mps"}, "torch", "there is an MPS device"),
        (
            {"is_usable": False},
            "onnx",
            "the torch that is installed does not compute on the CUDA device; the folder has ONNX files (int8)",
        ),
        (
            {"device": "mps", "is_usable": False, "has_torch": False, "has_vllm": False},
            "onnx",
            "the MPS device needs torch and transformers, which are not installed; the folder has ONNX files (int8)",
        ),
        (
            {"device": None, "is_usable": False},
            "onnx",
            "no CUDA or MPS device; the folder has ONNX files (int8)",
        ),
        (
            {"device": None, "is_usable": False, "onnx": None},
            "torch",
            "no CUDA or MPS device; the folder has no ONNX files",
        ),
    ],
)
def test_auto_takes_the_best_that_can_run_and_says_why(changes: dict[str, object], name: str, reason: str) -> None:
    choice = choose(dataclasses.replace(ALL, **changes), folder=FOLDER)
    assert (choice.name, choice.reason) == (name, reason)


def test_the_others_that_could_run_are_named_in_order() -> None:
    assert choose(ALL, folder=FOLDER).others == ("torch", "onnx")
    assert choose(Facts(has_torch=True, onnx="int8"), folder=FOLDER).others == ("torch",)
    assert choose(Facts(onnx="int8"), folder=FOLDER).others == ()


def test_nothing_that_can_run_is_an_error_with_both_ways_out() -> None:
    with pytest.raises(EngineError, match=r"midi-llm export some/model.*pip install 'midi-llm\[torch\]'"):
        choose(Facts(device="cuda", has_vllm=True), folder=FOLDER)


def test_an_engine_that_is_asked_for_is_taken_whatever_the_facts_and_others_are_refused() -> None:
    choice = choose_engine(FOLDER, "torch", facts=ALL)
    assert (choice.name, choice.reason, choice.others) == ("torch", "asked for", ())
    with pytest.raises(EngineError, match="allowed are auto, onnx, torch, vllm"):
        choose_engine(FOLDER, "tensorrt")


def test_the_folder_tells_the_format_of_its_onnx_files(tiny_int4_checkpoint: Path, tmp_path: Path) -> None:
    assert find_facts(tiny_int4_checkpoint).onnx == "int4"
    assert find_facts(tmp_path).onnx is None
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "meta.json").write_text("[]", encoding="utf-8")
    assert find_facts(tmp_path).onnx == "of an unknown format"


def test_the_choice_loads_neither_torch_nor_an_engine_where_there_is_no_device(tiny_int4_checkpoint: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from midi_llm.engines.open import choose_engine;"
        "print(choose_engine(Path(sys.argv[1])).name, *{'torch', 'vllm', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_int4_checkpoint)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path), "CUDA_VISIBLE_DEVICES": ""},
    )
    if devices.find_device() == "mps":
        pytest.skip("an Apple GPU is there whatever the environment says")
    assert done.stdout.split() == ["onnx"]


def test_a_torch_without_cuda_is_seen_without_loading_it(tiny_int4_checkpoint: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from midi_llm.engines import choice;"
        "choice.find_device = lambda: 'cuda'; facts = choice.find_facts(Path(sys.argv[1]));"
        "print(facts.has_torch, facts.is_usable, 'torch' in sys.modules)"
    )
    if torch.version.cuda is not None:
        pytest.skip("this torch is built with CUDA")
    command = [sys.executable, "-c", code, str(tiny_int4_checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.split() == ["True", "False", "False"]


def test_the_log_says_which_engine_and_why(tiny_int4_checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="midi_llm")
    open_engine(tiny_int4_checkpoint, "onnx").close()
    assert caplog.messages == ["engine onnx: asked for"]


def test_when_the_choice_cannot_be_opened_the_error_says_who_chose_it_and_nothing_else_is_opened(
    tiny_int4_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midi_llm.engines.choice.find_device", lambda: None)
    (tmp_path / "onnx").mkdir()
    meta = json.loads((tiny_int4_checkpoint / "onnx" / "meta.json").read_text(encoding="utf-8"))
    (tmp_path / "onnx" / "meta.json").write_text(json.dumps(meta | {"format_version": 99}), encoding="utf-8")
    for file in tiny_int4_checkpoint.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(EngineError, match=r"format version 99.*auto chose onnx: .*--engine torch"):
        open_engine(tmp_path)
    with pytest.raises(EngineError, match=r"midi-llm export [^(]*$"):
        open_engine(tmp_path, "onnx")


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_devices_that_the_environment_hides_are_not_there(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "count_nvidia", lambda: 1)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert devices.find_device() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert devices.find_device() == "cuda"


def test_without_a_driver_there_is_no_device() -> None:
    assert devices.count_nvidia("libthere-is-no-such-driver.so.1") == 0
