"""What holds for a replica in steady state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.closed_loop import Requests, closed_loop
from poolwright.perf.open_loop import open_loop
from poolwright.perf.replica import ReplicaConfig

CATALOGUE = load_catalogue()
CONFIG = ReplicaConfig(
    accelerator=CATALOGUE.accelerator("h100-sxm"),
    model=CATALOGUE.model("llama-3.1-8b"),
    weight_format="bf16",
    kv_format="bf16",
)
requests = st.builds(Requests, input_tokens=st.floats(16.0, 8000.0), output_tokens=st.floats(2.0, 2000.0))


@given(requests, st.floats(1.0, 4096.0))
@settings(max_examples=50)
def test_little_s_law_holds_in_a_closed_loop(asked: Requests, users: float) -> None:
    point = closed_loop(CONFIG, asked, concurrency=users)
    later_s = (np.asarray(asked.output_tokens) - 1.0) * point.tpot_s
    assert point.converged
    # Everybody is either waiting for the first token or decoding.
    assert float(point.requests_per_s * (point.later_ttft_s + later_s)) == pytest.approx(users, rel=1e-6)
    assert float(point.requests_per_s * later_s) == pytest.approx(float(point.decode_sequences), rel=1e-3)


@given(requests, st.floats(1.0, 500.0), st.floats(1.0, 4.0))
@settings(max_examples=50)
def test_more_users_never_get_a_token_sooner(asked: Requests, users: float, times: float) -> None:
    few, many = (closed_loop(CONFIG, asked, concurrency=each) for each in (users, users * times))
    assert float(few.tpot_s) <= float(many.tpot_s) * (1.0 + 1e-4)
    assert float(few.later_ttft_s) <= float(many.later_ttft_s) * (1.0 + 1e-4)


@given(requests, st.floats(0.001, 100.0))
@settings(max_examples=50)
def test_an_open_loop_carries_its_rate_or_says_that_it_is_saturated(asked: Requests, rate: float) -> None:
    point = open_loop(CONFIG, asked, requests_per_s=rate)
    if bool(point.is_saturated):
        assert float(point.requests_per_s) < rate
        assert float("inf") == float(point.later_ttft_s)
    else:
        assert float(point.requests_per_s) == pytest.approx(rate, rel=1e-5)
        later_s = max(float(np.asarray(asked.output_tokens)) - 1.0, 1.0) * float(point.tpot_s)
        assert float(point.decode_sequences) == pytest.approx(rate * later_s, rel=1e-4)
