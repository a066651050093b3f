"""The bodies of requests and answers, as the OpenAPI page shows them; the client and the service share them.

Shapes and types are checked here; what music allows is checked by compose/, whose messages the service passes on.
Times are seconds (of music from its start; of the clock since 1970), instruments 0-128 (128: drums).
Needs pydantic alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from midi_llm.compose.settings import DEFAULT_DYNAMICS, DEFAULT_QUANTISE, DEFAULT_SECONDS, DEFAULT_STRENGTH, MAX_SEED

MOST_TAKES = 8
Status = Literal["queued", "running", "done", "failed", "cancelled"]
Kind = Literal["compose", "continue", "infill", "accompany", "replace", "vary"]
EditKind = Literal["continue", "infill", "accompany", "replace", "vary"]

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Text = Annotated[str, Field(max_length=200)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="Makes the result repeatable; drawn where it is missing.")]


class Asked(BaseModel):
    """What a client sends: unknown fields are refused, so that a typing error is not taken for a wish."""

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=True)


class Wishes(Asked):
    """What the piece is to be, beside its prompt; each wish is reported on in the `findings` of a take."""

    tempo: Number | None = Field(None, description="Quarter notes a minute.", examples=[90])
    key: Text | None = Field(None, examples=["Bb minor"])
    metre: Text | None = Field(None, examples=["3/4"])
    bars: int | None = Field(None, description="Exactly so many, in place of `seconds`.")
    loop: bool = Field(False, description="Whole bars, and nothing sounds past the end.")
    sections: Text | None = Field(
        None, description="A plan, in place of `seconds` and `bars`.", examples=["intro 4, verse 8, chorus 8"]
    )
    density: Literal["sparse", "medium", "dense"] | None = None
    only: Text | None = Field(None, description="These instruments and no others.", examples=["piano, bass"])
    also: Text | None = Field(None, alias="with", description="These instruments at least.")
    without: str | None = Field(None, max_length=4000, description="None of these instruments.", examples=["drums"])
    scale: Text | None = Field(None, description="Only these notes.", examples=["A minor pentatonic", "C D E G A"])
    ranges: list[Text] = Field([], max_length=130, description="Pitches of instruments.", examples=[["bass:E1-C3"]])


class PlanRequest(Asked):
    """A text to be read."""

    prompt: str = Field(examples=["a calm piano waltz in A minor, 90 bpm"])
    wishes: Wishes | None = None
    seconds: Number | Literal["auto"] | None = None
    parse: bool = True


class Plan(BaseModel):
    """What was understood. `seconds` null: the model decides."""

    seconds: float | None
    text: str = Field(description="As the model reads it.")
    wishes: Wishes


class Drawing(Asked):
    """How to draw; null takes what the model recommends."""

    takes: int = Field(1, ge=1, le=MOST_TAKES, description="Pieces composed side by side; take n has the seed + n.")
    seed: Seed | None = None
    temperature: Number | None = Field(None, examples=[1.0])
    top_p: Number | None = Field(None, examples=[0.98])
    guidance: Number | None = Field(
        None, description="Above 1 the text counts more, and composing takes twice as long."
    )


class Composition(Drawing):
    """A piece to be composed from a text."""

    prompt: str = Field(examples=["a cheerful rock song with bright electric guitars"])
    seconds: Number | Literal["auto"] | None = Field(
        None, description=f"Length; null: as the prompt says, else {DEFAULT_SECONDS:g}.", examples=[20]
    )
    best: int | None = Field(None, ge=1, le=MOST_TAKES, description="Keep so many takes, the highest ranked first.")
    wishes: Wishes | None = None
    dynamics: Number = Field(DEFAULT_DYNAMICS, description="How unequal the velocities are, 0 to 1.")
    quantise: Number = Field(DEFAULT_QUANTISE, description="How far notes are drawn to the grid, 0 to 1.")
    parse: bool = Field(True, description="What the prompt states binds the piece.")


class Source(Asked):
    """The piece that is worked on: an upload, or a take of a job that is done."""

    upload: Text | None = Field(None, examples=["3f2a9c51d0e84b67"])
    job: Text | None = None
    take: int = Field(0, ge=0, le=MOST_TAKES)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.upload is None) == (self.job is None):
            raise ValueError("either 'upload' or 'job' says what is worked on")
        return self


class Edit(Drawing):
    """Work on a piece that is there; which fields count depends on `kind`."""

    kind: EditKind
    source: Source
    prompt: str = Field("", description="The music in words; empty: its instruments and tempo.")
    seconds: Number | None = Field(None, description=f"continue: how much is added, else {DEFAULT_SECONDS:g}.")
    bars: Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(
        None, description="infill: first and last bar, counted from 1.", examples=[[5, 8]]
    )
    instruments: Text | None = Field(None, description="accompany, infill: the parts to compose.")
    instrument: Text | None = Field(None, description="replace: the part to compose anew.")
    by: Text | None = Field(None, description="replace: the instrument that takes its place.")
    strength: Number | None = Field(None, description=f"vary: the share composed anew, else {DEFAULT_STRENGTH:g}.")
    scale: Text | None = None
    ranges: list[Text] = Field([], max_length=130)


class Instrument(BaseModel):
    """An instrument 0-128 and its name."""

    instrument: int
    name: str


class Upload(BaseModel):
    """A MIDI file that was sent and read."""

    id: str
    name: str
    bars: int
    seconds: float
    tempo: float
    instruments: list[Instrument]


class Finding(BaseModel):
    """One wish. `found` is "" and `met` null where nothing can be measured."""

    wish: str
    asked: str
    found: str
    met: bool | None


class Ranking(BaseModel):
    """Parts from 0 to 1; `novelty` null where nothing tells copies."""

    total: float
    adherence: float
    health: float
    novelty: float | None


class Take(BaseModel):
    """A finished piece."""

    index: int
    seed: int
    seconds: float
    tempo: float
    metre: str
    key: str | None
    notes: int
    instruments: list[Instrument]
    findings: list[Finding]
    ranking: Ranking | None
    ending: str
    seconds_taken: float


class Parent(BaseModel):
    """The take that was worked on."""

    job: str
    take: int


class Problem(BaseModel):
    """What went wrong and what to do (RFC 9457, application/problem+json)."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["seconds is 900; allowed is 1 to 600, 30 is usual"])
    request_id: str | None = None


