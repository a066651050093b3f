"""A program that stands in for FluidSynth: it checks its arguments, keeps what it was given, and does as it is told."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = """#!{python} -SE
import json, os, pathlib, struct, sys, time
here = pathlib.Path(__file__).parent
plan = json.loads((here / "plan.json").read_text())
words = sys.argv[1:]
if words == ["--version"]:
    sys.stdout.write(plan.get("version", "FluidSynth runtime version 2.3.1\\n"))
    sys.exit(0)
assert words[0] == "-ni", words
options = dict(zip(words[1:-2:2], words[2:-2:2]))
assert sorted(options) == ["-F", "-O", "-T", "-f", "-g", "-r"], words
font, midi, target = pathlib.Path(words[-2]), pathlib.Path(words[-1]), pathlib.Path(options["-F"])
assert font.is_absolute() and font.read_bytes()[:4] == b"RIFF", font
assert midi.is_absolute() and midi.read_bytes()[:4] == b"MThd", midi
call = {{
    "words": words,
    "midi": midi.read_bytes().hex(),
    "settings": pathlib.Path(options["-f"]).read_text(),
    "home": os.listdir(os.environ["HOME"]),
}}
with (here / "calls.jsonl").open("a") as file:
    file.write(json.dumps(call) + "\\n")
sys.stderr.write(plan.get("says", ""))
time.sleep(plan.get("sleeps", 0))
if "writes" in plan:
    target.write_bytes(bytes.fromhex(plan["writes"]))
elif "seconds" in plan:
    rate = plan.get("rate", int(options["-r"]))
    data = struct.pack("<ff", 0.5, -0.25) * round(plan["seconds"] * rate)
    form = struct.pack("<HHIIHH", 3, 2, rate, rate * 8, 8, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    target.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
sys.exit(plan.get("status", 0))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StandIn:
    """The program at `path`, and what it was given."""

    path: Path

    def plan(self, **plan: Any) -> None:
        """What to do: `seconds` of sound (at `rate`), or `writes` (hex); `says`, `sleeps`, `status`, `version`."""
        self.path.with_name("plan.json").write_text(json.dumps(plan))

    @property
    def calls(self) -> list[dict[str, Any]]:
        log = self.path.with_name("calls.jsonl")
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def write_stand_in(folder: Path, name: str = "fluidsynth") -> StandIn:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(PROGRAM.format(python=sys.executable))
    path.chmod(0o755)
    program = StandIn(path=path)
    program.plan()
    return program


def font_bytes(payload: bytes = b"") -> bytes:
    """The head of a sound font, which is all that is looked at here."""
    body = b"sfbkLIST" + len(payload).to_bytes(4, "little") + payload
    return b"RIFF" + len(body).to_bytes(4, "little") + body
