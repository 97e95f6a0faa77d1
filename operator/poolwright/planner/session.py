"""What sessions make of a workload: prompts that grow by turn, prefixes that are reused, and cache held between turns.

Agents call tools between turns, people think, rollouts draw several answers from one prompt. Equations (12.11) to
(12.13) of docs/model.md. How much room the held cache takes from a batch is decided in ``candidates``.
"""

from dataclasses import dataclass

from poolwright.planner.outcome import Step
from poolwright.planner.policy import WorkloadHint
from poolwright.planner.reason import Reason
from poolwright.units import percent_from_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLoad:
    """Means over all requests of sessions.

    Attributes
    ----------
    input_tokens_mean
        Tokens of a prompt, everything said before included.
    cached_prefix_ratio
        Share of them that the cache holds from earlier turns, in [0, 1).
    held_ratio
        Context that is held after a request, over the context of a mean request when it ends [1].
    hold_s
        Time for which a request's context is held afterwards, last turns (0 s) included [s].
    step
        The arithmetic; None without sessions.
    """

    input_tokens_mean: float
    cached_prefix_ratio: float
    held_ratio: float = 0.0
    hold_s: float = 0.0
    step: Step | None = None

    def held_token_s(self, input_tokens: float, output_tokens: float) -> float:
        """Return tokens times seconds that a request leaves in the cache, equation (12.13)."""
        return self.hold_s * self.held_ratio * (input_tokens + output_tokens)


def session_load(hint: WorkloadHint) -> SessionLoad:
    """Return what a hint says of all requests together; without sessions, what it says of one.

    >>> session_load(WorkloadHint(input_tokens_mean=500.0, cached_prefix_ratio=0.25)).input_tokens_mean
    500.0
    """
    shape = hint.sessions
    if shape is None:
        return SessionLoad(input_tokens_mean=hint.input_tokens_mean, cached_prefix_ratio=hint.cached_prefix_ratio)
    turns, first, answer = shape.turns, hint.input_tokens_mean, hint.output_tokens_mean
    grown = shape.new_tokens + answer
    prompt = first + (turns - 1) / 2.0 * grown
    computed = first * (1.0 - hint.cached_prefix_ratio) / shape.samples_per_prompt
    fresh = (computed + (turns - 1) * shape.new_tokens) / turns
    cached = max(1.0 - fresh / prompt, 0.0)
    held = first + (turns - 2) / 2.0 * grown + answer if turns > 1 else 0.0
    hold_s = shape.hold_s * (turns - 1) / turns
    arithmetic = (
        (
            f"prompt = {first:.0f} first + {(turns - 1) / 2:g} x ({shape.new_tokens:.0f} new + {answer:.0f} answer) = "
            f"{prompt:.0f} tokens"
        ),
        (
            f"computed = ({computed:.0f} first + {turns - 1} x {shape.new_tokens:.0f} new) / {turns} turns = "
            f"{fresh:.0f} tokens, {percent_from_ratio(cached):.1f} % cached"
        ),
        (
            f"held = {turns - 1}/{turns} of requests x {shape.hold_s:g} s x {held:.0f} tokens = {hold_s * held:.4g} "
            "token-seconds a request"
        ),
    )
    step = Step(
        name="sessions",
        value=hold_s * held,
        reason=Reason.DEMAND,
        detail=f"{turns} turns a session, context held {shape.hold_s:g} s between them",
        arithmetic=arithmetic,
    )
    return SessionLoad(
        input_tokens_mean=prompt,
        cached_prefix_ratio=cached,
        held_ratio=held / (prompt + answer),
        hold_s=hold_s,
        step=step,
    )
