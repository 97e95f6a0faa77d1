"""What one metrics page says: the names in the wild, and hostile values."""

import pytest

from poolwright.controller.signals.exposition import ExpositionError, samples_of
from poolwright.controller.signals.reading import CumulativeMean, Reading, reading_of
from poolwright.planner.snapshot import Missing, MissingReason

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 7.0
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 90.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 9.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="m"} 1.0
vllm:request_prompt_tokens_sum{engine="0",model_name="m"} 50000.0
vllm:request_prompt_tokens_count{engine="0",model_name="m"} 100.0
vllm:request_generation_tokens_sum{engine="0",model_name="m"} 20000.0
vllm:request_generation_tokens_count{engine="0",model_name="m"} 100.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 60.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0",model_name="m"} 100.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 100.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 100.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 20.0
"""


def read(text: str) -> Reading:
    return reading_of("pod-1", samples_of(text), 5.0)


def test_a_vllm_page_is_understood() -> None:
    reading = read(VLLM)
    assert (reading.running, reading.waiting, reading.kv_utilisation_ratio) == (7.0, 3.0, 0.25)
    assert reading.finished == 100.0
    assert reading.input_tokens == CumulativeMean(total=50_000.0, count=100.0)
    assert not isinstance(reading.ttft, Missing)
    assert reading.ttft.counts == (60.0, 100.0, 100.0)


def test_what_is_not_exported_is_missing_and_names_what_was_looked_for() -> None:
    reading = read(VLLM)
    assert isinstance(reading.itl, Missing)
    assert reading.itl.reason is MissingReason.UNKNOWN_METRIC
    assert "pod-1" in reading.itl.detail
    assert "vllm:inter_token_latency_seconds" in reading.itl.detail


@pytest.mark.parametrize(
    "name",
    [
        "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds",
        "vllm:request_time_per_output_token_seconds",
        "sglang:inter_token_latency_seconds",
    ],
)
def test_every_name_of_inter_token_latency_in_the_wild_is_read(name: str) -> None:
    text = f'{name}_bucket{{le="0.05"}} 3\n{name}_bucket{{le="+Inf"}} 4\n{name}_sum 0.1\n{name}_count 4\n'
    reading = read(text)
    assert not isinstance(reading.itl, Missing)
    assert reading.itl.counts == (3.0, 4.0)


def test_the_older_name_of_kv_usage_is_read() -> None:
    assert read("vllm:gpu_cache_usage_perc 0.5\n").kv_utilisation_ratio == 0.5


def test_waiting_by_reason_is_added_up_where_the_plain_gauge_is_gone() -> None:
    text = (
        'vllm:num_requests_waiting_by_reason{reason="capacity"} 4\n'
        'vllm:num_requests_waiting_by_reason{reason="deferred"} 1\n'
    )
    assert read(text).waiting == 5.0


def test_poolwrights_own_arrival_counter_is_read() -> None:
    assert read(VLLM + "poolwright_requests_arrived_total 110\n").arrivals == 110.0


def test_sglang_counts_each_request_once_whatever_priorities_and_ranks_it_repeats() -> None:
    text = (
        'sglang:num_queue_reqs{priority="",tp_rank="0"} 6\n'
        'sglang:num_queue_reqs{priority="0",tp_rank="0"} 4\n'
        'sglang:num_queue_reqs{priority="1",tp_rank="0"} 2\n'
        'sglang:num_queue_reqs{priority="",tp_rank="1"} 6\n'
        'sglang:num_running_reqs{tp_rank="0"} 8\n'
        'sglang:token_usage{tp_rank="0"} 0.3\n'
        'sglang:num_requests_total{is_streaming="true"} 30\n'
        'sglang:num_requests_total{is_streaming="false"} 10\n'
        'sglang:prompt_tokens_total{is_streaming="true"} 4000\n'
    )
    reading = read(text)
    assert (reading.waiting, reading.running, reading.finished) == (6.0, 8.0, 40.0)
    assert reading.input_tokens == CumulativeMean(total=4_000.0, count=40.0)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1", "1e300", "1e7"])
def test_a_value_that_cannot_be_is_invalid_and_named(value: str) -> None:
    reading = read(
        VLLM.replace('vllm:num_requests_running{engine="0",model_name="m"} 7.0', f"vllm:num_requests_running {value}")
    )
    assert isinstance(reading.running, Missing)
    assert reading.running.reason is MissingReason.INVALID
    assert "pod-1" in reading.running.detail
    assert "vllm:num_requests_running" in reading.running.detail


def test_a_bad_value_leaves_the_others_alone() -> None:
    reading = read(VLLM.replace("} 0.25", "} NaN"))
    assert isinstance(reading.kv_utilisation_ratio, Missing)
    assert reading.running == 7.0


def test_a_share_above_one_is_invalid() -> None:
    assert isinstance(read("vllm:kv_cache_usage_perc 25\n").kv_utilisation_ratio, Missing)


def test_a_series_reported_twice_with_one_value_counts_once() -> None:
    assert read("vllm:num_requests_running 7\nvllm:num_requests_running 7\n").running == 7.0


def test_a_series_reported_twice_with_two_values_is_invalid() -> None:
    reading = read("vllm:num_requests_running 7\nvllm:num_requests_running 8\n")
    assert isinstance(reading.running, Missing)
    assert "twice" in reading.running.detail


def test_buckets_that_fall_are_invalid() -> None:
    reading = read(VLLM.replace('le="1.0",model_name="m"} 100.0', 'le="1.0",model_name="m"} 10.0'))
    assert isinstance(reading.ttft, Missing)
    assert reading.ttft.reason is MissingReason.INVALID


def test_a_page_cut_off_inside_a_number_is_refused() -> None:
    with pytest.raises(ExpositionError, match="cut off"):
        samples_of("vllm:num_requests_running 12")


def test_a_malformed_line_of_a_known_name_refuses_the_page() -> None:
    with pytest.raises(ExpositionError, match="parse"):
        samples_of("vllm:num_requests_running {seven\n")


def test_malformed_lines_of_unknown_names_do_not_matter() -> None:
    assert [sample.value for sample in samples_of("nonsense{{{{\nvllm:num_requests_running 2\n")] == [2.0]


def test_a_page_with_too_many_samples_is_refused() -> None:
    page = "".join(f'vllm:num_requests_running{{engine="{index}"}} 1\n' for index in range(20_001))
    with pytest.raises(ExpositionError, match="20001 samples"):
        samples_of(page)
