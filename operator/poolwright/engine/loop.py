"""The engine's loop: a thread that schedules, computes, draws and tells, until it is stopped.

Every public method may be called from any thread. The scheduler and all sequences belong to a lock; the device is
worked without it, so that submitting never waits for a step. Listeners are called from the loop's thread, unlocked.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from poolwright.engine.blocks import BlockPool
from poolwright.engine.costs import step_costs
from poolwright.engine.generation import (
    EngineFailedError,
    EngineState,
    Generation,
    OnScheduled,
    OnStep,
    OnToken,
    QueueFullError,
    StepRecord,
)
from poolwright.engine.model.step import Chunk
from poolwright.engine.roster import Roster, Told
from poolwright.engine.runner import Runner
from poolwright.engine.scheduler import Batch, Limits

LOG: Final = logging.getLogger(__name__)


class Engine:
    """An ``EngineCore`` over one model.

    Parameters
    ----------
    runner
        Model, cache and device.
    limits
        What a step may hold.
    max_queued_requests
        Most requests that wait; None: any number.
    max_model_len
        Most tokens of prompt and answer together; no more than the cache holds.
    on_step
        Told of each step.
    seed
        Where seeds of requests without one come from.
    """

    def __init__(
        self,
        runner: Runner,
        limits: Limits,
        *,
        max_queued_requests: int | None = None,
        max_model_len: int | None = None,
        on_step: OnStep | None = None,
        seed: int = 0,
    ) -> None:
        cache = runner.cache
        self._runner = runner
        self._roster = Roster(limits, BlockPool(cache.blocks, cache.block_tokens), seed)
        self._costs = step_costs(runner.model, cache)
        self._max_queued_requests = max_queued_requests
        longest = max_model_len or runner.model.config.max_positions
        self._max_model_len = min(longest, cache.blocks * cache.block_tokens)
        self._on_step = on_step
        self._changed = threading.Condition()
        self._aborted: set[str] = set()
        self._is_closed = False
        self._must_end = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    @property
    def max_model_len(self) -> int:
        """Most tokens of prompt and answer together."""
        return self._max_model_len

    def submit(self, generation: Generation, on_token: OnToken, on_scheduled: OnScheduled | None = None) -> None:
        """Queue a generation.

        Raises
        ------
        QueueFullError
            As many wait as may, or the engine takes no more.
        EngineFailedError
            The engine does not work any more.
        ValueError
            It could never be served.
        """
        self._check(generation)
        with self._changed:
            self._refuse_late()
            self._roster.add(generation, on_token, on_scheduled)
            self._changed.notify_all()

    def abort(self, name: str) -> None:
        """End a generation; its last token says so. Unknown names are no error: it may just have ended."""
        with self._changed:
            if name in self._roster:
                self._aborted.add(name)
                self._changed.notify_all()

    def state(self) -> EngineState:
        """Return counts and limits.

        Raises
        ------
        EngineFailedError
            The engine does not work any more.
        """
        with self._changed:
            self._refuse_failed()
            roster, scheduler = self._roster, self._roster.scheduler
            blocks = scheduler.blocks
            return EngineState(
                running=len(scheduler.running),
                waiting=scheduler.waiting,
                kv_used_ratio=blocks.used / blocks.total,
                kv_tokens=blocks.total * blocks.block_tokens,
                max_num_seqs=scheduler.limits.max_num_seqs,
                max_num_batched_tokens=scheduler.limits.max_num_batched_tokens,
                max_queued_requests=self._max_queued_requests,
                preemptions=roster.preemptions,
                cache_queries=roster.cache_queries,
                cache_hits=roster.cache_hits,
            )

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
        if max_queued_requests is not None and max_queued_requests < 1:
            raise ValueError(f"max_queued_requests {max_queued_requests} must be at least 1")
        with self._changed:
            now = self._roster.scheduler.limits
            self._roster.scheduler.limits = Limits(
                max_num_seqs=now.max_num_seqs if max_num_seqs is None else max_num_seqs,
                max_num_batched_tokens=(
                    now.max_num_batched_tokens if max_num_batched_tokens is None else max_num_batched_tokens
                ),
            )
            if max_queued_requests is not None:
                self._max_queued_requests = max_queued_requests

    def stop(self, *, grace_s: float) -> None:
        """Take no more, finish what is in flight for at most so long, abort the rest and return."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not len(self._roster), timeout=grace_s)
            self._must_end = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._runner.close()

    def _check(self, generation: Generation) -> None:
        """Refuse what could never be served."""
        longest = len(generation.token_ids) + generation.max_tokens
        if longest > self._max_model_len:
            raise ValueError(
                f"prompt of {len(generation.token_ids)} tokens and answer of {generation.max_tokens} "
                f"are longer than max_model_len {self._max_model_len}"
            )
        vocabulary = self._runner.model.config.vocabulary
        if not all(0 <= token < vocabulary for token in generation.token_ids):
            raise ValueError(f"token_ids must be between 0 and {vocabulary - 1}")

    def _refuse_late(self) -> None:
        """Refuse more work where the queue is full or the engine ends."""
        self._refuse_failed()
        if self._is_closed:
            raise QueueFullError("the engine is stopping")
        waiting = self._roster.scheduler.waiting
        if self._max_queued_requests is not None and waiting >= self._max_queued_requests:
            raise QueueFullError(f"{waiting} requests wait, as many as may")

    def _refuse_failed(self) -> None:
        if self._failure is not None:
            raise EngineFailedError(f"a step failed: {self._failure!r}") from self._failure

    def _run(self) -> None:
        """Work until told to end; after a failure everybody is told and nothing is taken any more."""
        try:
            while self._turn():
                pass
        except BaseException as error:  # whatever it was, nobody may wait for ever
            LOG.exception("a step failed; the engine stops")
            with self._changed:
                self._failure = error
        with self._changed:
            self._is_closed = True
            told = self._roster.drop_all()
            self._changed.notify_all()
        _tell(told)

    def _turn(self) -> bool:
        """Do one step, or wait for work; False when it is time to end."""
        with self._changed:
            if self._must_end:
                return False
            told = self._roster.drop(sorted(self._aborted))
            self._aborted.clear()
            batch, chunks, joined = self._roster.scheduled()
            if told:
                self._changed.notify_all()
            elif not (chunks or batch.preempted):
                self._changed.wait()
        _tell(told)
        for listener in joined:
            _call(listener)
        if chunks:
            self._step(batch, chunks)
        return True

    def _step(self, batch: Batch, chunks: Sequence[Chunk]) -> None:
        """Compute a batch, draw and tell. Whoever submits meanwhile changes nothing that is read here unlocked."""
        started_s = time.perf_counter()
        decoding = sum(request.is_decoding for request, _ in batch.entries)
        drawing = self._roster.drawing(batch, chunks)
        drawn = self._runner.step(chunks, [sequence.draw() for sequence in drawing])
        with self._changed:
            told = self._roster.completed(batch, drawing, drawn)
            self._changed.notify_all()
        record = self._record(chunks, decoding, time.perf_counter() - started_s)
        _tell(told)
        if self._on_step is not None:
            _call(partial(self._on_step, record))

    def _record(self, chunks: Sequence[Chunk], decoding: int, seconds: float) -> StepRecord:
        return StepRecord(
            seconds=seconds,
            decoding=decoding,
            prefill_tokens=sum(len(chunk.token_ids) for chunk in chunks) - decoding,
            context_tokens=sum(chunk.stop for chunk in chunks),
            flop=self._costs.flop(chunks),
            bytes=self._costs.bytes(chunks),
        )


def _tell(told: Told) -> None:
    """Call each listener; one that fails harms only itself."""
    for sequence, token in told:
        _call(partial(sequence.on_token, token))


def _call(listener: Callable[[], None]) -> None:
    try:
        listener()
    except Exception:
        LOG.exception("a listener failed")
