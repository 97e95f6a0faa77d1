"""What the engine says about itself on ``/metrics``: vLLM's names and buckets, and ``poolwright_*`` for what they lack.

Names and bounds are those of vLLM's V1 engine (vllm-project/vllm, ``vllm/v1/metrics/loggers.py``), so that dashboards,
gateways and autoscalers work unchanged. One generation is one request here: ``n`` of 2 counts twice, as in vLLM.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from poolwright.engine.generation import EngineFailedError, EngineState, FinishReason, StepRecord

TTFT_BOUNDS_S: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
"""[s] Upper bounds of time to first token, vLLM's."""
ITL_BOUNDS_S: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
"""[s] Upper bounds of the time between tokens, vLLM's."""
REQUEST_BOUNDS_S: Final = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
"""[s] Upper bounds of whole requests and of their time in the queue, vLLM's."""
STEP_BOUNDS_S: Final = tuple(step * 10.0**power for power in range(-4, 1) for step in (1.0, 2.0, 5.0))
"""[s] Upper bounds of step times: from a small model on a GPU (0.1 ms) to a long prompt on a CPU (5 s)."""
SEQUENCE_BOUNDS: Final = tuple(float(2**power) for power in range(11))
"""Upper bounds of batch sizes: 1 to 1,024."""
TOKEN_BOUNDS: Final = tuple(float(2**power) for power in range(15))
"""Upper bounds of prompt tokens in a step: 1 to 16,384."""
LABELS: Final = ("model_name", "engine")
"""Labels of every series, vLLM's: the served name, and the number of the engine in the process."""
STEP_KINDS: Final = ("decode", "mixed", "prefill")
"""What a step is made of: sequences that decode, prompts, or both."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def length_bounds(longest: int) -> tuple[float, ...]:
    """Return 1, 2, 5, 10 ... up to the longest sequence, as vLLM bounds lengths.

    >>> length_bounds(60)
    (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
    """
    steps = (step * 10**power for power in range(len(str(longest))) for step in (1, 2, 5))
    return tuple(float(step) for step in steps if step <= longest)


def kind_of(record: StepRecord) -> str:
    """Return what a step was made of: ``decode``, ``prefill`` or ``mixed``."""
    if not record.prefill_tokens:
        return "decode"
    return "mixed" if record.decoding else "prefill"


@dataclass(slots=True, eq=False)
class _StateCollector(Collector):
    """What is read from the engine when somebody asks; nothing while there is none."""

    state: Callable[[], EngineState | None]
    values: tuple[str, ...]

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the families of the engine's present state."""
        state = self._now()
        if state is None:
            return
        gauges = {
            "vllm:num_requests_running": ("Requests in the running batch", state.running),
            "vllm:num_requests_waiting": ("Requests waiting", state.waiting),
            "vllm:kv_cache_usage_perc": ("KV cache used, 1 is all", state.kv_used_ratio),
            "poolwright_kv_cache_tokens": ("Tokens that the KV cache holds", state.kv_tokens),
            "poolwright_limit_num_seqs": ("Most requests in one step", state.max_num_seqs),
            "poolwright_limit_batched_tokens": ("Most tokens in one step", state.max_num_batched_tokens),
        }
        if state.max_queued_requests is not None:
            gauges["poolwright_limit_queued_requests"] = ("Most requests waiting", state.max_queued_requests)
        for name, (text, value) in gauges.items():
            gauge = GaugeMetricFamily(name, text, labels=LABELS)
            gauge.add_metric(self.values, float(value))
            yield gauge
        counters = {
            "vllm:num_preemptions": ("Preemptions", state.preemptions),
            "vllm:prefix_cache_queries": ("Prompt tokens looked up in the prefix cache", state.cache_queries),
            "vllm:prefix_cache_hits": ("Prompt tokens found in the prefix cache", state.cache_hits),
        }
        for name, (text, total) in counters.items():
            counter = CounterMetricFamily(name, text, labels=LABELS)
            counter.add_metric(self.values, float(total))
            yield counter

    def _now(self) -> EngineState | None:
        try:
            return self.state()
        except EngineFailedError:
            return None


class Metrics:
    """Everything that is counted.

    Parameters
    ----------
    model
        Served name, a label.
    longest
        Longest sequence that lengths are bounded by [tokens].
    state
        Where the present state comes from; None while there is no engine.
    """

    def __init__(self, model: str, longest: int, state: Callable[[], EngineState | None]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._values = (model, "0")
        self.registry.register(_StateCollector(state, self._values))
        ProcessCollector(registry=self.registry)
        self.arrived = self._counter("poolwright_requests_arrived", "Requests received, refused ones included")
        self.prompt_tokens = self._counter("vllm:prompt_tokens", "Prompt tokens processed")
        self.generation_tokens = self._counter("vllm:generation_tokens", "Tokens generated")
        self.ttft = self._histogram("vllm:time_to_first_token_seconds", "Time to first token", TTFT_BOUNDS_S)
        self.itl = self._histogram("vllm:inter_token_latency_seconds", "Time between tokens", ITL_BOUNDS_S)
        self.tpot = self._histogram(
            "vllm:time_per_output_token_seconds", "Time between tokens, under its older name", ITL_BOUNDS_S
        )
        self.latency = self._histogram("vllm:e2e_request_latency_seconds", "Time of a request", REQUEST_BOUNDS_S)
        self.queued = self._histogram("vllm:request_queue_time_seconds", "Time in the queue", REQUEST_BOUNDS_S)
        lengths = length_bounds(longest)
        self.prompt_length = self._histogram("vllm:request_prompt_tokens", "Prompt tokens of a request", lengths)
        self.answer_length = self._histogram("vllm:request_generation_tokens", "Tokens of an answer", lengths)
        self.finished = self._by_label(
            "vllm:request_success", "Requests ended", "finished_reason", [reason.value for reason in FinishReason]
        )
        self.refused = self._by_label(
            "poolwright_requests_refused", "Requests answered 503", "reason", ["queue_full", "draining"]
        )
        self._count_steps()

    def _count_steps(self) -> None:
        """Prepare what steps are counted in."""
        steps = Histogram(
            "poolwright_step_seconds",
            "Time of a step",
            [*LABELS, "kind"],
            registry=self.registry,
            buckets=STEP_BOUNDS_S,
        )
        self._steps = {kind: steps.labels(*self._values, kind) for kind in STEP_KINDS}
        self._decoding = self._histogram(
            "poolwright_step_decoding_sequences", "Sequences of a step that decode", SEQUENCE_BOUNDS
        )
        self._prefilled = self._histogram(
            "poolwright_step_prefill_tokens", "Prompt tokens of a step that has any", TOKEN_BOUNDS
        )
        self._context = self._counter("poolwright_step_context_tokens", "Tokens that steps attended to")
        self._flop = self._counter("poolwright_estimated_flop", "Floating-point operations, estimated")
        self._bytes = self._counter("poolwright_estimated_bytes", "Bytes moved by the device, estimated")

    def step(self, record: StepRecord) -> None:
        """Count one step; called from the engine's thread."""
        self._steps[kind_of(record)].observe(record.seconds)
        self._decoding.observe(record.decoding)
        if record.prefill_tokens:
            self._prefilled.observe(record.prefill_tokens)
        self._context.inc(record.context_tokens)
        self._flop.inc(record.flop)
        self._bytes.inc(record.bytes)

    def page(self) -> bytes:
        """Return the page that a scraper gets."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, LABELS, registry=self.registry).labels(*self._values)

    def _histogram(self, name: str, text: str, bounds: Sequence[float]) -> Histogram:
        return Histogram(name, text, LABELS, registry=self.registry, buckets=bounds).labels(*self._values)

    def _by_label(self, name: str, text: str, label: str, values: Sequence[str]) -> dict[str, Counter]:
        """Return a counter for each value of a label, all of them on the page from the start."""
        counter = Counter(name, text, [*LABELS, label], registry=self.registry)
        return {value: counter.labels(*self._values, value) for value in values}
