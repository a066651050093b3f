"""The web application over a `Service`: its API, its health, its counters, and the studio.

In: a service; the application starts and stops it. Out: an ASGI application for any server, or for a test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, HTMLResponse
from starlette.staticfiles import StaticFiles

from midi_llm.errors import ServiceError
from midi_llm.server.gate import Gate
from midi_llm.server.problems import add_handlers
from midi_llm.server.routes import make_router
from midi_llm.server.service import Service
from midi_llm.version import VERSION

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_STUDIO = """<!doctype html>
<html lang="en"><title>midi-llm</title>
<h1>midi-llm is running</h1>
<p>This installation has no studio. In the source: <code>cd web &amp;&amp; npm ci &amp;&amp; npm run build</code>, then
start the service again.</p>
<p>The API is under <code>/v1</code>; <a href="/openapi.json">its description</a> is for programs.</p>
</html>
"""


def create_app(service: Service, *, studio: Path | None = None) -> FastAPI:
    """The application. `studio` is the folder of the built pages; None: the one in this package."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await run_in_threadpool(service.stop)
        service.close()

    app = FastAPI(
        title="midi-llm",
        version=VERSION,
        description="Text to editable multitrack MIDI: jobs, live notes, results.",
        lifespan=lifespan,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
    )
    app.include_router(make_router(service))
    _add_health(app, service)
    _add_studio(app, Path(str(files("midi_llm.server").joinpath("studio"))) if studio is None else studio)
    add_handlers(app)
    app.add_middleware(Gate, settings=service.settings, metrics=service.metrics)
    if service.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID", "X-Api-Key", "X-Request-Id"],
            expose_headers=["Location", "Retry-After", "X-Request-Id"],
        )
    return app


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        """Jobs are taken and composed."""
        if not service.is_ready:
            raise ServiceError(503, "the service is starting or shutting down; try again in a moment", retry_after=1)
        service.store.check()
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(service.metrics.text(), media_type=METRICS_TYPE)


def _add_studio(app: FastAPI, folder: Path) -> None:
    index = folder / "index.html"

    @app.get("/", include_in_schema=False)
    def studio() -> Response:
        return FileResponse(index) if index.is_file() else HTMLResponse(NO_STUDIO)

    if (folder / "assets").is_dir():
        app.mount("/assets", StaticFiles(directory=folder / "assets"), name="assets")