class Job(BaseModel):
    """A piece in the making, or made. `position`: how many jobs come before it while it waits."""

    id: str
    kind: Kind
    status: Status
    created: float
    started: float | None
    ended: float | None
    request: dict[str, Any] = Field(description="As sent, with the seed that was drawn.")
    parent: Parent | None
    takes: list[Take]
    position: int | None
    problem: Problem | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("done", "failed", "cancelled")


class JobPage(BaseModel):
    """Jobs, newest first; `next` goes on with `before`."""

    jobs: list[Job]
    next: str | None


class TrackNotes(BaseModel):
    """Notes of one track: start, duration, pitch, velocity."""

    name: str = Field(examples=["Acoustic Grand Piano"])
    instrument: int = Field(examples=[0])
    notes: list[tuple[float, float, int, int]] = Field(examples=[[[0.0, 0.5, 60, 96], [0.5, 0.5, 64, 88]]])


class Notes(BaseModel):
    """A whole piece as numbers."""

    seconds: float = Field(examples=[20.0])
    tempos: list[tuple[float, float]] = Field(description="Time, quarter notes a minute.", examples=[[[0.0, 90.0]]])
    metres: list[tuple[float, int, int]] = Field(description="Time, beats, their unit.", examples=[[[0.0, 3, 4]]])
    tracks: list[TrackNotes]


class Stem(BaseModel):
    """A track that can be had as a MIDI file of its own."""

    index: int = Field(examples=[0])
    name: str = Field(examples=["Acoustic Grand Piano"])
    instrument: int = Field(examples=[0])


class Model(BaseModel):
    """A model known by name; `loaded`: it is the one that composes here."""

    name: str
    description: str
    licence: str
    where: str
    available: bool
    loaded: bool
