"""The entry point: parse, run the command, and turn every expected failure into one line on stderr.

Exit codes: 0 done, 2 an expected failure, 130 stopped with Ctrl-C, 141 the reader of stdout went away.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from midi_llm.cli.arguments import PROGRAM, load, parse
from midi_llm.errors import MidiLLMError

EXIT_FAILURE = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run `midi-llm` with `argv` (default: the process's own) and return the exit code."""
    try:
        command, args = parse(sys.argv[1:] if argv is None else argv)
        if args.verbose:
            logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
        code = load(command).run(args)
        sys.stdout.flush()
    except MidiLLMError as error:
        print(f"{PROGRAM}: error: {one_line(error)}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        print(f"{PROGRAM}: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    return code


def one_line(error: BaseException) -> str:
    """The message without line breaks."""
    return " ".join(str(error).split())
