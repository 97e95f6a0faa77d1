"""Who is being served: every generation under way, the scheduler that moves it, and counts since the start.

Knows neither thread nor device: the loop asks it what to compute and hands back what was drawn.
"""

import random
from collections.abc import Sequence as Sequences
from typing import Final

from poolwright.engine.blocks import BlockPool
from poolwright.engine.generation import Generation, OnScheduled, OnToken, Token
from poolwright.engine.model.step import Chunk
from poolwright.engine.request import Request
from poolwright.engine.sampler import Drawn
from poolwright.engine.scheduler import Batch, Limits, Scheduler
from poolwright.engine.sequence import Sequence

SEED_BITS: Final = 63
"""Size of a seed that is drawn for a request without one."""

Told = list[tuple[Sequence, Token]]
"""What is to be said to whom."""


class Roster:
    """Generations by name and by the scheduler's number.

    Parameters
    ----------
    limits
        What a step may hold.
    blocks
        The cache's blocks.
    seed
        Where seeds of requests without one come from.
    """

    def __init__(self, limits: Limits, blocks: BlockPool, seed: int) -> None:
        self.scheduler = Scheduler(limits, blocks)
        self.preemptions = 0
        self.cache_queries = 0
        self.cache_hits = 0
        self._seeds = random.Random(seed)  # noqa: S311 - draws of language, no secrets
        self._sequences: dict[int, Sequence] = {}
        self._numbers: dict[str, int] = {}
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._sequences)

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def add(self, generation: Generation, on_token: OnToken, on_scheduled: OnScheduled | None) -> None:
        """Queue a generation.

        Raises
        ------
        ValueError
            Its name is taken, or it could never fit.
        """
        if generation.name in self._numbers:
            raise ValueError(f"a generation named {generation.name} is under way")
        request = Request(
            number=self._next_number,
            prompt_tokens=len(generation.token_ids),
            output_tokens=generation.max_tokens,
            priority=generation.priority,
            token_ids=generation.token_ids,
        )
        self.scheduler.add(request)
        self._next_number += 1
        seed = generation.sampling.seed
        self._sequences[request.number] = Sequence(
            generation=generation,
            request=request,
            seed=self._seeds.getrandbits(SEED_BITS) if seed is None else seed,
            on_token=on_token,
            on_scheduled=on_scheduled,
            answer=[],
        )
        self._numbers[generation.name] = request.number

    def drop(self, names: Sequences[str]) -> Told:
        """Give generations up; only between steps, because their blocks are free at once."""
        ending = [self._sequences[self._numbers[name]] for name in names if name in self._numbers]
        for sequence in ending:
            self._forget(sequence)
        return [(sequence, sequence.ended()) for sequence in ending]

    def drop_all(self) -> Told:
        """Give everything up."""
        return self.drop(list(self._numbers))

    def scheduled(self) -> tuple[Batch, list[Chunk], list[OnScheduled]]:
        """Return the next step, what to compute for each of its entries, and who joined a batch for the first time."""
        batch = self.scheduler.schedule()
        self.preemptions += len(batch.preempted)
        chunks, joined = [], []
        for request, tokens in batch.entries:
            sequence = self._sequences[request.number]
            if sequence.cached_tokens is None:
                sequence.cached_tokens = request.computed
                self.cache_queries += request.prompt_tokens
                self.cache_hits += request.computed
                if sequence.on_scheduled is not None:
                    joined.append(sequence.on_scheduled)
            chunks.append(sequence.chunk(tokens))
        return batch, chunks, joined

    def drawing(self, batch: Batch, chunks: Sequences[Chunk]) -> list[Sequence]:
        """Return the sequences of a step that get a token, in its order."""
        return [
            self._sequences[request.number]
            for (request, _), chunk in zip(batch.entries, chunks, strict=True)
            if chunk.wants_logits
        ]

    def completed(self, batch: Batch, drawing: Sequences[Sequence], drawn: Sequences[Drawn]) -> Told:
        """Move a step's generations along; return what is said to whom."""
        self.scheduler.complete(batch)
        told = [(sequence, sequence.told(each)) for sequence, each in zip(drawing, drawn, strict=True)]
        for sequence, token in told:
            if token.finish_reason is not None:
                self._forget(sequence)
        return told

    def _forget(self, sequence: Sequence) -> None:
        """Let go of a generation that has ended, wherever it is."""
        self.scheduler.abort(sequence.request.number)
        del self._sequences[sequence.request.number]
        del self._numbers[sequence.generation.name]
