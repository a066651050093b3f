"""The Dockerfile and the compose file of deploy/ agree with the program, the Makefile and the repository."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from midi_llm.cli import serve
from midi_llm.cli.arguments import parse
from midi_llm.errors import RequestError
from midi_llm.server.settings import DEFAULT_PORT, KEYS_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
STAGES: dict[str, str] = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", TEXT, re.M | re.S))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
KEY = "a-key-of-enough-characters"


def entry(stage: str) -> list[str]:
    found = re.search(r"^ENTRYPOINT (.*)$", STAGES[stage], re.M)
    assert found is not None
    return list(json.loads(found[1]))


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_an_image_starts_the_service_which_wants_a_key(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = entry(stage)
    assert program == "midi-llm"
    command, args = parse(arguments)
    assert (command, args.port) == ("serve", DEFAULT_PORT)
    with pytest.raises(RequestError, match="no API key is set"):
        serve.server_settings(args)
    monkeypatch.setenv(KEYS_VARIABLE, KEY)
    assert serve.server_settings(args).api_keys == (KEY,)


def test_the_image_with_replicas_and_its_compose_service_start_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from deploy import __main__ as program

    assert entry("ray")[:3] == ["python", "-m", "deploy"]
    command = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in SERVICES["ray"]["command"]]
    args = program.parse([*entry("ray")[3:], *command])
    assert (args.replicas, args.port, args.host) == (2, DEFAULT_PORT, "0.0.0.0")


def test_compose_builds_stages_that_are_there_and_without_a_profile_only_the_cpu_one() -> None:
    for name, service in SERVICES.items():
        assert service["build"]["target"] == name
        assert name in STAGES
        assert (ROOT / "deploy" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["cpu"]
    assert [*STAGES][-1] == "cpu"  # what docker build makes when nothing is said


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_has_a_key_its_data_in_a_volume_and_a_port_for_this_machine_only(service: dict[str, Any]) -> None:
    assert service["environment"][KEYS_VARIABLE].startswith(f"${{{KEYS_VARIABLE}:?")
    assert service["volumes"] == ["data:/data"]
    assert "data" in COMPOSE["volumes"]
    (port,) = service["ports"]
    assert port.startswith("127.0.0.1:")
    assert port.endswith(f":{DEFAULT_PORT}")


def test_what_is_copied_is_there_and_is_not_ignored() -> None:
    seen = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for words in (shlex.split(line)[1:-1] for line in re.findall(r"^COPY (?!--from).*$", TEXT, re.M)):
        for source in words:
            assert list(ROOT.glob(source)), source
            assert f"!{source}" in seen or f"!{Path(source).parts[0]}" in seen


def test_an_image_is_healthy_where_the_service_answers() -> None:
    found = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", STAGES["base"], re.M)
    assert found is not None
    program, option, code = json.loads(found[1])
    assert (program, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert f"'http://127.0.0.1:{DEFAULT_PORT}/healthz'" in code


@pytest.mark.parametrize("stage", ["cpu", "cuda", "ray"])
def test_an_image_runs_as_a_user_without_rights_who_owns_the_data(stage: str) -> None:
    assert re.search(r"^USER composer\nENTRYPOINT", STAGES[stage], re.M)
    assert "-o composer -g composer /data" in STAGES["base"]


def test_only_the_cuda_image_has_torch_in_the_version_of_the_makefile() -> None:
    pinned = re.search(r"^TORCH +:= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert pinned is not None
    assert [name for name, body in STAGES.items() if "torch" in body] == ["cuda"]
    assert f"ARG TORCH={pinned[1]}\n" in STAGES["cuda"]


def test_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {name for group in re.findall(r"\.whl\)\[([\w,]+)\]", TEXT) for name in group.split(",")}
    assert {"server", "deploy", "vllm"} == named <= set(extras)
