"""One replica in time: the engine's own scheduler, and a step law instead of a device.

Moves on demand to a given time, so that whoever drives it (a trace, a twin that follows a live cluster) may add
requests or change limits in between. Stretches in which every request only decodes are taken at once: within one the
batch is fixed and contexts grow by one a step, so the mean of its first and last step times the number of steps is
exact for a law that is linear in context. A step that has begun runs to its end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request
from poolwright.engine.scheduler import Batch, Limits, Scheduler

StepTime = Callable[[float, float, float], float]
"""(decode sequences, mean context tokens, prefill tokens) to seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request and when it came [s]."""

    request: Request
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """``steps`` steps of ``step_s`` each, in which ``sequences`` requests got a token other than their first."""

    step_s: float
    steps: int
    sequences: int


@dataclass(slots=True)
class Progress:
    """What happened while a replica moved: times in seconds since the replica's clock began."""

    first_tokens: list[tuple[Request, float]] = field(default_factory=list)
    finished: list[tuple[Request, float]] = field(default_factory=list)
    tokens: list[Tokens] = field(default_factory=list)
    preempted: int = 0
    prefilled_tokens: int = 0


class Replica:
    """A replica whose clock is at ``now_s``."""

    def __init__(self, *, limits: Limits, blocks: BlockPool, step_time_s: StepTime, now_s: float = 0.0) -> None:
        self.scheduler = Scheduler(limits, blocks)
        self.now_s = now_s
        self._step_time_s = step_time_s

    @property
    def in_flight(self) -> int:
        """Requests running or waiting."""
        return len(self.scheduler.running) + self.scheduler.waiting

    @property
    def kv_utilisation_ratio(self) -> float:
        """Share of cache blocks in use."""
        return self.scheduler.blocks.used / self.scheduler.blocks.total

    def submit(self, request: Request, at_s: float) -> None:
        """Queue a request that came at ``at_s``; an idle replica's clock moves there first."""
        if not self.in_flight:
            self.now_s = max(self.now_s, at_s)
        self.scheduler.add(request)

    def advance(self, to_s: float) -> Progress:
        """Run every step that begins before ``to_s`` and return what happened."""
        progress = Progress()
        while self.now_s < to_s and self.in_flight:
            batch = self.scheduler.schedule()
            progress.preempted += len(batch.preempted)
            self._run(batch, to_s, progress)
        return progress

    def _run(self, batch: Batch, to_s: float, progress: Progress) -> None:
        decoding = [request for request, _ in batch.entries if request.is_decoding]
        prefilled = sum(tokens for request, tokens in batch.entries if not request.is_decoding)
        context = sum(request.tokens for request in decoding) / len(decoding) if decoding else 0.0
        first_s = self._step_time_s(len(decoding), context, prefilled)
        steps, mean_s = 1, first_s
        if not prefilled and not batch.preempted and len(decoding) == len(self.scheduler.running):
            steps, mean_s = self._stretch(decoding, context, first_s, to_s)
        for request in decoding:
            # All but the last step of a stretch; the scheduler completes that one.
            request.computed += steps - 1
            request.generated += steps - 1
        self.now_s += steps * mean_s
        progress.prefilled_tokens += prefilled
        if decoding:
            progress.tokens.append(Tokens(step_s=mean_s, steps=steps, sequences=len(decoding)))
        sampled, finished = self.scheduler.complete(batch)
        progress.first_tokens.extend((request, self.now_s) for request in sampled if request.generated == 1)
        progress.finished.extend((request, self.now_s) for request in finished)

    def _stretch(
        self, decoding: list[Request], context_tokens: float, first_s: float, to_s: float
    ) -> tuple[int, float]:
        """Return how many steps can be taken at once, and their mean duration [s].

        Whoever still waits was not admitted to this step, and will not be before somebody leaves.
        """
        most = min(request.output_tokens - request.generated for request in decoding)
        steps = self._steps_that_fit(decoding, max(1, min(most, int((to_s - self.now_s) / first_s) + 1)))
        last_s = self._step_time_s(len(decoding), context_tokens + steps - 1, 0.0)
        return steps, 0.5 * (first_s + last_s)

    def _steps_that_fit(self, decoding: list[Request], most: int) -> int:
        """Reserve blocks for as many of ``most`` steps as the pool has without taking any away; return that number."""
        blocks = self.scheduler.blocks
        while most > 1:
            missing = [blocks.blocks_for(each.computed + most) - len(each.blocks) for each in decoding]
            if sum(missing) <= blocks.free:
                for request, count in zip(decoding, missing, strict=True):
                    request.blocks.extend(blocks.take(max(count, 0)) or ())
                return most
            most //= 2
        return 1
