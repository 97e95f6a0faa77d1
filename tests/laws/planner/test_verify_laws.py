"""What the judge's verdicts keep: one replica fewer does not do, and more demand never needs fewer."""

from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.planner.judge import simulated
from poolwright.planner.verify import Verdict, verdict_of
from poolwright.queueing.objectives import Objectives
from poolwright.queueing.station import Station
from poolwright.queueing.workload import Array, Arrivals, Workload

GOAL = Objectives(percentile_ratio=0.95, ttft_s=0.2, itl_s=0.03)
WORKLOAD = Workload.from_means(400.0, 60.0)


def law(n: Array, c: Array, p: Array) -> Array:
    """8 ms a step, 0.05 ms for each sequence and 0.03 ms for each prompt token."""
    return 8e-3 + 5e-5 * n + 3e-5 * p + 1e-9 * n * c


STATION = Station(step_time=law, max_num_seqs=64, max_num_batched_tokens=1024, kv_capacity_tokens=200_000.0)
RATES = st.floats(1.0, 150.0)


def verdict(rate_per_s: float) -> Verdict:
    return verdict_of(STATION, WORKLOAD, Arrivals(rate_per_s=rate_per_s), GOAL, simulated)


@settings(max_examples=8)
@given(RATES)
def test_the_number_does_and_one_fewer_does_not(rate: float) -> None:
    found = verdict(rate)
    attained = dict(found.attainment)
    assert found.is_feasible
    assert attained[found.replicas] >= GOAL.percentile_ratio
    assert attained.get(found.replicas - 1, 0.0) < GOAL.percentile_ratio


@settings(max_examples=8)
@given(RATES, st.floats(1.0, 1.2))
def test_more_demand_never_needs_fewer(rate: float, growth: float) -> None:
    assert verdict(rate).replicas <= verdict(rate * growth).replicas


def test_equal_questions_have_equal_answers_whatever_was_asked_before() -> None:
    first = simulated(STATION, WORKLOAD, Arrivals(rate_per_s=50.0), GOAL, (3,))
    again = simulated(STATION, Workload.from_means(400.0, 60.0), Arrivals(rate_per_s=50.0), GOAL, (2, 3))[1:]
    assert first == again


def test_what_is_far_beyond_capacity_is_not_simulated() -> None:
    (found,) = simulated(STATION, WORKLOAD, Arrivals(rate_per_s=1e4), GOAL, (1,))
    assert (0.0, 0) == (found.probability, found.requests)
