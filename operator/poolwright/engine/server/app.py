"""Puts routes behind what every one of them needs: errors in OpenAI's shape, size limits, and a way out."""

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from poolwright.engine.server.errors import ApiError, unexpected
from poolwright.engine.server.generate import json_response
from poolwright.engine.server.routes import Routes
from poolwright.engine.server.service import Phase, Service

LOG: Final = logging.getLogger(__name__)
TOO_LARGE: Final = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def application(service: Service) -> web.Application:
    """Return the API's application."""
    app = web.Application(
        middlewares=[_leaving(service), errors_told], client_max_size=service.settings.max_request_bytes
    )
    app.add_routes(Routes(service).table())
    return app


def _leaving(service: Service) -> Middleware:
    """Return a middleware that asks clients to connect elsewhere once the engine drains."""

    @web.middleware
    async def closes_while_draining(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if service.phase is Phase.DRAINING:
            response.force_close()
        return response

    return closes_while_draining


@web.middleware
async def errors_told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into a body that clients can read; what they did not cause is logged, not told."""
    try:
        return await handler(request)
    except ApiError as error:
        return json_response(error.body(), status=error.status, headers=error.headers)
    except web.HTTPException as error:
        return _told(request, error)
    except ConnectionError:
        raise
    except Exception:
        LOG.exception("%s %s failed", request.method, request.path)
        return json_response(unexpected().body(), status=unexpected().status)


def _told(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return what the HTTP library refuses, in our words."""
    message = f"{request.method} {request.path}: {error.reason}"
    told = ApiError(HTTPStatus(error.status), message, code="too_large" if error.status == TOO_LARGE else None)
    return json_response(told.body(), status=error.status, headers=_kept(error))


def _kept(error: web.HTTPException) -> dict[str, str]:
    """Return the headers that say what would be right."""
    return {name: value for name, value in error.headers.items() if name == "Allow"}
