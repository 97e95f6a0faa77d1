"""Columns that no best choice needs: another of the same tier loses, costs and uses no more, in any row.

Exact: the best value stays the same; only ties may be broken differently, and always the same way.
"""

import numpy as np
from numpy.typing import NDArray

from poolwright.planner.fleet.program import Program


def undominated(program: Program) -> NDArray[np.bool_]:
    """Return which columns to keep, shape (columns,); every owner's last one, which uses nothing, always stays.

    A column on accelerators that are partly reserved or spot stays too: what it costs depends on the others.
    """
    savings = program.savings
    is_saving = program.occupied[:, (savings.reserved > 0) | (savings.spot > 0)].sum(axis=1) > 0.0
    keep = np.ones(program.columns, dtype=bool)
    uses = program.uses
    for first, last in zip(program.starts[:-1], program.starts[1:], strict=True):
        count = last - first
        begin, end = uses.indptr[first], uses.indptr[last]
        rows, place = np.unique(uses.indices[begin:end], return_inverse=True)
        block = np.zeros((count, len(rows) + 2))
        block[np.repeat(np.arange(count), np.diff(uses.indptr[first : last + 1])), place] = uses.data[begin:end]
        block[:, -2], block[:, -1] = program.losses[first:last], program.costs[first:last]
        no_more = np.min(block[None, :, :] - block[:, None, :], axis=2) >= 0.0
        # Of equal columns the first stays.
        beats: NDArray[np.bool_] = no_more & (~no_more.T | (np.arange(count)[:, None] < np.arange(count)[None, :]))
        keep[first:last] = ~np.logical_or.reduce(beats, axis=0) | is_saving[first:last]
    keep[program.starts[1:] - 1] = True
    return keep
