"""Which MIDI channel each track gets: drums channel 10, at most 15 others, no note lost.

In: per track its instrument and note intervals in ticks. Out: a `Voice` per track. The policy, in this order:
1. Up to 15 melodic tracks: a channel each.
2. More: tracks of one program share a channel (equal pitches that overlap may swap their ends).
3. More than 15 programs: the 15 with most notes get a channel each; each further program, most notes first, goes to a
   channel that is silent whenever it plays (same family before others, then the nearest program), with program changes
   before its notes and before the notes that follow; and if there is none,
4. it plays on the channel of the nearest program of its family (else of all), with the sound of that program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.music.score import DRUMS
from midi_llm.music.smf import IntArray

DRUM_CHANNEL = 9
MELODIC_CHANNELS: tuple[int, ...] = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A track as the plan sees it: `instrument` 0-128, `start` and `end` ticks of its notes [n] (closed intervals)."""

    instrument: int
    start: IntArray
    end: IntArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """A track's channel (0-15) and its program changes as (tick, program), in order of time."""

    channel: int
    changes: tuple[tuple[int, int], ...]


@dataclass(kw_only=True, slots=True)
class _Channel:
    """A melodic channel while the plan grows: programs it plays (first = owner) and when it is busy."""

    number: int
    programs: list[int]
    start: IntArray
    reach: IntArray

    def is_free(self, start: IntArray, end: IntArray) -> bool:
        """Tell whether no busy interval touches any of the closed intervals start..end."""
        before = np.searchsorted(self.start, end, side="right") - 1
        return not bool(np.any((before >= 0) & (self.reach[before] >= start)))

    def occupy(self, start: IntArray, end: IntArray) -> None:
        """Mark the intervals start..end as busy."""
        starts = np.concatenate((self.start, start))
        ends = np.concatenate((self.reach, end))
        order = np.argsort(starts, kind="stable")
        self.start, self.reach = starts[order], np.maximum.accumulate(ends[order])


def plan_channels(lines: Sequence[Line]) -> list[Voice]:
    """Choose the channel of each of `lines`, as the module's policy says; every line must have notes."""
    melodic = [index for index, line in enumerate(lines) if line.instrument != DRUMS]
    if len(melodic) <= len(MELODIC_CHANNELS):
        own = dict(zip(melodic, MELODIC_CHANNELS, strict=False))
        return [
            Voice(channel=own[index], changes=((0, line.instrument),))
            if index in own
            else Voice(channel=DRUM_CHANNEL, changes=())
            for index, line in enumerate(lines)
        ]
    groups: dict[int, list[int]] = {}
    for index in melodic:
        groups.setdefault(lines[index].instrument, []).append(index)
    channel_of, merged = _share(lines, groups)
    changes: dict[int, list[tuple[int, int]]] = {index: [] for index in range(len(lines))}
    for channel in set(channel_of.values()):
        members = [
            index
            for program, indices in groups.items()
            if channel_of[program] == channel and program not in merged
            for index in indices
        ]
        for index, change in _program_changes(lines, members):
            changes[index].append(change)
    return [
        Voice(
            channel=DRUM_CHANNEL if line.instrument == DRUMS else channel_of[line.instrument],
            changes=tuple(changes[index]),
        )
        for index, line in enumerate(lines)
    ]


def _share(lines: Sequence[Line], groups: dict[int, list[int]]) -> tuple[dict[int, int], set[int]]:
    """Channel of every program, and the programs that must sound as their host (rule 4)."""
    spans = {
        program: (
            np.concatenate([lines[index].start for index in indices]),
            np.concatenate([lines[index].end for index in indices]),
        )
        for program, indices in groups.items()
    }
    by_size = sorted(groups, key=lambda program: (-len(spans[program][0]), program))
    channels: list[_Channel] = []
    channel_of: dict[int, int] = {}
    merged: set[int] = set()
    none = np.empty(0, np.int64)
    for program in by_size:
        if len(channels) < len(MELODIC_CHANNELS):
            chosen = _Channel(number=MELODIC_CHANNELS[len(channels)], programs=[program], start=none, reach=none)
            channels.append(chosen)
        else:
            free = [channel for channel in channels if channel.is_free(*spans[program])]
            unshared = [channel for channel in channels if len(channel.programs) == 1]
            chosen = _nearest(free or unshared or channels, program)
            if free:
                chosen.programs.append(program)
            else:
                merged.add(program)
        chosen.occupy(*spans[program])
        channel_of[program] = chosen.number
    return channel_of, merged


def _nearest(channels: Sequence[_Channel], program: int) -> _Channel:
    def distance(channel: _Channel) -> tuple[bool, int, int]:
        owner = channel.programs[0]
        return owner // 8 != program // 8, abs(owner - program), channel.number

    return min(channels, key=distance)


def _program_changes(lines: Sequence[Line], members: list[int]) -> list[tuple[int, tuple[int, int]]]:
    """(line, (tick, program)) for a channel shared by `members`: the first at tick 0, then before each switch."""
    tick = np.concatenate([lines[index].start for index in members])
    line = np.repeat(members, [len(lines[index].start) for index in members])
    order = np.argsort(tick, kind="stable")
    tick, line = tick[order], line[order]
    program = np.array([lines[index].instrument for index in line.tolist()])
    switches = np.flatnonzero(np.diff(program, prepend=-1))
    return [
        (int(line[at]), (int(tick[at]) if position else 0, int(program[at])))
        for position, at in enumerate(switches.tolist())
    ]
