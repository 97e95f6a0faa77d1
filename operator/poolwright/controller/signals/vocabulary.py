"""Which metric names mean what, per engine and over the versions in the wild: the only place that spells them.

Says nothing about values (``reading``). A new engine release that renames a metric adds a name here and a line to the
golden list; nothing else changes. Sources: vLLM ``vllm/v1/metrics/loggers.py`` (0.6 to 0.29) and
``docs/design/metrics.md``; SGLang ``srt/observability/metrics_collector.py``, ``docs/references/production_metrics``.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanNames:
    """Two cumulative series whose quotient of increases is a mean: ``total`` over ``count``."""

    total: str
    count: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Names of one engine family, each tuple in order of preference: the first that a pod exports is used.

    Attributes
    ----------
    engine
        Family, for messages.
    arrivals
        Counters of requests that came in; where there is none, arrivals follow from ``finished`` and the backlog.
    finished
        Counters of requests that left the engine, whatever the outcome.
    running, waiting
        Gauges of requests in a batch, and queued.
    kv_utilisation
        Gauges of the share of KV blocks in use, in [0, 1].
    input_tokens, output_tokens
        Tokens per finished request.
    ttft, itl
        Histograms [s].
    partition_labels
        Labels under which a series repeats a part of the total: only series where each is absent or equal to the value
        given here are counted (SGLang repeats its queue per priority, and per rank of a replica).
    """

    engine: str
    arrivals: tuple[str, ...]
    finished: tuple[str, ...]
    running: tuple[str, ...]
    waiting: tuple[str, ...]
    kv_utilisation: tuple[str, ...]
    input_tokens: tuple[MeanNames, ...]
    output_tokens: tuple[MeanNames, ...]
    ttft: tuple[str, ...]
    itl: tuple[str, ...]
    partition_labels: tuple[tuple[str, str], ...] = ()

    @property
    def flow_names(self) -> frozenset[str]:
        """Series that arrivals need."""
        return frozenset((*self.arrivals, *self.finished, *self.running, *self.waiting))

    @property
    def names(self) -> frozenset[str]:
        """Every series that this family is read from."""
        means = (*self.input_tokens, *self.output_tokens)
        histograms = (f"{base}_{part}" for base in (*self.ttft, *self.itl) for part in ("bucket", "sum", "count"))
        return self.flow_names.union(
            self.kv_utilisation, (mean.total for mean in means), (mean.count for mean in means), histograms
        )


VLLM: Final = Vocabulary(
    engine="vllm",
    arrivals=("poolwright_requests_arrived_total",),
    finished=("vllm:request_success_total", "vllm:e2e_request_latency_seconds_count"),
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting", "vllm:num_requests_waiting_by_reason"),
    kv_utilisation=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    input_tokens=(MeanNames(total="vllm:request_prompt_tokens_sum", count="vllm:request_prompt_tokens_count"),),
    output_tokens=(
        MeanNames(total="vllm:request_generation_tokens_sum", count="vllm:request_generation_tokens_count"),
    ),
    ttft=("vllm:time_to_first_token_seconds",),
    itl=(
        "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds",
        "vllm:request_time_per_output_token_seconds",
    ),
)
"""vLLM, and Poolwright's own engine, which serves the same names plus an arrival counter (vLLM has none)."""

SGLANG: Final = Vocabulary(
    engine="sglang",
    arrivals=("sglang:num_requests_received_total",),
    finished=("sglang:num_requests_total",),
    running=("sglang:num_running_reqs",),
    waiting=("sglang:num_queue_reqs",),
    kv_utilisation=("sglang:full_token_usage", "sglang:token_usage"),
    input_tokens=(
        MeanNames(total="sglang:prompt_tokens_histogram_sum", count="sglang:prompt_tokens_histogram_count"),
        MeanNames(total="sglang:prompt_tokens_total", count="sglang:num_requests_total"),
    ),
    output_tokens=(
        MeanNames(total="sglang:generation_tokens_histogram_sum", count="sglang:generation_tokens_histogram_count"),
        MeanNames(total="sglang:generation_tokens_total", count="sglang:num_requests_total"),
    ),
    ttft=("sglang:time_to_first_token_seconds",),
    itl=("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
    partition_labels=(("priority", ""), ("tp_rank", "0"), ("pp_rank", "0"), ("moe_ep_rank", "0")),
)
"""SGLang; ``num_requests_total`` counts finished requests, the received counter exists in recent releases only."""

VOCABULARIES: Final = (VLLM, SGLANG)

FLOW_NAMES: Final = VLLM.flow_names | SGLANG.flow_names
NAMES: Final = VLLM.names | SGLANG.names
