from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from midi_llm.errors import CheckpointError, MissingExtraError
from midi_llm.model import catalog
from midi_llm.model.catalog import list_models, resolve_model

HUB_ID = "slseanwu/MIDI-LLM_Llama-3.2-1B"


class Hub:
    """Stands in for the hub: records every call and answers with a folder or with an error."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answer: str | BaseException = ConnectionError("the test asked for the network")

    def snapshot_download(self, repo_id: str, **settings: Any) -> str:
        self.calls.append((repo_id, settings))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def hub_error(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    """A hub error as the library makes it, from an HTTP response."""
    http = sys.modules[errors.HTTPError.__module__.split(".")[0]]
    response = http.Response(status, request=http.Request("GET", "https://huggingface.co/api"))
    return kind(f"{status} Client Error.\n\nlong story\nin lines", response=response)


def message(model: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        resolve_model(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_used_as_it_is_and_never_looked_up(hub: Hub, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_model(tmp_path / "org") == tmp_path / "org"
    assert resolve_model("org/name") == Path("org/name")
    assert resolve_model("./nano") == Path("nano")
    assert resolve_model(Path("nano")) == Path("nano")
    assert hub.calls == []


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert resolve_model("~/mine") == tmp_path / "mine"


def test_the_bundled_model_lies_in_the_package(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "nano").mkdir(parents=True)
    monkeypatch.setattr(catalog, "files", lambda package: tmp_path)
    assert resolve_model("nano") == tmp_path / "models" / "nano"
    assert [entry.available for entry in list_models() if entry.name == "nano"] == [True]
    assert hub.calls == []


def test_a_bundled_model_that_is_absent_says_so(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "files", lambda package: tmp_path)
    assert "bundled model 'nano' is not in this installation" in message("nano")
    assert [entry.available for entry in list_models() if entry.name == "nano"] == [False]
    assert hub.calls == []


@pytest.mark.parametrize("model", ["nanoo", "", "a/b/c", "../nowhere/x", "/nowhere/at all", Path("org/name")])
def test_an_unknown_model_lists_the_names_and_stays_offline(hub: Hub, model: str | Path) -> None:
    assert "nano, midi-llm-1b" in message(model)
    assert hub.calls == []


def test_a_mistyped_path_below_an_existing_folder_is_not_a_hub_id(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "model.safetensors").write_text("")
    monkeypatch.chdir(tmp_path)
    assert "no model 'runs/nanoo'" in message("runs/nanoo")
    assert "'model.safetensors' is a file" in message("model.safetensors")
    assert hub.calls == []


@pytest.mark.parametrize(("model", "asked"), [("midi-llm-1b", HUB_ID), (HUB_ID, HUB_ID), ("org/some.model", None)])
def test_a_hub_model_is_fetched_without_pickles_and_without_code(
    hub: Hub, tmp_path: Path, model: str, asked: str | None
) -> None:
    hub.answer = str(tmp_path)
    assert resolve_model(model) == tmp_path
    ((repo_id, settings),) = hub.calls
    assert repo_id == (asked or model)
    names = ["config.json", "tokenizer.json", "model-00001-of-00002.safetensors", "onnx/body.onnx", "x.bin", "x.py"]
    wanted = huggingface_hub.utils.filter_repo_objects(names, **settings)
    assert list(wanted) == names[:4]


def failures() -> list[tuple[BaseException, str]]:
    http = sys.modules[errors.HTTPError.__module__.split(".")[0]]
    return [
        (errors.LocalEntryNotFoundError("Cannot find a snapshot.\nMore."), "Cannot find a snapshot); try again when"),
        (errors.OfflineModeIsEnabled("offline mode is enabled."), "offline mode is enabled"),
        (http.ProxyError("403 Forbidden"), "403 Forbidden"),
        (http.ConnectTimeout(""), "(ConnectTimeout)"),
        (OSError(28, "No space left on device"), "No space left"),
        (hub_error(errors.HfHubHTTPError, 500), "500 Client Error"),
        (hub_error(errors.RevisionNotFoundError, 404), "404 Client Error"),
        (hub_error(errors.RepositoryNotFoundError, 404), "no public model"),
        (hub_error(errors.GatedRepoError, 403), "terms to be accepted"),
    ]


@pytest.mark.parametrize(("error", "text"), failures())
def test_a_failed_download_is_one_line_with_the_cause_and_the_way_out(
    hub: Hub, error: BaseException, text: str
) -> None:
    hub.answer = error
    found = message("midi-llm-1b")
    assert text in found
    assert HUB_ID in found


def test_the_real_hub_library_is_offline_in_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="could not be downloaded") as caught:
        resolve_model("midi-llm-1b")
    assert isinstance(caught.value.__cause__, errors.LocalEntryNotFoundError)
    assert [entry.available for entry in list_models() if entry.where == HUB_ID] == [False]


def test_a_missing_hub_library_gives_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"midi-llm\[hub\]"):
        resolve_model(HUB_ID)
    assert len(list_models()) == 2


def test_every_entry_has_a_description_and_a_licence(hub: Hub) -> None:
    entries = list_models()
    assert [entry.name for entry in entries] == ["nano", "midi-llm-1b"]
    assert all(entry.description and entry.licence and entry.where for entry in entries)
    assert hub.calls == []
