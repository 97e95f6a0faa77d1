"""Laws of the solver on small programs: equal to trying everything, within every row, never worse than greedy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from poolwright.planner.fleet.program import Program, Savings
from poolwright.planner.fleet.search import greedy, improved
from poolwright.planner.fleet.solve import Settings, Solution, Status, by_class, unharmed

WITHOUT_SOLVER = Settings(time_limit_s=0.0)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Four owners at most, of four columns at most over two accelerators, one of them partly reserved or spot."""
    owners = draw(st.integers(1, 4))
    widths = [draw(st.integers(1, 3)) for _ in range(owners)]
    columns = []
    for width in widths:
        for _ in range(width):
            count, which = draw(st.integers(1, 9)), draw(st.integers(0, 1))
            loss = draw(st.sampled_from([0.0, 0.0, 0.5, 1.1, 2.0]))
            columns.append((loss, count * (0.3 + 0.4 * which), count, which))
        columns.append((3.0, 0.0, 0, 0))
    occupied = np.zeros((len(columns), 2))
    for line, (_, _, count, which) in enumerate(columns):
        occupied[line, which] = count
    costs = np.array([cost for _, cost, _, _ in columns])
    quotas = [float(draw(st.integers(0, 20))) for _ in range(2)]
    budget = draw(st.sampled_from([1.0, 3.0, 100.0]))
    reserved, spot = np.array([draw(st.integers(0, 3)), 0.0]), np.array([0.0, draw(st.integers(0, 3))])
    prices = np.array([0.3, 0.7])
    return Program(
        starts=np.concatenate(([0], np.cumsum([width + 1 for width in widths]))).astype(np.intp),
        classes=np.array(draw(st.lists(st.integers(0, 1), min_size=owners, max_size=owners)), dtype=np.intp),
        losses=np.array([loss for loss, _, _, _ in columns]),
        costs=costs,
        occupied=occupied,
        spot_ratios=np.array([draw(st.sampled_from([0.0, 0.5])) for _ in range(owners)]),
        uses=csr_matrix(np.column_stack((occupied, costs))),
        bounds=np.array([*quotas, budget]),
        usd_row=2,
        savings=Savings(
            reserved=reserved.astype(float),
            spot=spot.astype(float),
            reserved_worth=prices,
            spot_worth=prices * 0.5,
            reserved_usd_per_s=prices,
            spot_usd_per_s=prices * 0.6,
        ),
    )


def solved(program: Program, how: Settings = Settings()) -> Solution:  # noqa: B008 - frozen
    return unharmed(program, how, None) or by_class(program, how, None)


def everything(program: Program) -> tuple[float, ...]:
    """Return the best value of all choices there are."""
    spans = [range(first, last) for first, last in itertools.pairwise(program.starts)]
    choices = (np.array(each, dtype=np.intp) for each in itertools.product(*spans))
    return min(program.value(each) for each in choices if program.is_met(each))


@given(programs())
@settings(max_examples=20, deadline=None)
def test_a_solved_program_is_as_good_as_the_best_of_all_choices(program: Program) -> None:
    assert pytest.approx(everything(program), abs=1e-6) == program.value(solved(program).chosen)


@given(programs())
@settings(max_examples=12, deadline=None)
def test_every_way_to_choose_stays_within_every_row(program: Program) -> None:
    for chosen in (solved(program).chosen, solved(program, WITHOUT_SOLVER).chosen, greedy(program)):
        assert program.is_met(chosen)
        assert [] == [column for column, start in zip(chosen, program.starts, strict=False) if column < start]


@given(programs())
@settings(max_examples=12, deadline=None)
def test_solved_is_never_worse_than_improved_and_improved_never_worse_than_greedy(program: Program) -> None:
    taken = greedy(program)
    better = improved(program, taken)
    assert not_worse(program.value(better), program.value(taken))
    assert not_worse(program.value(solved(program).chosen), program.value(better))


def not_worse(value: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Compare in order of priority, up to rounding."""
    for one, two in zip(value, other, strict=True):
        if not math.isclose(one, two, abs_tol=1e-6):
            return one < two
    return True


@given(programs())
@settings(max_examples=12, deadline=None)
def test_without_the_solver_the_bound_still_holds(program: Program) -> None:
    found = solved(program, WITHOUT_SOLVER)
    best = everything(program)
    if len(found.phases) == 1:
        assert found.phases[0].bound <= best[-1] + 1e-6
    else:
        assert found.phases[0].bound <= best[0] + 1e-6
    assert 0.0 <= found.gap_ratio
    assert (found.status is Status.HEURISTIC) == (found.gap_ratio > WITHOUT_SOLVER.gap_ratio)


@given(programs(), st.integers(0, 2), st.sampled_from([1.0, 2.0, 50.0]))
@settings(max_examples=12, deadline=None)
def test_a_higher_bound_never_makes_the_result_worse(program: Program, row: int, more: float) -> None:
    raised = program.bounds.copy()
    raised[row] += more
    wider = Program(
        **{name: getattr(program, name) for name in Program.__dataclass_fields__ if name != "bounds"}, bounds=raised
    )
    assert not_worse(wider.value(solved(wider).chosen), program.value(solved(program).chosen))


def test_a_choice_that_rounding_gets_wrong_is_right_with_the_solver_and_without_it_says_how_far_off_it_is() -> None:
    # Of 5 there is room for the first (2, worth 4) or the second (4, worth 9); 22 are asked for in all.
    occupied = np.array([[2.0], [0.0], [4.0], [0.0], [7.0], [0.0]])
    none = np.zeros(1)
    program = Program(
        starts=np.array([0, 2, 4, 6], dtype=np.intp),
        classes=np.zeros(3, dtype=np.intp),
        losses=np.array([0.0, 4.0, 0.0, 9.0, 0.0, 9.0]),
        costs=occupied[:, 0].copy(),
        occupied=occupied,
        spot_ratios=np.zeros(3),
        uses=csr_matrix(occupied),
        bounds=np.array([5.0]),
        usd_row=None,
        savings=Savings(
            reserved=none,
            spot=none,
            reserved_worth=none,
            spot_worth=none,
            reserved_usd_per_s=none,
            spot_usd_per_s=none,
        ),
    )
    exact, quick = solved(program), solved(program, WITHOUT_SOLVER)
    assert ((13.0, 4.0), Status.OPTIMAL) == (program.value(exact.chosen), exact.status)
    assert ((18.0, 2.0), Status.HEURISTIC) == (program.value(quick.chosen), quick.status)
    assert quick.phases[0].bound <= 13.0
