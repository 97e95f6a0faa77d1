"""How long steps take, one and many at once, compiled.

Step times are linear between the table's contexts, so a sum of steps that only decode is quadratic, and the step in
which an arrival comes its root: equations (13.1) to (13.3) of docs/model.md.
"""

import math

from poolwright.simulator.compiled import compiled
from poolwright.simulator.layout import Floats, Law, Rows


@compiled
def _cell(grid: Floats, value: float) -> int:
    """Return the cell of a value; beyond the grid the last cell goes on."""
    low, high = 0, grid.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if grid[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@compiled
def step_s(law: Law, decoding: int, context: float, prefill: int) -> float:
    """Return the time of one step [s]."""
    i, j, k = _cell(law.sequences, decoding), _cell(law.contexts, context), _cell(law.prefills, prefill)
    u = (decoding - law.sequences[i]) / (law.sequences[i + 1] - law.sequences[i])
    v = (context - law.contexts[j]) / (law.contexts[j + 1] - law.contexts[j])
    w = (prefill - law.prefills[k]) / (law.prefills[k + 1] - law.prefills[k])
    time_s = 0.0
    for a, few in ((i, 1.0 - u), (i + 1, u)):
        for b, near in ((j, 1.0 - v), (j + 1, v)):
            time_s += few * near * ((1.0 - w) * law.times_s[a, b, k] + w * law.times_s[a, b, k + 1])
    return time_s


@compiled
def _steps_s(first_s: float, growth_s: float, steps: int) -> float:
    """Return the time of steps of which each is ``growth_s`` longer than the one before [s]."""
    return steps * first_s + 0.5 * growth_s * steps * (steps - 1)


@compiled
def _steps_begun(first_s: float, growth_s: float, room_s: float, most: int) -> int:
    """Return how many of ``most`` steps begin before ``room_s`` is over, at least 1."""
    # growth/2 m^2 + (first - growth/2) m = room, the root written so that nothing cancels; rounding is put right after.
    linear = first_s - 0.5 * growth_s
    root = linear + math.sqrt(max(linear * linear + 2.0 * growth_s * room_s, 0.0))
    steps = most
    if root > 0.0:
        steps = int(max(1.0, min(float(most), math.ceil(2.0 * room_s / root))))
    while steps > 1 and _steps_s(first_s, growth_s, steps - 1) >= room_s:
        steps -= 1
    while steps < most and _steps_s(first_s, growth_s, steps) < room_s:
        steps += 1
    return steps


@compiled
def stretch(cells: Rows, context: float, most: int, room_s: float) -> tuple[int, float, float]:
    """Return how many of ``most`` decode steps begin within ``room_s``, how long all and the last take [s]."""
    steps, elapsed_s, last_s, cell = 0, 0.0, 0.0, 0
    while steps < most and elapsed_s < room_s:
        while cell + 1 < cells.size and cells[cell + 1].context <= context:
            cell += 1
        growth_s = cells[cell].growth_s
        first_s = cells[cell].time_s + growth_s * (context - cells[cell].context)
        here = most - steps
        if cell + 1 < cells.size:
            here = min(here, max(1, math.ceil(cells[cell + 1].context - context)))
        if elapsed_s + _steps_s(first_s, growth_s, here) >= room_s:
            here = _steps_begun(first_s, growth_s, room_s - elapsed_s, here)
        steps += here
        context += here
        elapsed_s += _steps_s(first_s, growth_s, here)
        last_s = first_s + growth_s * (here - 1)
    return steps, elapsed_s, last_s
