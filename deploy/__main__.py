"""`python -m deploy`: the service with replicas, until Ctrl-C or SIGTERM.

Exit codes and stderr are those of `midi-llm serve`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deploy.cluster import Replicas, running
from midi_llm.cli import serve
from midi_llm.cli.main import EXIT_FAILURE, EXIT_INTERRUPTED, one_line
from midi_llm.compose.composer import Composer
from midi_llm.engines.absent import NO_ENGINE
from midi_llm.errors import MidiLLMError

PROGRAM = "python -m deploy"
_DEFAULTS = Replicas()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; returns the exit code."""
    try:
        run(parse(argv))
    except MidiLLMError as error:
        print(f"{PROGRAM}: error: {one_line(error)}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        print(f"{PROGRAM}: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of `midi-llm serve` and those of the replicas."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="serve the studio and the HTTP API; replicas compose")
    add = parser.add_argument
    add("--replicas", type=int, default=_DEFAULTS.least, metavar="N", help=f"at least (default {_DEFAULTS.least})")
    add("--max-replicas", type=int, metavar="N", help="as many where there is work for them (default: no more)")
    add("--cores", type=int, default=_DEFAULTS.cores, metavar="N", help=f"of each (default {_DEFAULTS.cores})")
    add("--gpus", type=float, default=_DEFAULTS.gpus, metavar="N", help=f"of each (default {_DEFAULTS.gpus:g})")
    add("--ray", metavar="HOST:PORT", help="a Ray cluster that runs, or auto (default: this machine alone)")
    serve.register(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Start the replicas and serve. Raises `MidiLLMError`s."""
    settings = serve.server_settings(args)
    serve.require_packages()
    replicas = Replicas(
        model=args.model,
        engine=args.engine,
        least=args.replicas,
        most=args.max_replicas,
        cores=args.cores,
        gpus=args.gpus,
        address=args.ray,
        job_seconds=settings.job_seconds,
    )
    with Composer.open(args.model, engine=NO_ENGINE) as composer, running(replicas) as maker:
        serve.serve_until_stopped(composer, settings, maker=maker, opens=args.open)


if __name__ == "__main__":
    sys.exit(main())
