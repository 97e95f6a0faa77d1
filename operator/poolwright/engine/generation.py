"""What is asked of an engine and what it says: the types between server and loop. No device, no network.

The server turns an API call into a ``Generation``; the loop answers each token with a ``Token``. Text is the server's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class FinishReason(StrEnum):
    """Why a generation ended; the names are the OpenAI API's."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"


class QueueFullError(Exception):
    """As many requests wait as may; the caller says so instead of being late."""


class EngineFailedError(Exception):
    """A step failed; the engine answers nothing any more and should be started anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is drawn.

    Attributes
    ----------
    temperature
        0 takes the most probable token.
    top_p, top_k, min_p
        Tokens kept: the smallest set of at least this probability, so many, and at least this share of the best.
        1, 0 and 0 keep all.
    presence_penalty, frequency_penalty
        Taken off the logit of a token that was generated: once, and for each time.
    repetition_penalty
        Divides positive and multiplies negative logits of tokens in prompt or answer.
    seed
        The same seed, prompt and parameters give the same answer; None draws one.
    logprobs
        Log probabilities of so many best tokens are told with each token; None tells none.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    logprobs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One prompt to answer.

    Attributes
    ----------
    name
        Identity, unique in the engine.
    token_ids
        The prompt, at least one token.
    max_tokens
        Most tokens of the answer, at least 1.
    stop_token_ids
        Tokens that end the answer; the last of them is told.
    priority
        Lower is served first.
    """

    name: str
    token_ids: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop_token_ids: frozenset[int] = frozenset()
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token of an answer, and why it is the last one, if it is.

    ``token_id`` is None where a generation ends without another token. ``cached_tokens`` is how many tokens of the
    prompt the prefix cache knew.
    """

    token_id: int | None
    finish_reason: FinishReason | None = None
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What one step did, for metrics: how long it took [s], what it computed, what it is estimated to have moved."""

    seconds: float
    decoding: int
    prefill_tokens: int
    context_tokens: int
    flop: float
    bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """Counts of one moment and since the start; limits as they are now.

    ``cache_queries`` and ``cache_hits`` count prompt tokens that were looked up and known.
    """

    running: int
    waiting: int
    kv_used_ratio: float
    kv_tokens: int
    max_num_seqs: int
    max_num_batched_tokens: int
    max_queued_requests: int | None
    preemptions: int
    cache_queries: int
    cache_hits: int


OnToken = Callable[[Token], None]
"""Called from the loop's thread for each token, in order; must return at once."""
OnScheduled = Callable[[], None]
"""Called once from the loop's thread when a request first joins a batch."""
OnStep = Callable[[StepRecord], None]
"""Called from the loop's thread after each step."""


class EngineCore(Protocol):
    """What a server needs of an engine. Every method may be called from any thread."""

    @property
    def max_model_len(self) -> int:
        """Most tokens of prompt and answer together."""

    def submit(self, generation: Generation, on_token: OnToken, on_scheduled: OnScheduled | None = None) -> None:
        """Queue a generation.

        Raises
        ------
        QueueFullError
            As many wait as may.
        ValueError
            It could never fit.
        """

    def abort(self, name: str) -> None:
        """End a generation; its last token says so. Unknown names are no error: it may just have ended."""

    def state(self) -> EngineState:
        """Return counts and limits."""

    def set_limits(
        self,
        *,
        max_num_seqs: int | None = None,
        max_num_batched_tokens: int | None = None,
        max_queued_requests: int | None = None,
    ) -> None:
        """Change limits between two steps; nothing is dropped for it. None leaves one as it is.

        Raises
        ------
        ValueError
            A limit under which nothing could run.
        """

    def stop(self, *, grace_s: float) -> None:
        """Take no more, finish what is in flight for at most so long, abort the rest and return."""
