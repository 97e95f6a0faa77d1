"""What the compiled kernel works on: plain arrays, by name. Shared with those who fill them, without the compiler."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolwright.simulator.step_table import StepTable

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = NDArray[np.void]
"""Records of one of the kinds below."""
Row = Any
"""One of them: its fields are attributes to the compiler, which no stub knows."""

NOBODY = -1
"""In place of a request or a replica: there is none."""

LEAST_REQUESTS, LEAST_TOKENS, LEAST_WORK = 0, 1, 2
"""What a router that looks at the replicas compares."""


class Law(NamedTuple):
    """A step table as arrays: times [s] by (sequences, context, prefill), and those without prefill as lines.

    ``decode[n]`` are the cells of a step of ``n`` sequences that decode: at a context of ``context`` tokens it takes
    ``time_s``, and ``growth_s`` more for each further token up to the next cell.
    """

    sequences: Floats
    contexts: Floats
    prefills: Floats
    times_s: Floats
    decode: Rows


class Rules(NamedTuple):
    """What one replica may hold and queue, which steps are counted by length, and what the router compares."""

    max_num_seqs: int
    max_num_batched_tokens: int
    block_tokens: int
    max_queued: int
    counted_from_s: float
    counted_until_s: float
    router: int


LEAST_GAP_S: Final = 1e-4
"""Lower end of the bins of times between tokens [s]: no step is shorter."""
GAP_STEP: Final = 0.005
"""Width of those bins [1, natural logarithm]: finer than any objective is stated."""
GAPS: Final = 2800
"""How many there are: up to two minutes, and the last one holds what is above."""


CELL: Final = np.dtype([("context", "f8"), ("time_s", "f8"), ("growth_s", "f8")])
"""A piece of the line of decode step times over context."""

JOB: Final = np.dtype(
    [
        ("arrival_s", "f8"),
        ("prompt", "i8"),
        ("output", "i8"),
        ("rank", "i8"),  # by priority, then arrival
        ("cached", "i8"),  # known prefix, in whole blocks
        ("generated", "i8"),  # when it last left a batch
        ("after", "i8"),  # who waits behind it
        ("replica", "i8"),
        ("told", "i8"),  # whether its first token was counted, where that is done while the simulation goes on
        ("first_token_s", "f8"),
        ("finish_s", "f8"),
    ]
)
"""A request outside a batch: lengths, how far it has come, and what became of it."""

REQUEST, EXIST, TO_COMPUTE, LEFT, BEGUN, CHUNK, SPARE = range(7)
"""Rows of a batch, a table by (row, place), so that what a step does to everybody is done to neighbours in memory.

Who it is; tokens that exist; those of them to compute; those left to generate; whether one was generated (1 or 0);
tokens that the step at hand computes; further ones that its blocks hold, which tell when it takes another one.
"""
FIELDS: Final = 7

SITE: Final = np.dtype(
    [
        ("now_s", "f8"),
        ("free_blocks", "i8"),
        ("batch", "i8"),  # requests in it
        ("waiting", "i8"),
        ("waiting_prefill", "i8"),  # tokens that they have to compute before their next one
        ("waiting_tokens", "i8"),  # and all those that they will have
        ("head", "i8"),  # first and last of those who wait
        ("tail", "i8"),
        ("planned", "i8"),  # decode steps looked at, but not taken yet
        ("planned_s", "f8"),
        ("last_begin_s", "f8"),  # when the last of them begins
        ("context", "f8"),  # mean context of the first of them
        ("busy_s", "f8"),
        ("steps", "i8"),
        ("prefilled", "i8"),
        ("generated", "i8"),
        ("preempted", "i8"),
        ("gaps", "i8", (GAPS,)),  # tokens by the time since the one before
    ]
)
"""A replica: its clock, its queue and batch, and what it has done."""


def law_of(table: StepTable, max_num_seqs: int) -> Law:
    """Lay a step table out for the kernel; worth keeping, as it takes longer than a short simulation."""
    times = np.array(table.times_s, dtype=np.float64)
    sequences, contexts = np.array(table.sequences), np.array(table.contexts)
    batch = np.arange(max_num_seqs + 1, dtype=np.float64)
    cell = np.clip(np.searchsorted(sequences, batch, side="right") - 1, 0, len(sequences) - 2)
    into = ((batch - sequences[cell]) / (sequences[cell + 1] - sequences[cell]))[:, None]
    # Prefill grids begin at 0: the first plane is a step without any.
    lines = (1.0 - into) * times[cell, :, 0] + into * times[cell + 1, :, 0]
    decode = np.zeros((len(batch), len(contexts) - 1), dtype=CELL)
    decode["context"] = contexts[:-1]
    decode["time_s"] = lines[:, :-1]
    decode["growth_s"] = np.diff(lines, axis=1) / np.diff(contexts)
    prefills = np.array(table.prefills)
    return Law(sequences=sequences, contexts=contexts, prefills=prefills, times_s=times, decode=decode)
