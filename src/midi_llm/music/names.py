"""Track names: text from bytes that do not say their encoding. Never fails."""

from __future__ import annotations

import re

MAX_CHARACTERS = 200

_JAPANESE = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff5e]{2,}")
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufffe\uffff]+"
)
"""Control, invisible and text-direction characters, and what no UTF-8 file can hold."""


def decode_name(payload: bytes) -> str:
    """Decode a track name: UTF-8, else Shift-JIS if it reads as Japanese, else Latin-1.

    Characters that cannot be seen become spaces; at most `MAX_CHARACTERS` are kept.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        text = _decode_legacy(payload)
    return clean_text(text)[:MAX_CHARACTERS]


def clean_text(text: str) -> str:
    """Replace characters that cannot be seen by spaces, and strip."""
    return _CONTROL.sub(" ", text).strip()


def _decode_legacy(payload: bytes) -> str:
    """Shift-JIS when every run of non-ASCII characters is Japanese and longer than one (else 'Mélodie' would match)."""
    try:
        text = payload.decode("cp932")
    except UnicodeDecodeError:
        return payload.decode("latin-1")
    runs = re.findall(r"[^\x00-\x7f]+", text)
    return text if all(_JAPANESE.fullmatch(run) for run in runs) else payload.decode("latin-1")
