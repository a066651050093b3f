"""Pictures from SVG: `svg_to_png(pages)` and `svg_to_pdf(pages)`, with the library Typst, which brings its own letters.

In: SVG texts, one a page, each with its size. Out: bytes, of one PNG a page or of one PDF. Needs the extra `pictures`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from midi_llm.errors import MissingExtraError, RequestError

Paper = Literal["none", "white"]
"""What is behind the pages: nothing, so that they have the colour of where they are shown, or white."""

PIXELS_PER_INCH = 144
"""An SVG pixel is 1/96 inch, so pictures are half as large again: sharp on most screens."""


def svg_to_png(pages: Sequence[str], *, paper: Paper = "none") -> list[bytes]:
    """Each page as a PNG. Raises `MissingExtraError` without Typst, `RequestError` for an SVG that it cannot read."""
    return _compile(pages, "png", paper)


def svg_to_pdf(pages: Sequence[str], *, paper: Paper = "none") -> bytes:
    """All pages as one PDF of lines and letters, not of pixels. Raises as `svg_to_png`."""
    return _compile(pages, "pdf", paper)[0]


def _compile(pages: Sequence[str], form: Literal["png", "pdf"], paper: Paper) -> list[bytes]:
    try:
        import typst
    except ImportError as error:
        raise MissingExtraError("typst", "pictures") from error
    with tempfile.TemporaryDirectory(prefix="midi-llm-") as name:
        folder = Path(name)
        for number, page in enumerate(pages):
            (folder / f"{number}.svg").write_text(page, encoding="utf-8")
        body = "\n#pagebreak()\n".join(f'#image("{number}.svg")' for number in range(len(pages)))
        source = folder / "pages.typ"
        page = f"#set page(width: auto, height: auto, margin: 0pt, fill: {paper})"
        source.write_text(f"{page}\n{body}\n", encoding="utf-8")
        try:
            made = typst.compile(str(source), format=form, ppi=PIXELS_PER_INCH)
        except typst.TypstError as error:
            raise RequestError(f"the picture cannot be made of this SVG: {error}") from error
    return list(made) if isinstance(made, list) else [made]
