"""Rows of tables become questions; what they leave out is assumed aloud."""

import numpy as np
import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.perf.deployment_fit import fit_biases, fit_deployment, identified_parameters
from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.row_answer import answer
from poolwright.perf.row_fields import Row, RowError
from poolwright.perf.row_question import RowQuestion, question_of
from poolwright.perf.shipped import deployment_key, efficiencies_for, packaged_biases

CATALOGUE = load_catalogue()
ROW = {
    "row_id": "a",
    "source": "test",
    "accelerator": "h100-sxm",
    "model": "llama-3.1-8b",
    "tp": "1",
    "engine": "vllm",
    "isl": "1024",
    "osl": "256",
    "concurrency": "64",
}


def question(**changes: str) -> RowQuestion:
    return question_of(ROW | changes, CATALOGUE)


def test_nominal_maxima_of_uniform_draws_become_means() -> None:
    asked = question(len_kind="nominal max; uniform in [0.8,1.0]x nominal")
    assert asked.requests.input_tokens == pytest.approx(921.6)  # 0.9 x 1024


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"isl": ""}, "isl is missing"),
        ({"osl": "-3"}, "osl is -3, must be positive and finite"),
        ({"tp": "1.5"}, "tp is 1.5, must be a whole number"),
        ({"concurrency": ""}, "neither concurrency nor request_rate_qps nor batch_size"),
        ({"weight_prec": "fp3"}, "weight_prec 'fp3' is not known"),
    ],
)
def test_what_no_assumption_can_replace_is_refused_by_name(changes: dict[str, str], message: str) -> None:
    with pytest.raises(RowError, match=message):
        question(**changes)


def test_an_engine_that_is_not_named_is_assumed_aloud() -> None:
    asked = question(engine="")
    assert asked.assumptions == ("engine not named: vLLM assumed",)


def test_a_published_row_ran_and_so_it_fits() -> None:
    # FP8 weights of 671 GB on 4 x 192 GB: 168 GB a rank are more than 0.82 of 192 GB = 157 GB
    asked = question(
        source="inferencex",
        accelerator="b200-sxm",
        model="deepseek-r1",
        weight_prec="fp8",
        engine="sglang",
        tp="4",
        concurrency="8",
    )
    assert asked.config.memory_utilisation_ratio == pytest.approx(0.95)
    assert asked.assumptions == ("does not fit into 0.82 of memory: 0.95 assumed",)
    assert asked.resident_limit > 8.0


def test_no_more_requests_run_at_once_than_a_run_sends() -> None:
    asked = question(load_kind="open_qps (100 requests)", request_rate_qps="1e6")
    assert asked.resident_limit == 100.0
    assert Row(values={"load_kind": "open"}).request_count() == np.inf


def test_a_rate_that_cannot_be_carried_has_a_finite_bound_and_says_so() -> None:
    found = answer([question(request_rate_qps="10", concurrency=""), question(request_rate_qps="1e4", concurrency="")])
    assert [False, True] == found.is_saturated.tolist()
    assert np.all(np.isfinite(found.ttft_s))
    assert found.ttft_s[1] > found.ttft_s[0]


def test_rows_answered_together_get_what_they_get_alone() -> None:
    asked = [
        question(),
        question(tp="2", batch_size="8", concurrency="", load_kind="static_batch"),
        question(request_rate_qps="3", concurrency="", weight_prec="fp8"),
    ]
    together = answer(asked)
    for index, each in enumerate(asked):
        alone = answer([each])
        assert alone.tpot_s[0] == pytest.approx(together.tpot_s[index], rel=1e-5)
        assert alone.ttft_s[0] == pytest.approx(together.ttft_s[index], rel=1e-5)


def test_a_factor_of_each_row_moves_that_row_alone() -> None:
    asked = [question(), question(concurrency="8")]
    plain, moved = answer(asked), answer(asked, Efficiencies(step=np.array([1.0, 2.0])))
    assert moved.tpot_s[0] == pytest.approx(plain.tpot_s[0])
    assert moved.tpot_s[1] > 1.9 * plain.tpot_s[1]


def measured(asked: list[RowQuestion], step: float) -> tuple[np.ndarray, np.ndarray]:
    found = answer(asked, Efficiencies(step=step))
    return found.tpot_s, found.ttft_s


def test_the_bias_of_a_deployment_is_found_and_needs_three_rows() -> None:
    asked = [question(concurrency=each) for each in ("2", "8", "32", "128")]
    tpot_s, ttft_s = measured(asked, 1.25)
    ((key, bias),) = fit_biases(asked, ["x"] * 4, tpot_s, ttft_s).items()
    assert key == deployment_key(asked[0].config)
    assert bias.step == pytest.approx(1.25, rel=0.02)
    assert bias.first_token == pytest.approx(1.0, rel=0.02)  # the step explains both
    assert {} == fit_biases(asked[:2], ["x"] * 2, tpot_s[:2], ttft_s[:2])


def test_a_bias_at_its_bound_is_not_shipped() -> None:
    asked = [question(concurrency=each) for each in ("2", "8", "32", "128")]
    tpot_s, ttft_s = measured(asked, 1.0)
    assert {} == fit_biases(asked, ["x"] * 4, 0.2 * tpot_s, 0.2 * ttft_s)


def test_open_loops_teach_no_bias() -> None:
    asked = [question(concurrency="", request_rate_qps=each) for each in ("1", "2", "4", "8")]
    assert {} == fit_biases(asked, ["x"] * 4, *measured(asked, 1.25))


def test_few_rows_free_one_factor_and_many_all() -> None:
    assert ("step",) == tuple(identified_parameters(7))
    assert 8 == len(identified_parameters(8))
    asked = [question()]
    found = fit_deployment(asked, *measured(asked, 1.5)).efficiencies
    assert found.kernel_latency == DATASHEET.kernel_latency


def test_shipped_factors_belong_to_their_deployment_alone() -> None:
    known = question(accelerator="h200-sxm", model="llama-3.1-70b", weight_prec="fp8", tp="4")
    unknown = question(accelerator="l40s", model="llama-3.1-70b", weight_prec="fp8", tp="4")
    bias = packaged_biases()[deployment_key(known.config)]
    factors = efficiencies_for([known.config, unknown.config])
    assert [bias.step, 1.0] == np.asarray(factors.step).tolist()
    assert DATASHEET == efficiencies_for([known.config], is_calibrated=False)


def test_spellings_of_a_checkpoint_share_a_deployment() -> None:
    plain = question(model="llama-3.1-8b", weight_prec="fp8")
    quantised = question(model="nvidia/Llama-3.1-8B-Instruct-FP8")
    assert deployment_key(plain.config) == deployment_key(quantised.config)
