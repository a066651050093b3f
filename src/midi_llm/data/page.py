"""The frame of a page that stands alone: one HTML file that loads nothing and runs nothing.

In: a title, ready markup, and style beside that of `card.css`. Out: the page as text. It follows the reader's light or
dark setting, reads on a phone and prints. Its policy forbids scripts and all that lies outside the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from midi_llm.data.plots import text

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, body: str, *, style: str = "") -> str:
    """The whole document. `body` is markup whose texts are escaped; `title` is not yet; `style` is CSS of our own."""
    shared = files("midi_llm.data").joinpath("card.css").read_text(encoding="utf-8")
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{text(title)}</title>\n<style>\n{shared}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def header(over: str, title: str, lead: str, figures: Sequence[tuple[str, str]]) -> str:
    """The head of a page: a word over the title, a sentence under it, key figures. `lead` and `figures` are markup.

    A figure is (what it is, value).
    """
    cells = "".join(f"<div><dd>{value}</dd><dt>{name}</dt></div>" for name, value in figures)
    return (
        f"<header><p class='over'>{text(over)}</p><h1>{text(title)}</h1><p class='lead'>{lead}</p>"
        + (f"<dl class='figures'>{cells}</dl>" if cells else "")
        + "</header>\n"
    )


def section(title: str, about: str, *content: str, anchor: str = "") -> str:
    """A section of ready markup under a heading; `anchor` is its id, for links within the page."""
    name = f" id='{text(anchor)}'" if anchor else ""
    said = f"<p class='soft'>{about}</p>" if about else ""
    return f"<section{name}><h2>{title}</h2>{said}{''.join(content)}</section>"


def preformatted(lines: str) -> str:
    """`lines` as they are, escaped line by line, since `text` folds line ends away; indents are kept."""
    shown = [" " * (len(line) - len(line.lstrip(" "))) + text(line) for line in lines.splitlines()]
    return "<pre>" + "\n".join(shown) + "</pre>"


def json_block(settings: Mapping[str, Any]) -> str:
    """JSON-able `settings`, indented and sorted."""
    return preformatted(json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False))
