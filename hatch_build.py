"""Builds the studio into the package when a wheel is made, where node is installed and the studio is not built yet.

An editable install builds nothing: `make studio` does. Without node the wheel has no studio, and all else works.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STUDIO = Path("src", "midi_llm", "server", "studio", "index.html")
COMMANDS = (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"])


class StudioHook(BuildHookInterface[Any]):
    """What hatchling calls before it packs the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages, unless they are there; `version` is "standard" or "editable"."""
        root = Path(self.root)
        if version == "editable" or (root / STUDIO).exists() or not (root / "web").is_dir():
            return
        if shutil.which("npm") is None:
            self.app.display_warning("npm is not installed, so this wheel has no studio")
            return
        for command in COMMANDS:
            subprocess.run(command, cwd=root / "web", check=True)
