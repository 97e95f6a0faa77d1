"""One generation between the engine's thread and the server's: when things happened to it, and what was counted of it.

The engine calls from its own thread; everything here but ``Mailbox.post`` happens on the server's event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from poolwright.engine.generation import FinishReason, Generation, Token
from poolwright.engine.server.metrics import Metrics


class Mailbox:
    """Hands calls from any thread to an event loop, waking it once for all that came meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: deque[Callable[[], None]] = deque()
        self._is_called = False

    def post(self, letter: Callable[[], None]) -> None:
        """Have ``letter`` called on the loop, after all that was posted before."""
        self._letters.append(letter)
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        self._is_called = False
        while self._letters:
            self._letters.popleft()()


@dataclass(slots=True, eq=False)
class Flight:
    """A generation under way.

    Attributes
    ----------
    generation
        What was asked.
    index
        Which choice of the request it is.
    metrics
        Where it is counted.
    arrived_s
        When it came [s, monotonic].
    scheduled_s, last_token_s
        When it first joined a batch, and when its last token so far came [s, monotonic].
    tokens
        Tokens generated.
    cached_tokens
        Tokens of the prompt that were known.
    has_ended
        Whether it was counted as ended; what comes later is not looked at.
    """

    generation: Generation
    index: int
    metrics: Metrics
    arrived_s: float
    scheduled_s: float | None = field(default=None)
    last_token_s: float | None = field(default=None)
    tokens: int = 0
    cached_tokens: int = 0
    has_ended: bool = False

    def scheduled(self, now_s: float) -> None:
        """Note that it joined a batch."""
        self.scheduled_s = now_s
        self.metrics.queued.observe(now_s - self.arrived_s)

    def told(self, token: Token, now_s: float) -> None:
        """Count a token."""
        self.cached_tokens = token.cached_tokens
        if token.token_id is not None:
            self._count_token(now_s)
        if token.finish_reason is not None:
            self.ended(token.finish_reason, now_s)

    def ended(self, reason: FinishReason, now_s: float) -> None:
        """Count its end, once."""
        if self.has_ended:
            return
        self.has_ended = True
        self.metrics.finished[reason.value].inc()
        self.metrics.latency.observe(now_s - self.arrived_s)
        self.metrics.prompt_length.observe(len(self.generation.token_ids))
        self.metrics.answer_length.observe(self.tokens)

    def _count_token(self, now_s: float) -> None:
        self.tokens += 1
        self.metrics.generation_tokens.inc()
        if self.last_token_s is None:
            self.metrics.ttft.observe(now_s - self.arrived_s)
            self.metrics.prompt_tokens.inc(len(self.generation.token_ids))
        else:
            self.metrics.itl.observe(now_s - self.last_token_s)
            self.metrics.tpot.observe(now_s - self.last_token_s)
        self.last_token_s = now_s
