"""One generation while the engine works on it: its tokens, who listens, and what to compute next."""

from dataclasses import dataclass

from poolwright.engine.generation import FinishReason, Generation, OnScheduled, OnToken, Token
from poolwright.engine.model.step import Chunk
from poolwright.engine.request import Request
from poolwright.engine.sampler import Draw, Drawn


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """A generation under way, mutable because it grows.

    Attributes
    ----------
    generation
        What was asked.
    request
        What the scheduler moves.
    seed
        Of its draws.
    answer
        Tokens drawn so far.
    cached_tokens
        Tokens of the prompt that the prefix cache knew when it first joined a batch; None until then.
    """

    generation: Generation
    request: Request
    seed: int
    on_token: OnToken
    on_scheduled: OnScheduled | None
    answer: list[int]
    cached_tokens: int | None = None

    def chunk(self, tokens: int) -> Chunk:
        """Return the next ``tokens`` tokens to compute; logits are wanted when they are the last ones there are."""
        start, stop = self.request.computed, self.request.computed + tokens
        prompt = self.generation.token_ids
        token_ids = (*prompt[start:stop], *self.answer[max(0, start - len(prompt)) : max(0, stop - len(prompt))])
        return Chunk(
            token_ids=token_ids,
            start=start,
            blocks=tuple(self.request.blocks),
            wants_logits=tokens == self.request.to_compute,
        )

    def draw(self) -> Draw:
        """Return what is to be drawn next."""
        return Draw(
            sampling=self.generation.sampling, seed=self.seed, prompt=self.generation.token_ids, answer=self.answer
        )

    def told(self, drawn: Drawn) -> Token:
        """Take a drawn token and return what is said of it."""
        self.answer.append(drawn.token_id)
        reason = None
        if drawn.token_id in self.generation.stop_token_ids:
            reason = FinishReason.STOP
        elif len(self.answer) >= self.generation.max_tokens:
            reason = FinishReason.LENGTH
        return Token(
            token_id=drawn.token_id,
            finish_reason=reason,
            logprob=drawn.logprob,
            top_logprobs=drawn.top_logprobs,
            cached_tokens=self.cached_tokens or 0,
        )

    def ended(self) -> Token:
        """Return what is said of a generation that is given up."""
        return Token(token_id=None, finish_reason=FinishReason.ABORT, cached_tokens=self.cached_tokens or 0)
