"""Runs the generations of one request and yields what is new of each choice; whatever happens, none is left running."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from poolwright.engine.generation import (
    EngineFailedError,
    FinishReason,
    OnScheduled,
    OnToken,
    QueueFullError,
    Token,
)
from poolwright.engine.server.asking import Ask
from poolwright.engine.server.choice import Choice, Delta
from poolwright.engine.server.errors import ApiError, bad_request, failed, overloaded, timed_out
from poolwright.engine.server.flight import Flight
from poolwright.engine.server.service import Service
from poolwright.engine.server.stops import StopStrings
from poolwright.engine.server.text import Detokenizer


class Answer:
    """The answer to one request. Use as a context manager: leaving it aborts what has not ended.

    Parameters
    ----------
    service
        Who answers.
    ask
        What was asked.
    arrived_s
        When [s, monotonic].
    """

    def __init__(self, service: Service, ask: Ask, arrived_s: float) -> None:
        self._service = service
        self._engine = service.served.engine
        self._deadline_s = arrived_s + service.settings.request_timeout_seconds
        self._news: asyncio.Queue[tuple[int, Token]] = asyncio.Queue()
        self._choices = [self._choice(index, ask) for index in range(len(ask.generations))]
        self._per_prompt = ask.choices
        self.flights = [
            Flight(generation=generation, index=index, metrics=service.counted, arrived_s=arrived_s)
            for index, generation in enumerate(ask.generations)
        ]

    def _choice(self, index: int, ask: Ask) -> Choice:
        codec = self._service.served.codec
        return Choice(
            index=index,
            codec=codec,
            detokenizer=Detokenizer(codec, ask.skips_special),
            stops=StopStrings(ask.stops, ask.keeps_stop),
            hidden=ask.hidden,
        )

    def __enter__(self) -> Self:
        """Queue every generation, or none.

        Raises
        ------
        ApiError
            The queue is full, the engine is down, or it could never answer.
        """
        for flight in self.flights:
            flight.metrics.arrived.inc()
        for count, flight in enumerate(self.flights):
            try:
                self._engine.submit(flight.generation, *self._listeners(flight))
            except (QueueFullError, EngineFailedError, ValueError) as error:
                for earlier in self.flights[:count]:
                    self._abort(earlier)
                raise self._refusal(error, len(self.flights) - count) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for flight in self.flights:
            if not flight.has_ended:
                self._abort(flight)

    async def deltas(self) -> AsyncIterator[Delta]:
        """Yield what is new, of any choice, until all have ended.

        Raises
        ------
        ApiError
            It took too long, or the engine gave up.
        """
        open_choices = set(range(len(self._choices)))
        while open_choices:
            index, token = await self._next()
            delta = self._choices[index].take(token) if index in open_choices else None
            if delta is None:
                continue
            if delta.finish_reason is FinishReason.ABORT:
                raise self._given_up()
            if delta.finish_reason is not None:
                open_choices.remove(index)
                if not self.flights[index].has_ended:
                    self._abort(self.flights[index], FinishReason.STOP)
            yield delta

    @property
    def usage(self) -> dict[str, object]:
        """Tokens so far, as the API tells them: a prompt counts once, however many answers it has."""
        prompts = self.flights[:: self._per_prompt]
        prompt = sum(len(flight.generation.token_ids) for flight in prompts)
        completion = sum(choice.tokens for choice in self._choices)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": sum(flight.cached_tokens for flight in prompts)},
        }

    async def _next(self) -> tuple[int, Token]:
        try:
            async with asyncio.timeout(max(self._deadline_s - time.monotonic(), 0.0)):
                return await self._news.get()
        except TimeoutError:
            raise timed_out(self._service.settings.request_timeout_seconds) from None

    def _listeners(self, flight: Flight) -> tuple[OnToken, OnScheduled]:
        """Return what the engine calls, from its thread."""
        mailbox = self._service.mailbox

        def on_token(token: Token) -> None:
            now_s = time.monotonic()
            mailbox.post(lambda: self._hear(flight, token, now_s))

        def on_scheduled() -> None:
            now_s = time.monotonic()
            mailbox.post(lambda: flight.scheduled(now_s))

        return on_token, on_scheduled

    def _hear(self, flight: Flight, token: Token, now_s: float) -> None:
        if not flight.has_ended:
            flight.told(token, now_s)
            self._news.put_nowait((flight.index, token))

    def _abort(self, flight: Flight, reason: FinishReason = FinishReason.ABORT) -> None:
        self._engine.abort(flight.generation.name)
        flight.ended(reason, time.monotonic())

    def _refusal(self, error: Exception, refused: int) -> ApiError:
        """Return what a client is told when the engine takes no generation."""
        if isinstance(error, QueueFullError):
            self._service.counted.refused["queue_full"].inc(refused)
            return overloaded(str(error), code="queue_full")
        if isinstance(error, EngineFailedError):
            return failed()
        return bad_request(str(error), param="prompt", code="invalid_value")

    def _given_up(self) -> ApiError:
        """Return why a generation was ended that nobody here wanted ended."""
        if self._service.health == "failed":
            return failed()
        return overloaded("the engine shut down before the answer was complete", code="draining")
