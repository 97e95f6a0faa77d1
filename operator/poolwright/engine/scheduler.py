"""Which tokens the next step computes: continuous batching with chunked prefill over paged KV cache.

Plain Python without a device: the engine runs the batches for real, the simulator gives them a duration. Rules, in
order: requests in the batch go first, in order of admission; waiting ones are admitted by priority while sequences,
tokens and blocks last; when blocks run out the least important, newest request loses its own and is computed again
later. The limits may change between any two steps; nothing is dropped for it.
"""

import heapq
from dataclasses import dataclass

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request


@dataclass(slots=True, kw_only=True)
class Limits:
    """What one step may hold; settable while running."""

    max_num_seqs: int
    max_num_batched_tokens: int

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could run."""
        if self.max_num_seqs < 1 or self.max_num_batched_tokens < 1:
            raise ValueError(
                f"max_num_seqs {self.max_num_seqs} and max_num_batched_tokens {self.max_num_batched_tokens} "
                "must be at least 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One step: tokens to compute of each request, and who lost its blocks to make room."""

    entries: tuple[tuple[Request, int], ...]
    preempted: tuple[Request, ...] = ()


class Scheduler:
    """Queues and batch of one engine."""

    def __init__(self, limits: Limits, blocks: BlockPool) -> None:
        self.limits = limits
        self.blocks = blocks
        self.running: list[Request] = []
        self._waiting: list[tuple[int, int, Request]] = []

    @property
    def waiting(self) -> int:
        """Requests that are not in the batch."""
        return len(self._waiting)

    def add(self, request: Request) -> None:
        """Queue a request.

        Raises
        ------
        ValueError
            When it could never fit into the cache, whatever else runs.
        """
        longest = request.prompt_tokens + request.output_tokens
        if self.blocks.blocks_for(longest) > self.blocks.total:
            raise ValueError(
                f"request {request.number} needs {longest} tokens of cache, "
                f"there are {self.blocks.total * self.blocks.block_tokens}"
            )
        self._queue(request)

    def abort(self, number: int) -> Request | None:
        """Take a request out wherever it is; None when it is not here any more."""
        for request in self.running:
            if request.number == number:
                self.running.remove(request)
                self._release(request)
                return request
        for entry in self._waiting:
            if entry[2].number == number:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
                return entry[2]
        return None

    def schedule(self) -> Batch:
        """Return the next step and reserve its blocks; empty when there is nothing to do."""
        budget = self.limits.max_num_batched_tokens
        entries: list[tuple[Request, int]] = []
        preempted: list[Request] = []
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            tokens = min(request.to_compute, budget)
            if not self._make_room(request, tokens, entries, preempted):
                continue  # the request itself lost its blocks and left the batch
            entries.append((request, tokens))
            budget -= tokens
            index = self.running.index(request, max(0, index - len(preempted))) + 1
        if not preempted:
            self._admit(budget, entries)
        return Batch(entries=tuple(entries), preempted=tuple(preempted))

    def complete(self, batch: Batch) -> tuple[list[Request], list[Request]]:
        """Move requests along after their step has run.

        Returns
        -------
        sampled, finished
            Requests that got a token, and those for which it was the last (their blocks are free again).
        """
        sampled: list[Request] = []
        finished: list[Request] = []
        for request, tokens in batch.entries:
            request.computed += tokens
            if request.to_compute:
                continue
            if request.generated == 0 and request.token_ids is not None:
                self.blocks.remember(request.token_ids, request.blocks)
            request.generated += 1
            sampled.append(request)
            if request.is_finished:
                finished.append(request)
                self._release(request)
        if finished:
            self.running = [request for request in self.running if not request.is_finished]
        return sampled, finished

    def _queue(self, request: Request) -> None:
        heapq.heappush(self._waiting, (request.priority, request.number, request))

    def _release(self, request: Request) -> None:
        self.blocks.give_back(request.blocks)
        request.blocks = []

    def _make_room(
        self, request: Request, tokens: int, entries: list[tuple[Request, int]], preempted: list[Request]
    ) -> bool:
        """Reserve blocks for ``tokens`` more, taking them from less important requests; False if it lost its own."""
        while True:
            missing = self.blocks.blocks_for(request.computed + tokens) - len(request.blocks)
            if missing <= 0:
                return True
            taken = self.blocks.take(missing)
            if taken is not None:
                request.blocks.extend(taken)
                return True
            victim = max(self.running, key=lambda each: (each.priority, each.number))
            self._preempt(victim, preempted)
            entries[:] = [entry for entry in entries if entry[0] is not victim]
            if victim is request:
                return False

    def _preempt(self, victim: Request, preempted: list[Request]) -> None:
        self.running.remove(victim)
        self._release(victim)
        victim.computed = 0
        victim.preemptions += 1
        self._queue(victim)
        preempted.append(victim)

    def _admit(self, budget: int, entries: list[tuple[Request, int]]) -> None:
        while self._waiting and budget > 0 and len(self.running) < self.limits.max_num_seqs:
            request = self._waiting[0][2]
            if not self._reserve_first(request, budget):
                return
            heapq.heappop(self._waiting)
            self.running.append(request)
            tokens = min(request.to_compute, budget)
            entries.append((request, tokens))
            budget -= tokens

    def _reserve_first(self, request: Request, budget: int) -> bool:
        """Reserve blocks for a request's first chunk, the known prefix included; False when there is no room."""
        if request.token_ids is not None:
            request.blocks = self.blocks.reuse(request.token_ids)
            request.computed = len(request.blocks) * self.blocks.block_tokens
        else:
            known = min(request.cached_tokens, request.prompt_tokens - 1)
            request.computed = known - known % self.blocks.block_tokens
        tokens = min(request.to_compute, budget)
        taken = self.blocks.take(self.blocks.blocks_for(request.computed + tokens) - len(request.blocks))
        if taken is None:
            self._release(request)
            request.computed = 0
            return False
        request.blocks.extend(taken)
        return True
