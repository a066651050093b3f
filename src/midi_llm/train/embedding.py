"""Embedding tables while they train; each gives (input table, output table), which are one where they are tied.

`MusicEmbedding` is structure plus residual, exported as one plain table. Its music rows are a sum of shared parts, so
that neighbours in time, duration, pitch and instrument learn together:
  time      Fourier features of the tick, 96 periods from 2 to 20,000 ticks, times a learned matrix
  duration  Fourier features of d and of log(1 + d), times a learned matrix
  note      instrument row + pitch row (+ pitch-class row for melodic instruments; drums have pitch rows of their own)
  residual  a table of its own per id, starting at zero
A control's row is its event's row + one learned row per block (time, duration, note), starting at zero.
Shapes: N = 55,030 music ids, D = hidden size, T = text rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from midi_llm.music.score import DRUMS
from midi_llm.tokens.vocab import (
    CONTROL_OFFSET,
    MAX_DURATION_TICKS,
    MAX_INSTRUMENT,
    MAX_NOTE,
    MAX_PITCH,
    MAX_TIME_TICKS,
    MUSIC_VOCAB_SIZE,
    SEPARATOR,
)

PERIODS = 96
EVENT_ROWS = CONTROL_OFFSET
CONTROL_ROWS = SEPARATOR - CONTROL_OFFSET
"""27,512: the event rows without REST."""

_SPECIAL_ROWS = MUSIC_VOCAB_SIZE - SEPARATOR
_STD = 0.02


def fourier_features(values: Tensor, shortest: float, longest: float, periods: int = PERIODS) -> Tensor:
    """[n] -> [n, 2 * periods]: sine and cosine of `values` at geometrically spaced periods; each row has length 1."""
    steps = torch.linspace(0.0, 1.0, periods, dtype=torch.float64)
    angle = values.double()[:, None] * (2 * math.pi / (shortest * (longest / shortest) ** steps))
    return torch.cat([angle.sin(), angle.cos()], dim=1).float() / math.sqrt(periods)


class MusicEmbedding(nn.Module):
    """Text rows as a plain table, music rows as structure + residual. `table()` is the sum, [T + N, D]."""

    time_features: Tensor
    duration_features: Tensor

    def __init__(self, text_rows: int, hidden_size: int) -> None:
        super().__init__()
        self.register_buffer("time_features", fourier_features(torch.arange(MAX_TIME_TICKS), 2, 20_000))
        ticks = torch.arange(MAX_DURATION_TICKS)
        log_ticks = 1000 * torch.log1p(ticks.double()) / math.log(MAX_DURATION_TICKS)
        features = [fourier_features(ticks, 2, 4_000), fourier_features(log_ticks, 20, 4_000)]
        self.register_buffer("duration_features", torch.cat(features, dim=1))

        def parameter(rows: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, hidden_size) * _STD)

        self.text = parameter(text_rows)
        self.time_matrix = parameter(2 * PERIODS)
        self.duration_matrix = parameter(4 * PERIODS)
        self.block = parameter(3)
        self.instrument = parameter(MAX_INSTRUMENT)
        self.pitch = parameter(MAX_PITCH)
        self.pitch_class = parameter(12)
        self.drum_pitch = parameter(MAX_PITCH)
        self.rest = parameter(1)
        self.control = nn.Parameter(torch.zeros(3, hidden_size))
        self.special = parameter(_SPECIAL_ROWS)
        self.residual = nn.Parameter(torch.zeros(EVENT_ROWS, hidden_size))

    def forward(self) -> tuple[Tensor, Tensor]:
        """The table, for both ends."""
        table_VD = self.table()
        return table_VD, table_VD

    def event_rows(self) -> Tensor:
        """[27,513, D]: time, duration, note and REST rows."""
        time = self.time_features @ self.time_matrix + self.block[0]
        duration = self.duration_features @ self.duration_matrix + self.block[1]
        pitch = self.pitch + self.pitch_class[torch.arange(MAX_PITCH, device=self.pitch.device) % 12]
        melodic = self.instrument[:DRUMS, None] + pitch[None]  # [128, 128, D]
        drums = self.instrument[DRUMS] + self.drum_pitch  # [128, D]
        notes = torch.cat([melodic.flatten(0, 1), drums]) + self.block[2]
        return torch.cat([time, duration, notes, self.rest]) + self.residual

    def table(self) -> Tensor:
        """The whole table [T + N, D], as a checkpoint stores it."""
        events = self.event_rows()
        blocks = torch.split(events[:CONTROL_ROWS], [MAX_TIME_TICKS, MAX_DURATION_TICKS, MAX_NOTE])
        controls = [rows + row for rows, row in zip(blocks, self.control, strict=True)]
        return torch.cat([self.text, events, *controls, self.special])


class PlainEmbedding(nn.Module):
    """One table [T + N, D] of random rows: what `MusicEmbedding` is compared with."""

    def __init__(self, text_rows: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(text_rows + MUSIC_VOCAB_SIZE, hidden_size) * _STD)

    def forward(self) -> tuple[Tensor, Tensor]:
        """The table, for both ends."""
        return self.weight, self.weight


class TwoTables(nn.Module):
    """The tables of a checkpoint: one [V, D] where `output` is None (tied), otherwise two.

    After `train_music_rows` the last `music_rows` of each train in float32 and the text rows are frozen.
    """

    def __init__(self, inputs: nn.Parameter, output: nn.Parameter | None, *, music_rows: int) -> None:
        super().__init__()
        self.inputs, self.output = inputs, output
        self._music_rows = music_rows
        self.music_inputs: nn.Parameter | None = None
        self.music_output: nn.Parameter | None = None

    def train_music_rows(self) -> None:
        """Give the music rows parameters of their own."""
        self.music_inputs = nn.Parameter(self.inputs.detach()[-self._music_rows :].float())
        if self.output is not None:
            self.music_output = nn.Parameter(self.output.detach()[-self._music_rows :].float())

    def forward(self) -> tuple[Tensor, Tensor]:
        """(input table, output table), both [V, D]."""
        inputs_VD = self._joined(self.inputs, self.music_inputs)
        return inputs_VD, inputs_VD if self.output is None else self._joined(self.output, self.music_output)

    def _joined(self, table_VD: Tensor, music_ND: Tensor | None) -> Tensor:
        if music_ND is None:
            return table_VD
        return torch.cat([table_VD[: -self._music_rows], music_ND.to(table_VD.dtype)])
