"""A service over an engine that draws with dice, behind a real web server in a thread; the engine can be held."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from dice import DiceEngine
from midi_llm.client import Client
from midi_llm.compose.composer import Composer
from midi_llm.engines.base import Engine, Request, Step
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.music.write import to_midi_bytes
from midi_llm.prompt import load_tokenizer
from midi_llm.server.run import address_of, bind, make_server
from midi_llm.server.service import Service
from midi_llm.server.settings import ServerSettings


class HeldEngine:
    """An engine that stops where it is while `go` is not set, until it is cancelled."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.vocab_size = engine.name, engine.vocab_size
        self.max_positions, self.best_batch, self.joins = engine.max_positions, engine.best_batch, engine.joins
        self.go = threading.Event()
        self.go.set()
        self.fault: Exception | None = None

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        for step in self._engine.stream(requests, cancel=cancel):
            if self.fault is not None:
                raise self.fault
            while not (self.go.wait(0.005) or (cancel is not None and cancel.is_set())):
                pass
            yield step

    def close(self) -> None:
        self._engine.close()


class Running:
    """A service that is being served."""

    def __init__(self, service: Service, url: str, engine: HeldEngine) -> None:
        self.service = service
        self.url = url
        self.engine = engine
        self.client = Client(url)
        self.http = httpx.Client(base_url=url, verify=False)

    def hold(self) -> None:
        self.engine.go.clear()

    def release(self) -> None:
        self.engine.go.set()


Serving = Callable[..., AbstractContextManager[Running]]


def make_composer(checkpoint: Path) -> Composer:
    engine = HeldEngine(DiceEngine())
    return Composer(engine=engine, tokenizer=load_tokenizer(checkpoint), model="dice")


@contextmanager
def served(composer: Composer, settings: ServerSettings) -> Iterator[Running]:
    service = Service(composer, settings)
    with bind(settings.host, settings.port) as bound:
        server = make_server(service)
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        running = Running(service, address_of(bound), composer.engine)
        try:
            until(lambda: server.started)
            yield running
        finally:
            running.client.close()
            running.http.close()
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def composer(tiny_checkpoint: Path) -> Composer:
    return make_composer(tiny_checkpoint)


@pytest.fixture
def serving(composer: Composer, tmp_path: Path) -> Serving:
    """`with serving(**settings) as running`: a service of one's own."""

    def serve(**changed) -> AbstractContextManager[Running]:
        return served(composer, ServerSettings(**{"data": tmp_path / "data", "port": 0, **changed}))

    return serve


@pytest.fixture(scope="module")
def shared(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = ServerSettings(data=tmp_path_factory.mktemp("data"), port=0)
    with served(make_composer(tiny_checkpoint), settings) as running:
        yield running


@pytest.fixture
def running(shared: Running) -> Running:
    """A service that the tests of a file share; its engine is not held and has no fault."""
    shared.release()
    shared.engine.fault = None
    return shared


def until(is_so: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that other threads bring about."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    return until


@pytest.fixture(scope="session")
def song() -> bytes:
    """Four bars of a piano and drums."""
    melody = [Note(time=t / 2, duration=0.4, pitch=60 + t) for t in range(16)]
    beat = [Note(time=float(t), duration=0.1, pitch=36) for t in range(8)]
    return to_midi_bytes(
        Score(tracks=(Track(program=0, notes=note_array(melody)), Track(is_drum=True, notes=note_array(beat))))
    )


@pytest.fixture(scope="module")
def uploaded(shared: Running, song: bytes) -> str:
    """The song as an upload of the shared service."""
    return shared.client.upload(song).id
