"""What every request passes: an id, the host it asks for, its key, its type, its size and its time; then the log.

An ASGI middleware. In: requests. Out: problems for those that are refused, the others handed on. Without keys only
names of this machine are answered, and a body must say its type: so no page of another site can use the service of
someone who visits it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from midi_llm.errors import ServiceError
from midi_llm.music.smf import MAX_FILE_BYTES
from midi_llm.server.logs import REQUEST_ID
from midi_llm.server.metrics import Metrics
from midi_llm.server.problems import error_response
from midi_llm.server.settings import LOCAL_NAMES, ServerSettings, is_local

_log = logging.getLogger(__name__)

MAX_JSON_BYTES = 65_536
UPLOADS = "/v1/uploads"
JSON_TYPES = ("application/json",)
BODY_TYPES = {
    "/v1/plans": JSON_TYPES,
    "/v1/compositions": JSON_TYPES,
    "/v1/edits": JSON_TYPES,
    UPLOADS: ("audio/midi", "audio/mid", "audio/x-midi", "audio/sp-midi"),
}
"""Paths that take a body, and the types it may have; other types need no leave to be sent from other sites."""
_GUARDED = ("/v1", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Gate:
    """The middleware."""

    def __init__(self, app: ASGIApp, *, settings: ServerSettings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._keys = [key.encode() for key in settings.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        wanted = headers.get("x-request-id", "")
        request_id = wanted if _REQUEST_ID.fullmatch(wanted) else secrets.token_hex(8)
        scope["midi_llm_request_id"] = request_id
        token = REQUEST_ID.set(request_id)
        answer = _Answer(scope, send, request_id)
        try:
            scope["midi_llm_client"] = self._admit(scope, headers)
        except ServiceError as error:
            await error_response(error, request_id)(scope, receive, answer)
        else:
            await self._app(scope, self._limited(scope, receive), answer)
        finally:
            self._report(scope, answer)
            REQUEST_ID.reset(token)

    def _admit(self, scope: Scope, headers: Headers) -> str:
        """What the client is known by. Raises `ServiceError` for a request that is refused unread."""
        self._check_host(headers.get("host", ""))
        client = self._client(scope, headers)
        if scope["method"] == "POST":
            _check_type(scope["path"], headers.get("content-type", ""))
            length = headers.get("content-length", "0")
            most = _most_bytes(scope["path"])
            if length.isdecimal() and int(length) > most:
                raise ServiceError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(most))
        return client

    def _check_host(self, host: str) -> None:
        settings = self._settings
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        is_known = name.strip("[]").lower() in (*LOCAL_NAMES, settings.host)
        if not (settings.api_keys or is_known) and is_local(settings.host):
            raise ServiceError(
                HTTPStatus.MISDIRECTED_REQUEST, f"this service is {settings.host} and answers no requests for {host!r}"
            )

    def _client(self, scope: Scope, headers: Headers) -> str:
        address = (scope.get("client") or ("unknown",))[0]
        if not self._keys or not scope["path"].startswith(_GUARDED):
            return str(address)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = (bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")).encode()
        if not sum(hmac.compare_digest(given, key) for key in self._keys):  # all of them are compared, in equal time
            raise ServiceError(HTTPStatus.UNAUTHORIZED, "an API key is needed: send it as 'Authorization: Bearer KEY'")
        return hashlib.sha256(given).hexdigest()[:16]

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` for a body that is neither too long nor too slow."""
        most, arrived, is_whole = _most_bytes(scope["path"]), 0, False
        until = time.monotonic() + self._settings.request_seconds

        async def limited() -> Message:
            nonlocal arrived, is_whole
            if is_whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), until - time.monotonic())
            except TimeoutError:
                detail = f"the request did not arrive within {self._settings.request_seconds:g} s; send it again"
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail) from None
            arrived += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if arrived > most:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(most))
            return message

        return limited

    def _report(self, scope: Scope, answer: _Answer) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(scope["method"], route, answer.status).inc()
        self._metrics.latency.labels(route).observe(answer.seconds)
        _log.info(
            "%s %s %d",
            scope["method"],
            scope["path"],
            answer.status,
            extra={
                "method": scope["method"],
                "path": scope["path"],
                "status": answer.status,
                "seconds": round(answer.seconds, 4),
                "client": scope.get("midi_llm_client"),
            },
        )


class _Answer:
    """Sends an answer with the headers that all answers have, and remembers its status (500 until there is one)."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        self.seconds = 0.0
        self._began = time.monotonic()
        self._send = send
        self._request_id = request_id

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.status, self.seconds = message["status"], time.monotonic() - self._began
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Content-Security-Policy"] = "frame-ancestors 'none'"
        await self._send(message)


def _check_type(path: str, content_type: str) -> None:
    found = content_type.partition(";")[0].strip().lower()
    allowed = BODY_TYPES.get(path)
    if allowed is not None and found not in allowed:
        raise ServiceError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the type of the body is {found!r}; send it as {allowed[0]}"
        )


def _most_bytes(path: str) -> int:
    return MAX_FILE_BYTES if path == UPLOADS else MAX_JSON_BYTES


def _too_large(most: int) -> str:
    return f"the request is too large; at most {most:,} bytes are read"
