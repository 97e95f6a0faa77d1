"""One answer as its tokens come: text that is certain, log probabilities, and why it ends."""

from dataclasses import dataclass, field
from typing import Final

from poolwright.engine.generation import FinishReason, Token
from poolwright.engine.server.stops import StopStrings
from poolwright.engine.server.text import Codec, Detokenizer

LEAST_LOGPROB: Final = -9999.0
"""What minus infinity is told as, which JSON has no word for; vLLM's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A token with its log probability, and the best tokens in its place."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What is new of one choice; ``finish_reason`` is None until its last."""

    index: int
    text: str
    scored: tuple[Scored, ...] = ()
    finish_reason: FinishReason | None = None


@dataclass(slots=True, eq=False)
class Choice:
    """One answer under way.

    Attributes
    ----------
    index
        Its place in the response.
    codec
        For its text.
    detokenizer, stops
        Where its text is between token and client.
    hidden
        Tokens that end it and are not told.
    tokens
        Tokens taken, those not told included.
    """

    index: int
    codec: Codec
    detokenizer: Detokenizer
    stops: StopStrings
    hidden: frozenset[int]
    tokens: int = 0
    _scored: list[Scored] = field(default_factory=list)

    def take(self, token: Token) -> Delta | None:
        """Return what a token adds, None while that is uncertain; ``STOP`` if a stop string came."""
        text = ""
        if token.token_id is not None:
            self.tokens += 1
            if not (token.finish_reason is FinishReason.STOP and token.token_id in self.hidden):
                self._score(token.token_id, token)
                text = self.stops.push(self.detokenizer.push(token.token_id))
        reason = token.finish_reason
        if reason is not None and not self.stops.is_hit:
            text += self.stops.push(self.detokenizer.rest()) + self.stops.rest()
        if self.stops.is_hit:
            reason = FinishReason.STOP
        if reason is None and not text:
            return None
        scored, self._scored = tuple(self._scored), []
        return Delta(index=self.index, text=text, scored=scored, finish_reason=reason)

    def _score(self, token_id: int, token: Token) -> None:
        if token.logprob is not None:
            top = tuple((each, max(logprob, LEAST_LOGPROB)) for each, logprob in token.top_logprobs)
            self._scored.append(Scored(token_id=token_id, logprob=max(token.logprob, LEAST_LOGPROB), top=top))
