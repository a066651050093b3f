"""The names a user may rely on."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import midi_llm
from midi_llm import errors

ROOT = Path(__file__).resolve().parents[1]

PUBLIC = {
    *("Composer", "Finding", "Note", "Piece", "Progress", "Score", "Track", "Wishes"),
    *("asked_for", "compose", "compose_takes", "read_midi", "write_midi", "__version__"),
    *("MidiLLMError", "RequestError", "OutputError", "MidiReadError", "TokenError", "PromptError"),
    *(
        "CheckpointError",
        "EngineError",
        "SynthesisError",
        "DatasetError",
        "TrainingError",
        "ServiceError",
        "MissingExtraError",
    ),
}


def test_the_public_names_are_exactly_these() -> None:
    assert set(midi_llm.__all__) == PUBLIC
    assert dir(midi_llm) == sorted(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(midi_llm, name) is not None


def test_every_error_is_public_and_stands_in_the_tree() -> None:
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert classes <= PUBLIC
    assert all(issubclass(getattr(errors, name), errors.MidiLLMError) for name in classes)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsuch"):
        _ = midi_llm.nonsuch


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert midi_llm.__version__ == project["version"]


@pytest.mark.parametrize(
    "first", ["midi_llm.compose.piece", "midi_llm.compose.composer", "midi_llm.cli.main", "midi_llm"]
)
def test_compose_is_the_function_whatever_is_imported_first(first: str) -> None:
    code = f"import {first}; import midi_llm; from midi_llm import Piece; print(midi_llm.compose.__qualname__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "compose\n"


def test_compose_takes_its_wishes_by_name_only() -> None:
    kinds = [parameter.kind for parameter in inspect.signature(midi_llm.compose).parameters.values()]
    assert kinds[0] is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds[1:]) == {inspect.Parameter.KEYWORD_ONLY}
