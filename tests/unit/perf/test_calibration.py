"""Factors are learned within physics: from nothing, from one point, from outliers, from live observations."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.calibration import (
    FIRST_TOKEN_PARAMETERS,
    PRIORS,
    STEP_PARAMETERS,
    Provenance,
    calibrate,
)
from poolwright.perf.closed_loop import Requests, closed_loop, loaded
from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.live_calibration import Observation, calibrate_live
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import StepLaw, step_law, step_time_s

Array = NDArray[np.float64]
CATALOGUE = load_catalogue()
CONFIG = ReplicaConfig(
    accelerator=CATALOGUE.accelerator("h100-sxm"),
    model=CATALOGUE.model("llama-3.1-8b"),
    weight_format="bf16",
    kv_format="bf16",
)
SEQUENCES = np.array([1.0, 4.0, 16.0, 64.0, 256.0])


def steps_s(factors: Efficiencies, sequences: Array = SEQUENCES) -> Array:
    return step_time_s(
        CONFIG, decode_sequences=sequences, context_tokens=1024.0, prefill_tokens=0.0, efficiencies=factors
    )


def one_point_s(factors: Efficiencies) -> Array:
    return steps_s(factors, np.array([16.0]))


def test_without_measurements_the_datasheet_holds() -> None:
    found = calibrate(steps_s, np.full(5, np.nan))
    assert found.efficiencies == DATASHEET
    assert found.observations == 0


def test_a_bias_is_found_where_all_points_share_it() -> None:
    found = calibrate(steps_s, 1.3 * steps_s(DATASHEET), parameters=("step",))
    # the prior pulls back: weights 5 / 0.1^2 and 1 / 0.35^2, that is 1.6 % of log 1.3
    assert found.efficiencies.step == pytest.approx(1.3, rel=0.02)
    assert found.provenance == {"step": Provenance.LEARNED}
    assert found.residual_log < 0.02


@settings(max_examples=30)  # each is a fit of eight factors
@given(
    ratio=st.floats(1e-3, 1e3),
    sequences=st.sampled_from([1.0, 16.0, 256.0]),
)
def test_one_operating_point_never_moves_a_factor_outside_its_physical_bounds(ratio: float, sequences: float) -> None:
    point = np.array([sequences])
    measured = steps_s(DATASHEET, point) * ratio
    found = calibrate(lambda factors: steps_s(factors, point), measured, parameters=STEP_PARAMETERS)
    for name in STEP_PARAMETERS:
        assert PRIORS[name].low <= getattr(found.efficiencies, name) <= PRIORS[name].high
    floor_s = 15.009e9 / 3.35e12  # weights read in a step over bandwidth: 4.48 ms
    assert steps_s(found.efficiencies, point)[0] >= floor_s * 0.999


def test_one_operating_point_leaves_most_factors_at_the_datasheet_and_says_so() -> None:
    found = calibrate(one_point_s, 1.5 * one_point_s(DATASHEET), parameters=STEP_PARAMETERS)
    assert found.provenance["gemm"] is Provenance.DATASHEET
    assert found.provenance["expert_bandwidth"] is Provenance.DATASHEET
    assert found.efficiencies.expert_bandwidth == pytest.approx(1.0)  # a dense model says nothing about experts
    assert one_point_s(found.efficiencies)[0] == pytest.approx(1.5 * one_point_s(DATASHEET)[0], rel=0.05)


def test_one_outlier_does_not_drag_the_bias() -> None:
    measured = 1.2 * steps_s(DATASHEET, np.geomspace(1.0, 256.0, 11))
    measured[5] *= 20.0
    found = calibrate(lambda factors: steps_s(factors, np.geomspace(1.0, 256.0, 11)), measured, parameters=("step",))
    # ten rows pull back as hard as one outlier: its pull is 1 in units of noise, so 10 r = 1 - bias/prior: within 0.02
    assert found.efficiencies.step == pytest.approx(1.2, rel=0.03)


def test_more_rows_leave_less_spread() -> None:
    few = calibrate(steps_s, steps_s(DATASHEET), parameters=("step",)).posterior_sd_log["step"]
    one = calibrate(one_point_s, one_point_s(DATASHEET), parameters=("step",)).posterior_sd_log["step"]
    # precisions add: 1/sd^2 = rows / 0.1^2 + 1 / 0.35^2
    assert one == pytest.approx((1 / 0.1**2 + 1 / 0.35**2) ** -0.5, rel=1e-3)
    assert few == pytest.approx((5 / 0.1**2 + 1 / 0.35**2) ** -0.5, rel=1e-3)


def test_times_to_first_token_never_move_steps() -> None:
    requests = Requests(input_tokens=1024.0, output_tokens=256.0)

    def ttft_s(factors: Efficiencies) -> Array:
        return closed_loop(CONFIG, requests, concurrency=SEQUENCES, efficiencies=factors).later_ttft_s

    found = calibrate(ttft_s, 2.0 * ttft_s(DATASHEET), parameters=FIRST_TOKEN_PARAMETERS)
    assert found.efficiencies == replace(DATASHEET, first_token=found.efficiencies.first_token)
    assert found.efficiencies.first_token == pytest.approx(2.0, rel=0.1)


def test_a_change_of_software_shows_as_drift() -> None:
    sequences = np.full(8, 16.0)
    measured = steps_s(DATASHEET, sequences) * np.array([1.0] * 4 + [1.5] * 4)
    found = calibrate(lambda factors: steps_s(factors, sequences), measured, parameters=("step",))
    assert found.drift_log == pytest.approx(-np.log(1.5), rel=1e-6)  # predicted over measured falls
    assert found.has_drifted


def observed(step: float, running: float) -> Observation:
    law = StepLaw(work=step_law(CONFIG).work, efficiencies=Efficiencies(step=step))
    load = loaded(law, Requests(input_tokens=512.0, output_tokens=128.0), np.asarray(running))
    return Observation(running=running, input_tokens=512.0, output_tokens=128.0, itl_s=float(load.mean_step_s))


def test_a_live_engine_that_is_slower_is_learned_and_its_ttft_stays_unknown() -> None:
    found = calibrate_live(CONFIG, [observed(1.4, running) for running in (2.0, 8.0, 32.0, 8.0, 2.0, 64.0)])
    unseen = observed(1.4, 128.0)
    law = StepLaw(work=step_law(CONFIG).work, efficiencies=found.efficiencies)
    load = loaded(law, Requests(input_tokens=512.0, output_tokens=128.0), np.asarray(128.0))
    assert unseen.itl_s == pytest.approx(float(load.mean_step_s), rel=0.05)
    assert found.efficiencies.first_token == pytest.approx(1.0)
    assert found.observations == 6


def test_an_idle_engine_teaches_nothing() -> None:
    idle = Observation(running=0.0, input_tokens=512.0, output_tokens=128.0, itl_s=float("nan"))
    assert calibrate_live(CONFIG, [idle, idle]).efficiencies == DATASHEET
    assert calibrate_live(CONFIG, []).efficiencies == DATASHEET
