"""The arrival-time vocabulary of the Anticipatory Music Transformer (AMT), by its own constant names.

Source: jthickstun/anticipation, commit af37397, anticipation/vocab.py and config.py. Ids here are *AMT ids*;
a checkpoint adds its number of text rows to get *token ids*. Ticks are 10 ms. Knows no codec and no files.
"""

TICKS_PER_SECOND = 100
MAX_TIME_TICKS = 10_000
MAX_DURATION_TICKS = 1_000
MAX_PITCH = 128
MAX_INSTRUMENT = 129
MAX_NOTE = MAX_PITCH * MAX_INSTRUMENT
"""16,512 note values: 128 * instrument + pitch."""

TIME_OFFSET = 0
DUR_OFFSET = TIME_OFFSET + MAX_TIME_TICKS
NOTE_OFFSET = DUR_OFFSET + MAX_DURATION_TICKS
REST = NOTE_OFFSET + MAX_NOTE
CONTROL_OFFSET = REST + 1
ATIME_OFFSET = CONTROL_OFFSET
ADUR_OFFSET = ATIME_OFFSET + MAX_TIME_TICKS
ANOTE_OFFSET = ADUR_OFFSET + MAX_DURATION_TICKS
SPECIAL_OFFSET = ANOTE_OFFSET + MAX_NOTE
SEPARATOR = SPECIAL_OFFSET
AUTOREGRESS = SPECIAL_OFFSET + 1
ANTICIPATE = SPECIAL_OFFSET + 2
AMT_VOCAB_SIZE = SPECIAL_OFFSET + 3
"""55,028: the reference's own size."""

MUSIC_VOCAB_SIZE = 55_030
"""Rows added to a text model: AMT's 55,028 and two unused (formats.md; slSeanWU/MIDI-LLM)."""

REST_INTERVAL_TICKS = TICKS_PER_SECOND
"""Silence is filled with a REST at least every second."""

MAX_INSTRUMENTS = 16
"""Instruments in one piece (AMT preprocessing skips pieces with more)."""
