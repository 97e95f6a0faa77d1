from prometheus_client.parser import text_string_to_metric_families

from poolwright.replay.engine_metrics import EngineMetrics, Histogram


def samples(metrics: EngineMetrics) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def test_a_value_on_a_bound_counts_below_it_and_buckets_are_cumulative() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(1.0)
    histogram.observe(1.5, times=3)
    histogram.observe(9.0)
    assert [("1.0", 1.0), ("2.0", 4.0), ("+Inf", 5.0)] == histogram.buckets()
    assert histogram.total == 1.0 + 3 * 1.5 + 9.0


def test_the_page_speaks_the_names_that_scrapers_of_vllm_know() -> None:
    metrics = EngineMetrics(model="m", running=3, waiting=2, finished=7, arrived=12)
    metrics.ttft.observe(0.3)
    metrics.itl.observe(0.02, times=50)
    page = samples(metrics)
    assert page["vllm:num_requests_running", ""] == 3.0
    assert page["vllm:num_requests_waiting", ""] == 2.0
    assert page["vllm:request_success_total", ""] == 7.0
    assert page["poolwright_requests_arrived_total", ""] == 12.0
    assert page["vllm:time_to_first_token_seconds_count", ""] == 1.0
    assert page["vllm:inter_token_latency_seconds_bucket", "0.025"] == 50.0
    assert page["vllm:inter_token_latency_seconds_bucket", "0.01"] == 0.0
