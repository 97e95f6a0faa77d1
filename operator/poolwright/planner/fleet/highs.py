"""A fleet program as HiGHS takes it: scaled matrices, the linear relaxation and the integer program.

Variables are columns (0 or 1), then reserved and spot accelerators by type. Everything is scaled so that HiGHS'
absolute tolerances mean the same for dollars a second and for watts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_matrix, csr_matrix, diags, hstack, vstack

from poolwright.planner.fleet.program import Array, Choice, Program

ROW_SCALE: Final = 1000.0
"""Value that bounds in dollars and watts are scaled to [1]: HiGHS lets rows be over by 1e-6, then one part in 10^9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is minimised over columns, whether savings on supply count, and losses that may not exceed a value."""

    weights: Array
    has_savings: bool
    fixed: tuple[tuple[Array, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """The linear relaxation: a bound, what one more of each row would save, reduced costs and shares of columns."""

    bound: float
    prices: Array
    reduced: Array
    taken: Array

    @classmethod
    def unknown(cls, program: Program) -> "Relaxed":
        """Return what is known where the solver gave up: nothing."""
        return cls(
            bound=-np.inf,
            prices=np.zeros(len(program.bounds)),
            reduced=np.zeros(program.columns),
            taken=np.zeros(program.columns),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matrices:
    objective: Array
    scale: float
    owners: csr_matrix
    rows: csr_matrix
    bounds: Array
    row_scales: Array
    upper: Array


def relaxed(program: Program, goal: Goal) -> Relaxed | None:
    """Return the linear relaxation; None where nothing meets the rows."""
    made = _matrices(program, goal)
    found = linprog(  # type: ignore[call-overload]  # the stubs know no sparse rows
        made.objective,
        A_ub=made.rows if len(made.bounds) else None,
        b_ub=made.bounds if len(made.bounds) else None,
        A_eq=made.owners,
        b_eq=np.ones(program.owners),
        bounds=np.stack((np.zeros_like(made.upper), made.upper), axis=1),
        method="highs",
    )
    if found.status != 0:
        return None
    rows = len(program.bounds)
    prices = -found.ineqlin.marginals[:rows] * made.row_scales[:rows] * made.scale if len(made.bounds) else np.zeros(0)
    duals = found.eqlin.marginals
    # Reduced costs from duals: those that HiGHS reports leave out the bound of 1 on a column.
    weights = made.objective - made.owners.T @ duals
    if len(made.bounds):
        weights = weights - made.rows.T @ found.ineqlin.marginals
    return Relaxed(
        bound=float(found.fun) * made.scale,
        prices=prices,
        reduced=weights[: program.columns],
        taken=found.x[: program.columns],
    )


def integer(program: Program, goal: Goal, *, gap_ratio: float, time_limit_s: float) -> tuple[Choice | None, float]:
    """Return a choice, None where none was found, and the proven bound."""
    made = _matrices(program, goal)
    constraints = [LinearConstraint(made.owners, 1.0, 1.0)]
    if len(made.bounds):
        constraints.append(LinearConstraint(made.rows, -np.inf, made.bounds))
    found = milp(
        made.objective,
        integrality=np.ones(len(made.objective), dtype=np.int8),
        bounds=Bounds(0.0, made.upper),
        constraints=constraints,
        options={"mip_rel_gap": gap_ratio, "time_limit": time_limit_s},
    )
    bound = getattr(found, "mip_dual_bound", None)
    proven = -np.inf if bound is None or not np.isfinite(bound) else float(bound) * made.scale
    if found.x is None:
        return None, proven
    taken = found.x[: program.columns]
    chosen = np.array([first + int(np.argmax(taken[first:last])) for first, last in _spans(program)], dtype=np.intp)
    return chosen, proven


def _spans(program: Program) -> zip:  # type: ignore[type-arg]
    return zip(program.starts[:-1], program.starts[1:], strict=True)


def _matrices(program: Program, goal: Goal) -> _Matrices:
    savings = program.savings
    some = np.flatnonzero((savings.reserved > 0) | (savings.spot > 0))
    extra = 2 * len(some)
    worth = np.concatenate((savings.reserved_worth[some], savings.spot_worth[some])) * (
        1.0 if goal.has_savings else 0.0
    )
    objective = np.concatenate((goal.weights, -worth))
    scale = float(np.max(np.abs(objective), initial=0.0)) or 1.0
    owners = coo_matrix(
        (np.ones(program.columns), (program.owner_of, np.arange(program.columns))),
        shape=(program.owners, program.columns + extra),
    ).tocsr()
    rows, bounds = _rows(program, goal, some)
    row_scales = np.ones(len(bounds))
    row_scales[bounds > 0.0] = ROW_SCALE / bounds[bounds > 0.0]
    upper = np.concatenate((np.ones(program.columns), savings.reserved[some], savings.spot[some]))
    return _Matrices(
        objective=objective / scale,
        scale=scale,
        owners=owners,
        rows=diags(row_scales).tocsr() @ rows,
        bounds=bounds * row_scales,
        row_scales=row_scales,
        upper=upper,
    )


def _rows(program: Program, goal: Goal, some: NDArray[np.intp]) -> tuple[csr_matrix, Array]:
    """Return rows over columns, reserved and spot: bounds, losses that may not grow, and the supply there is."""
    count = len(some)
    occupied = csr_matrix(program.occupied[:, some].T)
    allowed = csr_matrix((program.occupied[:, some] * program.spot_ratios[program.owner_of][:, None]).T)
    saved = np.zeros((len(program.bounds), 2 * count))
    if program.usd_row is not None:
        savings = program.savings
        saved[program.usd_row] = -np.concatenate((savings.reserved_usd_per_s[some], savings.spot_usd_per_s[some]))
    one, none = csr_matrix(np.eye(count)), csr_matrix((count, count))
    parts = [hstack((program.uses.T, csr_matrix(saved)))]
    parts += [hstack((csr_matrix(losses[None, :]), csr_matrix((1, 2 * count)))) for losses, _ in goal.fixed]
    if count:
        parts += [hstack((-allowed, none, one)), hstack((-occupied, one, one))]
    bounds = np.concatenate((program.bounds, [most for _, most in goal.fixed], np.zeros(2 * count)))
    return csr_matrix(vstack(parts)), bounds
