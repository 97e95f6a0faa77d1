"""The OpenAI API: what each route reads and answers."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar
from uuid import uuid4

from aiohttp import web
from pydantic import ValidationError

from poolwright.engine.server.asking import ask_of, priority_of
from poolwright.engine.server.chat import ConversationError
from poolwright.engine.server.dialect import ChatDialect, PlainDialect
from poolwright.engine.server.errors import ApiError, bad_request, malformed, not_served
from poolwright.engine.server.generate import ARRIVED_S, answered, json_response
from poolwright.engine.server.metrics import CONTENT_TYPE
from poolwright.engine.server.schema import (
    MAX_CHOICES,
    NOT_SERVED,
    Body,
    ChatBody,
    CompletionBody,
    DetokenizeBody,
    Message,
    TokenizeBody,
)
from poolwright.engine.server.service import Served, Service

READ_S: Final = 30.0
"""[s] Longest time in which a body must have come: 16 MiB at 5 Mbit/s."""
DEFAULT_MAX_TOKENS: Final = 16
"""Tokens of a plain completion that does not say; OpenAI's."""

SomeBody = TypeVar("SomeBody", bound=Body)


class Routes:
    """Handlers of the API, on one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def table(self) -> list[web.RouteDef]:
        """Return every route."""
        return [
            web.get("/health", self.health),
            web.get("/metrics", self.metrics),
            web.get("/v1/models", self.models),
            web.get("/v1/models/{name:.+}", self.model),
            web.post("/v1/chat/completions", self.chat),
            web.post("/v1/completions", self.completions),
            web.post("/tokenize", self.tokenize),
            web.post("/detokenize", self.detokenize),
        ]

    async def health(self, request: web.Request) -> web.Response:
        """Say whether requests are taken: 200, or 503 and why not."""
        del request
        health = self._service.health
        return json_response({"status": health}, status=200 if health == "ready" else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """Return the page for scrapers, empty while the model loads."""
        del request
        metrics = self._service.metrics
        return web.Response(body=metrics.page() if metrics else b"", headers={"Content-Type": CONTENT_TYPE})

    async def models(self, request: web.Request) -> web.Response:
        """List the names served."""
        del request
        rows = [self._row(name) for name in self._service.settings.names]
        return json_response({"object": "list", "data": rows}, status=200)

    async def model(self, request: web.Request) -> web.Response:
        """Describe one name."""
        name = request.match_info["name"]
        if name not in self._service.settings.names:
            raise not_served(name, self._service.settings.names)
        return json_response(self._row(name), status=200)

    def _row(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._service.created_s,
            "owned_by": "poolwright",
            "root": self._service.settings.model,
            "max_model_len": self._service.served.engine.max_model_len,
        }

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Complete prompts."""
        body = await read(request, CompletionBody)
        served = self._service.admit(body.model)
        priority = priority_of(body, request.headers)
        prompts = await asyncio.to_thread(_prompts, body, served)
        ask = ask_of(
            f"cmpl-{uuid4().hex}",
            body,
            prompts,
            served,
            max_tokens=DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens,
            logprobs=body.logprobs,
            priority=priority,
        )
        echoes = [_echo(body, served, place, prompts) for place in range(len(prompts)) for _ in range(body.choices)]
        dialect = PlainDialect(served.codec, echoes if body.echo else (), body.logprobs is not None)
        return await answered(
            request,
            self._service,
            ask,
            dialect,
            model=body.model or self._service.settings.names[0],
            streams=bool(body.stream),
            tells_usage=body.tells_usage,
        )

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Go on with a conversation."""
        body = await read(request, ChatBody)
        served = self._service.admit(body.model)
        priority = priority_of(body, request.headers)
        tokens = await asyncio.to_thread(_conversation, served, body.messages, body)
        ask = ask_of(
            f"chatcmpl-{uuid4().hex}",
            body,
            [tokens],
            served,
            max_tokens=body.max_completion_tokens or body.max_tokens,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            priority=priority,
        )
        return await answered(
            request,
            self._service,
            ask,
            ChatDialect(served.codec, bool(body.logprobs)),
            model=body.model or self._service.settings.names[0],
            streams=bool(body.stream),
            tells_usage=body.tells_usage,
        )

    async def tokenize(self, request: web.Request) -> web.Response:
        """Return the tokens of a prompt or conversation."""
        body = await read(request, TokenizeBody)
        served = self._service.admit(body.model)
        if body.messages is not None:
            tokens = await asyncio.to_thread(_conversation, served, body.messages, body)
        else:
            adds_special = body.add_special_tokens is not False
            tokens = await asyncio.to_thread(served.codec.encode, body.prompt or "", adds_special=adds_special)
        words = [served.codec.token(token)[0] for token in tokens] if body.return_token_strs else None
        longest = served.engine.max_model_len
        return json_response(
            {"count": len(tokens), "max_model_len": longest, "tokens": tokens, "token_strs": words}, status=200
        )

    async def detokenize(self, request: web.Request) -> web.Response:
        """Return the text of tokens."""
        body = await read(request, DetokenizeBody)
        served = self._service.admit(body.model)
        _check_ids(body.tokens, served, "tokens")
        text = await asyncio.to_thread(served.codec.decode, body.tokens, skips_special=False)
        return json_response({"prompt": text}, status=200)


async def read(request: web.Request, kind: type[SomeBody]) -> SomeBody:
    """Return a request's body.

    Raises
    ------
    ApiError
        It is no JSON, not what the route reads, or came too slowly.
    """
    request[ARRIVED_S] = time.monotonic()
    try:
        async with asyncio.timeout(READ_S):
            content = await request.read()
    except TimeoutError:
        raise ApiError(
            HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {READ_S:g} s", code="request_timeout"
        ) from None
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        descriptions = dict.fromkeys(NOT_SERVED, "") | {
            name: info.description or "" for name, info in kind.model_fields.items()
        }
        raise malformed(error, descriptions) from error


def _prompts(body: CompletionBody, served: Served) -> list[tuple[int, ...]]:
    """Return the tokens of each prompt."""
    prompt = body.prompt
    if isinstance(prompt, str):
        return [served.codec.encode(prompt, adds_special=True)]
    prompts: Sequence[Any] = [prompt] if prompt and isinstance(prompt[0], int) else prompt
    if not 1 <= len(prompts) <= MAX_CHOICES:
        raise bad_request(
            f"prompt: {len(prompts)} prompts; there must be 1 to {MAX_CHOICES}", param="prompt", code="invalid_value"
        )
    if len(prompts) * body.choices > MAX_CHOICES:
        raise bad_request(
            f"n: {body.choices} answers to {len(prompts)} prompts are more than {MAX_CHOICES}",
            param="n",
            code="invalid_value",
        )
    return [_tokens(each, served) for each in prompts]


def _tokens(prompt: Any, served: Served) -> tuple[int, ...]:
    if isinstance(prompt, str):
        return served.codec.encode(prompt, adds_special=True)
    _check_ids(prompt, served, "prompt")
    return tuple(prompt)


def _check_ids(token_ids: Sequence[int], served: Served, param: str) -> None:
    """Refuse tokens that have no name."""
    highest = max(token_ids, default=0)
    if highest >= served.codec.vocabulary:
        raise bad_request(
            f"{param}: token {highest} is none of this model's {served.codec.vocabulary}",
            param=param,
            code="invalid_value",
        )


def _echo(body: CompletionBody, served: Served, place: int, prompts: Sequence[tuple[int, ...]]) -> str:
    """Return a prompt's text: as it was written, or what its tokens say."""
    written: Any = body.prompt if isinstance(body.prompt, str) else body.prompt[place]
    return written if isinstance(written, str) else served.codec.decode(prompts[place])


def _conversation(served: Served, messages: Sequence[Message], body: ChatBody | TokenizeBody) -> tuple[int, ...]:
    """Return the tokens of a conversation."""
    if served.template is None:
        raise bad_request(
            "this model has no chat template; use /v1/completions", param="messages", code="no_chat_template"
        )
    try:
        prompt = served.template.prompt(
            [message.for_template() for message in messages],
            adds_generation_prompt=body.add_generation_prompt is not False,
            arguments=body.chat_template_kwargs,
        )
    except ConversationError as error:
        raise bad_request(str(error), param="messages", code="invalid_value") from error
    return served.codec.encode(prompt, adds_special=False)
