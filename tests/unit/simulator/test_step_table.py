import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from poolwright.simulator.step_table import StepTable


def law(n: ArrayLike, c: ArrayLike, p: ArrayLike) -> NDArray[np.float64]:
    n, c, p = np.asarray(n), np.asarray(c), np.asarray(p)
    return np.asarray(0.005 + 1e-4 * n + 2e-8 * n * c + 1e-5 * p + 3e-9 * n * p)


TABLE = StepTable.of(law, max_num_seqs=256, max_context_tokens=32_768, max_num_batched_tokens=8_192)


@pytest.mark.parametrize("point", [(0, 0, 0), (1, 1, 1), (17, 900, 333), (256, 32_768, 8_192), (300, 40_000, 10_000)])
def test_a_law_without_curvature_in_any_direction_is_reproduced_exactly(point: tuple[int, int, int]) -> None:
    assert TABLE.step_time_s(*point) == pytest.approx(float(law(*point)), rel=1e-12)
