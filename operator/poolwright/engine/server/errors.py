"""What a request can be told instead of an answer, in the shape that OpenAI's clients read."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError

RETRY_AFTER_S: Final = 1
"""[s] When to come again after a 503: a place frees with every request that ends."""
_TYPES: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_TIMEOUT: "timeout_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
}
_UNION_MEMBERS: Final = ("str", "int", "TextPart")
"""What pydantic puts into an error's place for the member of a union that it tried."""


class ApiError(Exception):
    """A refusal or failure as the client is told of it.

    Parameters
    ----------
    status
        HTTP status.
    message
        One sentence with the numbers.
    param
        The field at fault, if one is.
    code
        A word for programs.
    headers
        More headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        fallback = "server_error" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        kind = _TYPES.get(self.status, fallback)
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """Return the error of a request that cannot be served as it is."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, param=param, code=code)


def overloaded(message: str, *, code: str) -> ApiError:
    """Return the error of a request that could be served at another time or elsewhere."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, message, code=code, headers={"Retry-After": str(RETRY_AFTER_S)})


def not_served(name: str, names: Sequence[str]) -> ApiError:
    """Return the error of a model that is not here."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"model {name!r} is not served here; there is {', '.join(names)}",
        param="model",
        code="model_not_found",
    )


def failed() -> ApiError:
    """Return the error of an engine that works no more; what went wrong is in its log."""
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "the engine failed", code="engine_failed")


def unexpected() -> ApiError:
    """Return the error of a mistake of ours; what it was is in the log."""
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "the engine failed to answer", code="internal_error")


def timed_out(limit_s: float) -> ApiError:
    """Return the error of an answer that took too long; clients should not ask the same at once again."""
    return ApiError(
        HTTPStatus.GATEWAY_TIMEOUT,
        f"the answer took longer than {limit_s:g} s",
        code="request_timeout",
        headers={"x-should-retry": "false"},
    )


def malformed(error: ValidationError, descriptions: Mapping[str, str]) -> ApiError:
    """Return the error for a body that does not validate.

    Names the first field at fault and, from ``descriptions`` of every field there is, what it should be.
    """
    errors = error.errors(include_url=False)
    # Each member of a union says what it misses; the one that came deepest is the one that was meant.
    same_field = (each for each in errors if each["loc"][:1] == errors[0]["loc"][:1])
    first = max(same_field, key=lambda each: (len(each["loc"]), not each["type"].endswith("_type")))
    if first["type"] == "json_invalid":
        return bad_request(f"the body is no JSON: {first['ctx']['error']}", code="invalid_json")
    param = _path(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if not param:
        # What fields say together begins with the one at fault.
        named = message.partition(" ")[0]
        return bad_request(message, param=named if named in descriptions else None, code="invalid_value")
    wanted = descriptions.get(param.partition(".")[0])
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    return bad_request(f"{param}: {message}{f' ({wanted})' if wanted else ''}", param=param, code=code)


def _path(loc: Sequence[str | int]) -> str:
    """Return field and places as a path; what pydantic puts between them for members of a union is left out."""
    steps = [
        str(step)
        for at, step in enumerate(loc)
        if at == 0 or isinstance(step, int) or (step.isidentifier() and step not in _UNION_MEMBERS)
    ]
    return ".".join(steps)
