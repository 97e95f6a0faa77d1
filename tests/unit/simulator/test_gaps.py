"""Times between tokens, counted by the kernel, against what requests themselves saw."""

import numpy as np
import pytest

from poolwright.simulator.gaps import bins_s, mean_s, percentile_s, share_within
from poolwright.simulator.layout import GAPS, Law, law_of
from poolwright.simulator.pool import Arrivals, Pool, simulate
from poolwright.simulator.step_table import StepTable

POOL = Pool(replicas=1, max_num_seqs=8, max_num_batched_tokens=64, blocks=1000, block_tokens=16)


def law() -> Law:
    """10 ms a step and 0.1 ms for each prompt token."""
    table = StepTable.of(
        lambda n, c, p: 0.010 + 1e-4 * np.asarray(p) + 0.0 * np.asarray(n) * np.asarray(c),
        max_num_seqs=8,
        max_context_tokens=1000,
        max_num_batched_tokens=64,
    )
    return law_of(table, 8)


def requests(*times_s: float) -> Arrivals:
    count = len(times_s)
    return Arrivals(
        time_s=np.array(times_s),
        input_tokens=np.full(count, 20, dtype=np.int64),
        output_tokens=np.full(count, 11, dtype=np.int64),
    )


def test_a_token_whose_step_carried_a_prompt_came_later() -> None:
    # The second prompt's 20 tokens are in one of the ten steps of the first answer: 12 ms. Nineteen others take 10 ms.
    gaps = simulate(requests(0.0, 0.030), POOL, law()).gaps
    assert 20 == gaps.sum()
    assert 0.95 == share_within(gaps, 0.011)
    assert 1.0 == share_within(gaps, 0.0125)
    assert percentile_s(gaps, 0.99) == pytest.approx(0.012, rel=0.003)
    assert mean_s(gaps) == pytest.approx((19 * 0.010 + 0.012) / 20, rel=0.003)


def test_only_steps_of_the_span_are_counted() -> None:
    # The first step, 12 ms, has no gap; ten follow, the last one begins at 12 + 9 * 10 = 102 ms.
    outcome = simulate(requests(0.0), POOL, law(), counted_s=(0.101, 1.0))
    assert outcome.gaps.sum() in (0, 10)  # a stretch counts where it begins
    assert 0 == simulate(requests(0.0), POOL, law(), counted_s=(0.2, 1.0)).gaps.sum()


def test_nothing_counted_is_nothing_late() -> None:
    none = np.zeros(GAPS, dtype=np.int64)
    assert 1.0 == share_within(none, 0.01)
    assert 0.0 == percentile_s(none, 0.95)
    assert GAPS == bins_s().size
