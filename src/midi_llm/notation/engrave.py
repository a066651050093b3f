"""Pages from a score: `engrave(musicxml)` draws MusicXML as SVG, a text a page, with the library Verovio.

In: the text of a MusicXML document. Out: SVG pages of A4. Needs the extra `score`; nothing else here knows Verovio.
"""

from __future__ import annotations

import re

from midi_llm.errors import MissingExtraError, RequestError

_OPTIONS = {
    "pageWidth": 2100,
    "pageHeight": 2970,
    "pageMarginLeft": 120,
    "pageMarginRight": 120,
    "pageMarginTop": 120,
    "pageMarginBottom": 120,
    "scale": 100,
    "unit": 7.0,
    "breaks": "auto",
    "footer": "none",
    "smuflTextFont": "none",
    "svgFormatRaw": True,  # line breaks within a text would move it
    "svgViewBox": True,
}
"""Lengths in tenths of a millimetre; see book.verovio.org, "Toolkit options"."""

_QUARTER_NOTE = re.compile(r'font-family="\w+" (font-size="[^"]*">)\ueca5')
"""The note of a metronome mark, in a font that only Verovio has; other fonts have U+2669 as well."""
_DOT = re.compile(r"\s?\uecb7")
"""The dot of a dotted quarter in such a mark."""


def engrave(musicxml: str) -> list[str]:
    """The pages of `musicxml`, each an SVG text.

    Raises `MissingExtraError` without Verovio, `RequestError` when it cannot draw the document.
    """
    try:
        import verovio
    except ImportError as error:
        raise MissingExtraError("verovio", "score") from error
    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions(_OPTIONS)
    if not toolkit.loadData(musicxml) or not toolkit.getPageCount():
        raise RequestError("Verovio cannot draw this score; write it as .musicxml and open it in a notation program")
    return [_page(str(toolkit.renderToSVG(number))) for number in range(1, toolkit.getPageCount() + 1)]


def _page(svg: str) -> str:
    """With the size of paper, and letters that every font has."""
    sized = svg.replace("<svg ", '<svg width="210mm" height="297mm" ', 1)
    return _DOT.sub(".", _QUARTER_NOTE.sub("\\1\u2669", sized))
