"""`midi-llm serve`: the HTTP service and the studio, until Ctrl-C or SIGTERM.

stderr: the address, then the log as one JSON object a line. The model is opened before anything listens.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.compose.settings import DEFAULT_ENGINE, DEFAULT_MODEL
from midi_llm.errors import MissingExtraError
from midi_llm.server.settings import DEFAULT_HOST, DEFAULT_PORT, KEYS_VARIABLE, ServerSettings

if TYPE_CHECKING:
    from midi_llm.compose.composer import Composer
    from midi_llm.server.making import Maker

DATA_VARIABLE = "XDG_DATA_HOME"


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `serve`."""
    add = parser.add_argument
    add("--host", default=DEFAULT_HOST, help=f"the address to listen on (default {DEFAULT_HOST}: this machine only)")
    add("--port", type=int, default=DEFAULT_PORT, metavar="N", help=f"0 is any free one (default {DEFAULT_PORT})")
    add("--model", default=DEFAULT_MODEL, metavar="NAME|DIR|ID", help=f"see midi-llm models (default {DEFAULT_MODEL})")
    add("--engine", default=DEFAULT_ENGINE, metavar="ENGINE", help="auto, onnx, torch or vllm (default auto)")
    add("--data", type=Path, metavar="DIR", help="where jobs are kept (default: ~/.local/share/midi-llm)")
    add(
        "--api-key",
        dest="api_keys",
        action="append",
        default=[],
        metavar="KEY",
        help=f"ask clients for it (may be repeated; better in {KEYS_VARIABLE}, where no process list shows it)",
    )
    add("--public", action="store_true", help="let everybody in who reaches the address, without a key")
    add(
        "--origin",
        dest="origins",
        action="append",
        default=[],
        metavar="URL",
        help="another web site whose pages may use the service, such as https://example.org (may be repeated)",
    )
    for name, text in (("queue", "jobs that may wait"), ("per-client", "unfinished jobs of one client")):
        default = getattr(_DEFAULTS, name.replace("-", "_"))
        add(f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default {default})")
    add(
        "--at-once",
        type=int,
        metavar="N",
        help="takes of all jobs that are composed side by side (default: as many as the engine does best)",
    )
    add(
        "--job-seconds",
        type=float,
        default=_DEFAULTS.job_seconds,
        metavar="S",
        help=f"a job that takes longer is stopped (default {_DEFAULTS.job_seconds:g})",
    )
    add("--open", action="store_true", help="open the studio in a browser")


_DEFAULTS = ServerSettings(data=Path())


def run(args: argparse.Namespace) -> int:
    """Serve; returns the exit code."""
    settings = server_settings(args)
    require_packages()
    from midi_llm.compose.composer import Composer

    with Composer.open(args.model, engine=args.engine) as composer:
        serve_until_stopped(composer, settings, opens=args.open)
    return 0


def server_settings(args: argparse.Namespace) -> ServerSettings:
    """What the arguments and the environment say. Raises `RequestError`."""
    return ServerSettings(
        data=data_folder() if args.data is None else args.data,
        host=args.host,
        port=args.port,
        api_keys=(*args.api_keys, *filter(None, os.environ.get(KEYS_VARIABLE, "").split(","))),
        public=args.public,
        origins=tuple(args.origins),
        queue=args.queue,
        per_client=args.per_client,
        at_once=args.at_once,
        job_seconds=args.job_seconds,
    )


def require_packages() -> None:
    """Load what serving needs. Raises `MissingExtraError`."""
    try:
        import_module("midi_llm.server.run")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("midi_llm"):
            raise
        raise MissingExtraError(error.name or "fastapi", "server") from error


def serve_until_stopped(
    composer: Composer, settings: ServerSettings, *, maker: Maker | None = None, opens: bool = False
) -> None:
    """Serve, with the address and the log on stderr; `opens` shows the studio. `maker` None: `composer` composes."""
    from midi_llm.server.logs import log_to_stderr
    from midi_llm.server.run import serve
    from midi_llm.server.service import Service

    def say(address: str) -> None:
        print(f"midi-llm is at {address} (Ctrl-C stops it)", file=sys.stderr, flush=True)
        log_to_stderr()
        if opens:
            webbrowser.open(address)

    with closing(Service(composer, settings, maker)) as service:
        serve(service, on_listening=say)


def data_folder() -> Path:
    """Where jobs are kept unless a folder is named."""
    base = os.environ.get(DATA_VARIABLE)
    return (Path(base) if base else Path.home() / ".local" / "share") / "midi-llm"
