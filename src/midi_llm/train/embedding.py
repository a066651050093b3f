"""Embedding tables while they train; each gives (input table, output table), which are one where they are tied.

`MusicEmbedding` is structure plus residual, exported as one plain table. Its music rows are a sum of shared parts
(model/music_structure.py), so that neighbours in time, duration, pitch and instrument learn together, and of a residual
per id, which starts at zero. A control's row is its event's row + one learned row per block, starting at zero.
`TwoTables` are those of a checkpoint: plain, or with such a structure, at zero, on top of the rows that are there.
Shapes: N = 55,030 music ids, D = hidden size, T = text rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from midi_llm.model.music_structure import PARTS, PITCH_CLASSES, duration_features, time_features
from midi_llm.music.score import DRUMS
from midi_llm.tokens.vocab import (
    CONTROL_OFFSET,
    MAX_DURATION_TICKS,
    MAX_NOTE,
    MAX_PITCH,
    MAX_TIME_TICKS,
    MUSIC_VOCAB_SIZE,
)

EVENT_ROWS = CONTROL_OFFSET
"""27,513: time, duration, note and REST rows."""

_STD = 0.02


class MusicStructure(nn.Module):
    """The parts that music rows share, drawn with standard deviation `std`. `music_rows` is their sum.

    REST and the ids from SEPARATOR on share nothing: their rows are zero here.
    """

    time_features: Tensor
    duration_features: Tensor

    def __init__(self, hidden_size: int, *, std: float) -> None:
        super().__init__()
        self.register_buffer("time_features", torch.from_numpy(time_features(np.arange(MAX_TIME_TICKS))))
        self.register_buffer("duration_features", torch.from_numpy(duration_features(np.arange(MAX_DURATION_TICKS))))

        def part(name: str) -> nn.Parameter:
            return nn.Parameter(torch.randn(PARTS[name], hidden_size) * std)

        self.time_matrix = part("time_matrix")
        self.duration_matrix = part("duration_matrix")
        self.block = part("block")
        self.instrument = part("instrument")
        self.pitch = part("pitch")
        self.pitch_class = part("pitch_class")
        self.drum_pitch = part("drum_pitch")
        self.control = nn.Parameter(torch.zeros(PARTS["control"], hidden_size))

    def music_rows(self) -> Tensor:
        """The sum of the parts for every music id, [N, D]."""
        events = self.shared_rows()
        rest, special = (events.new_zeros(PARTS[name], events.shape[1]) for name in ("rest", "special"))
        return torch.cat([events, rest, self.with_control(events), special])

    def shared_rows(self) -> Tensor:
        """Time, duration and note rows, [27,512, D]."""
        time = self.time_features @ self.time_matrix + self.block[0]
        duration = self.duration_features @ self.duration_matrix + self.block[1]
        classes = torch.arange(MAX_PITCH, device=self.pitch.device) % PITCH_CLASSES
        pitch = self.pitch + self.pitch_class[classes]
        melodic = self.instrument[:DRUMS, None] + pitch[None]  # [128, 128, D]
        drums = self.instrument[DRUMS] + self.drum_pitch  # [128, D]
        notes = torch.cat([melodic.flatten(0, 1), drums]) + self.block[2]
        return torch.cat([time, duration, notes])

    def with_control(self, events: Tensor) -> Tensor:
        """The controls' rows of time, duration and note rows: each plus its block's row, both [27,512, D]."""
        blocks = torch.split(events, [MAX_TIME_TICKS, MAX_DURATION_TICKS, MAX_NOTE])
        return torch.cat([rows + row for rows, row in zip(blocks, self.control, strict=True)])


class MusicEmbedding(MusicStructure):
    """Text rows as a plain table, music rows as structure + residual. `table()` is the sum, [T + N, D]."""

    def __init__(self, text_rows: int, hidden_size: int) -> None:
        text = torch.randn(text_rows, hidden_size) * _STD
        super().__init__(hidden_size, std=_STD)
        self.text = nn.Parameter(text)
        self.rest = nn.Parameter(torch.randn(PARTS["rest"], hidden_size) * _STD)
        self.special = nn.Parameter(torch.randn(PARTS["special"], hidden_size) * _STD)
        self.residual = nn.Parameter(torch.zeros(EVENT_ROWS, hidden_size))

    def forward(self) -> tuple[Tensor, Tensor]:
        """The table, for both ends."""
        table_VD = self.table()
        return table_VD, table_VD

    def event_rows(self) -> Tensor:
        """[27,513, D]: time, duration, note and REST rows."""
        return torch.cat([self.shared_rows(), self.rest]) + self.residual

    def table(self) -> Tensor:
        """The whole table [T + N, D], as a checkpoint stores it."""
        events = self.event_rows()
        return torch.cat([self.text, events, self.with_control(events[: -len(self.rest)]), self.special])


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

    After `train_music_rows` the last `music_rows` of each train in float32 and the text rows are frozen. After
    `share_structure` each table's music rows are what they were plus a `MusicStructure` that starts at zero.
    """

    def __init__(self, inputs: nn.Parameter, output: nn.Parameter | None, *, music_rows: int) -> None:
        super().__init__()
        self.inputs, self.output = inputs, output
        self._music_rows = music_rows
        self.music_inputs: nn.Parameter | None = None
        self.music_output: nn.Parameter | None = None
        self.input_structure: MusicStructure | None = None
        self.output_structure: MusicStructure | None = None

    def train_music_rows(self) -> None:
        """Give the music rows parameters of their own."""
        self.music_inputs = nn.Parameter(self.inputs.detach()[-self._music_rows :].float())
        if self.output is not None:
            self.music_output = nn.Parameter(self.output.detach()[-self._music_rows :].float())

    def share_structure(self) -> None:
        """Add the structure, at zero, to the music rows of each table; the rows themselves become its residual."""
        self.input_structure = MusicStructure(self.inputs.shape[1], std=0.0)
        if self.output is not None:
            self.output_structure = MusicStructure(self.output.shape[1], std=0.0)

    def forward(self) -> tuple[Tensor, Tensor]:
        """(input table, output table), both [V, D]."""
        inputs_VD = self._joined(self.inputs, self.music_inputs, self.input_structure)
        if self.output is None:
            return inputs_VD, inputs_VD
        return inputs_VD, self._joined(self.output, self.music_output, self.output_structure)

    def _joined(self, table_VD: Tensor, music_ND: Tensor | None, structure: MusicStructure | None) -> Tensor:
        if music_ND is None and structure is None:
            return table_VD
        rows_ND = table_VD[-self._music_rows :] if music_ND is None else music_ND
        if structure is not None:
            rows_ND = rows_ND + structure.music_rows()
        return torch.cat([table_VD[: -self._music_rows], rows_ND.to(table_VD.dtype)])
