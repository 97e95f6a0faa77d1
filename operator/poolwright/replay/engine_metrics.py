"""What an engine says about itself on ``/metrics``, under the ``vllm:`` names that dashboards and autoscalers know.

The twin feeds it; the operator reads it as it would read a real engine. Names and bucket bounds are those of vLLM's V1
engine (vllm-project/vllm, ``vllm/v1/metrics/loggers.py``); ``poolwright_requests_arrived_total`` is what it lacks.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from poolwright.units import s_from_ms

TTFT_BOUNDS_S: Final = tuple(
    s_from_ms(bound)
    for bound in (1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000, 20000, 40000, 80000)
)
"""[s] Upper bounds of the time-to-first-token histogram, as vLLM ships them."""
ITL_BOUNDS_S: Final = tuple(
    s_from_ms(bound)
    for bound in (10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2500, 5000, 7500, 10000, 20000, 40000)
)
"""[s] Upper bounds of the inter-token latency histogram, as vLLM ships them."""
END_TO_END_BOUNDS_S: Final = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0)
"""[s] Upper bounds of the request latency histograms, as vLLM ships them."""
TOKEN_BOUNDS: Final = tuple(float(step * 10**power) for power in range(5) for step in (1, 2, 5))
"""Upper bounds of the length histograms: 1, 2, 5, 10 ..."""


@dataclass(slots=True)
class Histogram:
    """Counts of observations by upper bound, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        """Start empty, with one more count for what exceeds every bound."""
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        """Add ``times`` observations of one value."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by upper bound, as Prometheus has them."""
        cumulative, seen = [], 0
        for bound, count in zip((*(str(bound) for bound in self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            cumulative.append((bound, float(seen)))
        return cumulative


@dataclass(slots=True, eq=False)
class EngineMetrics(Collector):
    """Counters, gauges and histograms of one engine."""

    model: str
    running: int = 0
    waiting: int = 0
    kv_utilisation_ratio: float = 0.0
    arrived: int = 0
    finished: int = 0
    preempted: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    ttft: Histogram = field(default_factory=lambda: Histogram(TTFT_BOUNDS_S))
    itl: Histogram = field(default_factory=lambda: Histogram(ITL_BOUNDS_S))
    end_to_end: Histogram = field(default_factory=lambda: Histogram(END_TO_END_BOUNDS_S))
    queue_time: Histogram = field(default_factory=lambda: Histogram(END_TO_END_BOUNDS_S))
    input_tokens: Histogram = field(default_factory=lambda: Histogram(TOKEN_BOUNDS))
    output_tokens: Histogram = field(default_factory=lambda: Histogram(TOKEN_BOUNDS))

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]:
        """Yield every family, as ``prometheus_client`` asks."""
        labels, values = ["model_name"], [self.model]
        gauges = {
            "vllm:num_requests_running": ("Requests in the running batch", self.running),
            "vllm:num_requests_waiting": ("Requests waiting", self.waiting),
            "vllm:kv_cache_usage_perc": ("KV cache used, 1 is all", self.kv_utilisation_ratio),
        }
        for name, (text, value) in gauges.items():
            gauge = GaugeMetricFamily(name, text, labels=labels)
            gauge.add_metric(values, float(value))
            yield gauge
        counters = {
            "poolwright_requests_arrived": ("Requests received", self.arrived),
            "vllm:prompt_tokens": ("Prompt tokens processed", self.prompt_tokens),
            "vllm:generation_tokens": ("Tokens generated", self.generation_tokens),
            "vllm:num_preemptions": ("Preemptions", self.preempted),
        }
        for name, (text, value) in counters.items():
            counter = CounterMetricFamily(name, text, labels=labels)
            counter.add_metric(values, float(value))
            yield counter
        finished = CounterMetricFamily("vllm:request_success", "Requests finished", labels=[*labels, "finished_reason"])
        finished.add_metric([*values, "stop"], float(self.finished))
        yield finished
        yield from self._histograms(labels, values)

    def _histograms(self, labels: list[str], values: list[str]) -> Iterator[HistogramMetricFamily]:
        histograms = {
            "vllm:time_to_first_token_seconds": self.ttft,
            "vllm:inter_token_latency_seconds": self.itl,
            "vllm:e2e_request_latency_seconds": self.end_to_end,
            "vllm:request_queue_time_seconds": self.queue_time,
            "vllm:request_prompt_tokens": self.input_tokens,
            "vllm:request_generation_tokens": self.output_tokens,
        }
        for name, histogram in histograms.items():
            family = HistogramMetricFamily(name, name.partition(":")[2].replace("_", " "), labels=labels)
            family.add_metric(values, histogram.buckets(), histogram.total)
            yield family

    def exposition(self) -> bytes:
        """Return the page that a scraper gets."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)
