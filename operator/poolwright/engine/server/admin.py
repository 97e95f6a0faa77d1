"""Limits that can be changed while requests run: on a port of its own, for whoever holds the token."""

import hmac
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import ValidationError

from poolwright.engine.server.app import errors_told
from poolwright.engine.server.errors import ApiError, bad_request, malformed
from poolwright.engine.server.generate import json_response
from poolwright.engine.server.schema import LimitsBody
from poolwright.engine.server.service import Service

MAX_BODY_BYTES: Final = 4096
"""[bytes] Largest body: three numbers."""


def admin_application(service: Service, token_file: Path) -> web.Application:
    """Return the application of the admin port."""
    app = web.Application(middlewares=[errors_told, _guard(token_file)], client_max_size=MAX_BODY_BYTES)
    limits = _Limits(service)
    app.add_routes([web.get("/limits", limits.read), web.put("/limits", limits.change)])
    return app


def _guard(token_file: Path) -> Middleware:
    """Return a middleware that lets only holders of the token in; the file is read anew, so that tokens can rotate."""

    @web.middleware
    async def only_with_token(request: web.Request, handler: Handler) -> web.StreamResponse:
        wanted = _token(token_file)
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if not wanted or kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), wanted):
            raise ApiError(
                HTTPStatus.UNAUTHORIZED,
                "a bearer token is needed",
                code="invalid_token",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    return only_with_token


def _token(path: Path) -> bytes:
    """Return the token; a small file, read where it is needed."""
    return path.read_bytes().strip()


class _Limits:
    """``/limits``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def read(self, request: web.Request) -> web.Response:
        """Return the limits of now."""
        del request
        return self._told()

    async def change(self, request: web.Request) -> web.Response:
        """Change the limits that the body names; running requests stay."""
        try:
            body = LimitsBody.model_validate_json(await request.read())
        except ValidationError as error:
            raise malformed(error, {}) from error
        try:
            self._service.served.engine.set_limits(**body.model_dump(exclude_none=True))
        except ValueError as error:
            raise bad_request(str(error), code="invalid_value") from error
        return self._told()

    def _told(self) -> web.Response:
        state = self._service.served.engine.state()
        return json_response(
            {
                "max_num_seqs": state.max_num_seqs,
                "max_num_batched_tokens": state.max_num_batched_tokens,
                "max_queued_requests": state.max_queued_requests,
            },
            status=200,
        )
