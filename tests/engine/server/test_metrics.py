"""What ``/metrics`` says can be read by the operator, and is what happened."""

from typing import Any

import pytest

from poolwright.controller.signals.exposition import samples_of
from poolwright.controller.signals.metrics_adapter import Missing
from poolwright.controller.signals.reading import Reading, reading_of
from poolwright.controller.signals.vocabulary import VLLM
from poolwright.engine.generation import StepRecord
from poolwright.engine.server.metrics import Metrics, length_bounds


async def page_of(api: Any) -> str:
    async with api.client.get("/metrics") as response:
        assert (200, "text/plain; version=0.0.4; charset=utf-8") == (response.status, response.headers["Content-Type"])
        return str(await response.text())


async def reading(api: Any) -> Reading:
    return reading_of("pod-0", samples_of(await page_of(api)), 0.0)


def value_of(page: str, series: str) -> float:
    (line,) = [line for line in page.splitlines() if line.startswith(series + " ")]
    return float(line.rpartition(" ")[2])


async def test_the_operator_reads_every_quantity_before_any_request(serve: Any) -> None:
    read = await reading(await serve())
    assert [] == [name for name in Reading.__slots__ if isinstance(getattr(read, name), Missing)]
    assert (0.0, 0.0, 0.0, 0.0) == (read.arrivals, read.finished, read.running, read.waiting)


async def test_the_operator_reads_what_happened(serve: Any) -> None:
    api = await serve(pace_s=0.01)
    await api.post("/v1/completions", {"prompt": [5, 6, 7], "max_tokens": 10})
    await api.post("/v1/completions", {"prompt": [5, 6, 7, 8, 9], "max_tokens": 4, "n": 2})
    read = await reading(api)
    # Three generations of 3, 5 and 5 tokens, answered with 10, 4 and 4.
    assert (3.0, 3.0) == (read.arrivals, read.finished)
    assert (13.0, 3.0) == (read.input_tokens.total, read.input_tokens.count)
    assert (18.0, 3.0) == (read.output_tokens.total, read.output_tokens.count)
    assert (3.0, 15.0) == (read.ttft.counts[-1], read.itl.counts[-1])
    # Each step takes at least 10 ms, and so does each token.
    assert read.itl.total >= 15 * 0.01
    assert read.ttft.total >= 3 * 0.01


async def test_first_choices_of_the_vocabulary_are_on_the_page(serve: Any) -> None:
    names = {sample.name for sample in samples_of(await page_of(await serve()))}
    first = {VLLM.arrivals[0], VLLM.finished[0], VLLM.running[0], VLLM.waiting[0], VLLM.kv_utilisation[0]}
    assert first | {f"{VLLM.ttft[0]}_bucket", f"{VLLM.itl[0]}_bucket", VLLM.input_tokens[0].total} <= names


@pytest.mark.parametrize(
    "name",
    [
        "vllm:num_requests_waiting",
        "vllm:num_requests_running",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:request_success_total",
        "vllm:num_preemptions_total",
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:inter_token_latency_seconds_bucket",
        "vllm:time_per_output_token_seconds_bucket",
        "vllm:e2e_request_latency_seconds_bucket",
        "vllm:request_queue_time_seconds_bucket",
        "vllm:request_prompt_tokens_bucket",
        "vllm:request_generation_tokens_bucket",
        "poolwright_requests_arrived_total",
        "poolwright_requests_refused_total",
        "poolwright_step_seconds_bucket",
        "poolwright_step_decoding_sequences_bucket",
        "poolwright_step_prefill_tokens_bucket",
        "poolwright_estimated_flop_total",
        "poolwright_estimated_bytes_total",
    ],
)
async def test_the_page_has(name: str, serve: Any) -> None:
    assert any(line.startswith(name + "{") for line in (await page_of(await serve())).splitlines())


async def test_counts_of_tokens_cache_and_steps_add_up(serve: Any) -> None:
    api = await serve()
    await api.post("/v1/completions", {"prompt": [5, 6, 7], "max_tokens": 6})
    page = await page_of(api)
    labels = 'engine="0",model_name="echo"'
    assert 3 == value_of(page, f"vllm:prompt_tokens_total{{{labels}}}")
    assert 6 == value_of(page, f"vllm:generation_tokens_total{{{labels}}}")
    assert (40, 10) == (
        value_of(page, f"vllm:prefix_cache_queries_total{{{labels}}}"),
        value_of(page, f"vllm:prefix_cache_hits_total{{{labels}}}"),
    )
    assert 1 == value_of(page, f"vllm:request_queue_time_seconds_count{{{labels}}}")


def test_steps_are_counted_by_what_they_are_made_of() -> None:
    metrics = Metrics("m", 128, lambda: None)
    for decoding, prefill in ((4, 0), (0, 32), (3, 7), (2, 0)):
        metrics.step(
            StepRecord(seconds=0.01, decoding=decoding, prefill_tokens=prefill, context_tokens=100, flop=1e9, bytes=2e6)
        )
    page = metrics.page().decode()
    kinds = {
        kind: value_of(page, f'poolwright_step_seconds_count{{engine="0",kind="{kind}",model_name="m"}}')
        for kind in ("decode", "mixed", "prefill")
    }
    assert {"decode": 2, "mixed": 1, "prefill": 1} == kinds
    labels = 'engine="0",model_name="m"'
    assert (9, 39) == (
        value_of(page, f"poolwright_step_decoding_sequences_sum{{{labels}}}"),
        value_of(page, f"poolwright_step_prefill_tokens_sum{{{labels}}}"),
    )
    assert (4e9, 8e6, 400) == (
        value_of(page, f"poolwright_estimated_flop_total{{{labels}}}"),
        value_of(page, f"poolwright_estimated_bytes_total{{{labels}}}"),
        value_of(page, f"poolwright_step_context_tokens_total{{{labels}}}"),
    )


def test_lengths_are_bounded_as_in_vllm() -> None:
    assert (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0) == length_bounds(100)
