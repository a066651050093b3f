"""Every error a caller of this package can meet, as one tree.

    MidiLLMError
    ├── RequestError        a wish that cannot be met (seconds, takes, sampling, instruments)
    ├── OutputError         a file that cannot be written or must not be overwritten
    ├── MidiReadError       a MIDI file that is missing, empty, broken, or not MIDI
    ├── TokenError          ids that are not a legal sequence of events
    ├── PromptError         a text that is empty or does not fit the context
    ├── CheckpointError     a model folder that is missing, incomplete, or inconsistent
    ├── EngineError         an engine that cannot run this model or this request
    ├── SynthesisError      sound that cannot be rendered
    ├── DatasetError        training data that is missing or broken
    ├── TrainingError       a training run that cannot go on
    ├── ServiceError        a request that the HTTP service refuses, or a service that cannot be reached
    └── MissingExtraError   an optional dependency that is not installed

Each message says what was found, what is allowed, and what to do.
"""

from __future__ import annotations


class MidiLLMError(Exception):
    """Root of the tree: catch this to catch every expected failure."""


class RequestError(MidiLLMError):
    """A request outside what can be composed."""


class OutputError(MidiLLMError):
    """An output path that cannot be written, or that exists already."""


class MidiReadError(MidiLLMError):
    """A file that cannot be read as standard MIDI."""


class TokenError(MidiLLMError):
    """Token ids that do not form legal events."""


class PromptError(MidiLLMError):
    """A prompt that is empty or too long."""


class CheckpointError(MidiLLMError):
    """A model folder that cannot be used, and what is missing in it."""


class EngineError(MidiLLMError):
    """An engine that cannot be started or cannot serve the request."""


class SynthesisError(MidiLLMError):
    """Audio that could not be rendered."""


class DatasetError(MidiLLMError):
    """A training corpus or shard that cannot be used."""


class TrainingError(MidiLLMError):
    """A training run that cannot go on: a loss that is not finite, no memory, no room for its state."""


class ServiceError(MidiLLMError):
    """A refusal of the HTTP service, with its `status`; 0 where no service answered.

    `retry_after`: so many seconds later it may go well.
    """

    def __init__(self, status: int, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after = retry_after


class MissingExtraError(MidiLLMError):
    """An optional dependency is missing; the message holds the install command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'midi-llm[{extra}]'")
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.package, self.extra)  # so that it comes back whole from a worker process
