"""`python -m midi_llm`: the same as the `midi-llm` command."""

from __future__ import annotations

import sys

from midi_llm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
