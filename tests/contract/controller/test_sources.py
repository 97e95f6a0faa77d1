"""Two ways to the same signals: pages scraped from pods, and a real Prometheus that scrapes the same pods.

Pods are loopback addresses that one server listens on. The world runs six times as fast as the wall, so that a window
of a minute takes ten seconds; what the pods serve follows from the time alone, so the truth is known.
"""

import asyncio
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import pytest
import yaml
from aiohttp import web

from localcluster.build import binary
from localcluster.pod_network import PodNetwork
from localcluster.processes import ProcessGroup, free_ports, wait_until
from poolwright.controller.clock import Clock
from poolwright.controller.cluster.pod_state import PodState, PoolRef
from poolwright.controller.signals.metrics_adapter import SIGNALS
from poolwright.controller.signals.prometheus_source import PrometheusSource, Span, connect
from poolwright.controller.signals.scrape_source import Sampling, ScrapeSource
from poolwright.planner.snapshot import Known, Missing, MissingReason, Signal, TierSignals
from poolwright.replay.engine_metrics import EngineMetrics

SPEED = 6.0
WINDOW_S = 60.0
WATCHED_WALL_S = 13.0
"""[wall s] A window, and some time for Prometheus to find its targets."""

POOL = PoolRef(namespace="team-a", name="chat")
PODS_PER_TIER = 2
ARRIVALS_PER_WALL_S = 40.0
RUNNING, WAITING = 12, 8
INPUT_TOKENS, OUTPUT_TOKENS = 300, 50
TTFT_S, ITL_S = 0.3, 0.02


def counts(uptime_s: float) -> tuple[int, int]:
    """Arrived and finished: what has not finished runs or waits."""
    arrived = int(ARRIVALS_PER_WALL_S * uptime_s) + RUNNING + WAITING
    return arrived, arrived - RUNNING - WAITING


def own_page(uptime_s: float) -> str:
    """Poolwright's engine, and the twin: vLLM's names and an arrival counter."""
    arrived, finished = counts(uptime_s)
    metrics = EngineMetrics(
        model="m", running=RUNNING, waiting=WAITING, kv_utilisation_ratio=0.25, arrived=arrived, finished=finished
    )
    metrics.ttft.observe(TTFT_S, times=finished)
    metrics.itl.observe(ITL_S, times=finished * OUTPUT_TOKENS)
    metrics.input_tokens.observe(INPUT_TOKENS, times=finished)
    metrics.output_tokens.observe(OUTPUT_TOKENS, times=finished)
    return metrics.exposition().decode()


def histogram(name: str, value: float, times: int, labels: str) -> str:
    low, high = (0 if value > bound else times for bound in (0.1, 0.5))
    return (
        f'{name}_bucket{{le="0.1",{labels}}} {low}\n{name}_bucket{{le="0.5",{labels}}} {high}\n'
        f'{name}_bucket{{le="+Inf",{labels}}} {times}\n'
        f"{name}_sum{{{labels}}} {value * times}\n{name}_count{{{labels}}} {times}\n"
    )


def vllm_page(uptime_s: float, itl: str, kv: str, waiting: str) -> str:
    """VLLM as its versions have named things; it has no arrival counter."""
    _, finished = counts(uptime_s)
    labels = 'engine="0",model_name="m"'
    return (
        f"vllm:num_requests_running{{{labels}}} {RUNNING}\n{waiting}{kv}{{{labels}}} 0.25\n"
        f'vllm:request_success_total{{finished_reason="stop",{labels}}} {finished - 1}\n'
        f'vllm:request_success_total{{finished_reason="length",{labels}}} 1\n'
        f"vllm:request_prompt_tokens_sum{{{labels}}} {INPUT_TOKENS * finished}\n"
        f"vllm:request_prompt_tokens_count{{{labels}}} {finished}\n"
        f"vllm:request_generation_tokens_sum{{{labels}}} {OUTPUT_TOKENS * finished}\n"
        f"vllm:request_generation_tokens_count{{{labels}}} {finished}\n"
        + histogram("vllm:time_to_first_token_seconds", TTFT_S, finished, labels)
        + histogram(itl, ITL_S, finished * OUTPUT_TOKENS, labels)
    )


def old_vllm_page(uptime_s: float) -> str:
    waiting = f"vllm:num_requests_waiting {WAITING}\n"
    return vllm_page(uptime_s, "vllm:time_per_output_token_seconds", "vllm:gpu_cache_usage_perc", waiting)


def new_vllm_page(uptime_s: float) -> str:
    waiting = (
        f'vllm:num_requests_waiting_by_reason{{reason="capacity"}} {WAITING - 1}\n'
        'vllm:num_requests_waiting_by_reason{reason="deferred"} 1\n'
    )
    return vllm_page(uptime_s, "vllm:request_time_per_output_token_seconds", "vllm:kv_cache_usage_perc", waiting)


def sglang_page(uptime_s: float) -> str:
    """SGLang repeats its queue for each priority; a plain sum would count it twice."""
    _, finished = counts(uptime_s)
    labels = 'model_name="m",tp_rank="0"'
    return (
        f"sglang:num_running_reqs{{{labels}}} {RUNNING}\nsglang:token_usage{{{labels}}} 0.25\n"
        f'sglang:num_queue_reqs{{priority="",{labels}}} {WAITING}\nsglang:num_queue_reqs{{priority="1",{labels}}} 5\n'
        f"sglang:num_requests_total{{{labels}}} {finished}\n"
        f"sglang:prompt_tokens_total{{{labels}}} {INPUT_TOKENS * finished}\n"
        f"sglang:generation_tokens_total{{{labels}}} {OUTPUT_TOKENS * finished}\n"
        + histogram("sglang:time_to_first_token_seconds", TTFT_S, finished, labels)
        + histogram("sglang:inter_token_latency_seconds", ITL_S, finished * OUTPUT_TOKENS, labels)
    )


PAGES: dict[str, Callable[[float], str]] = {
    "own": own_page,
    "old-vllm": old_vllm_page,
    "new-vllm": new_vllm_page,
    "sglang": sglang_page,
    "foreign": lambda uptime_s: f"process_cpu_seconds_total {uptime_s}\n",
}
ENGINES = [name for name in PAGES if name != "foreign"]


RATE = 'sum(rate(poolwright_requests_arrived_total{job="engines"}[5s]))'
FAULTY_QUERIES = {
    "sum(rate(no_such_metric[5s]))": MissingReason.UNKNOWN_METRIC,
    "up": MissingReason.INVALID,
    "vector(NaN)": MissingReason.INVALID,
    "vector(-1)": MissingReason.INVALID,
    "vector(1)[5s:1s]": MissingReason.INVALID,
    "sum(": MissingReason.INVALID,
}
QUERIES = (RATE, *FAULTY_QUERIES)


@dataclass(kw_only=True)
class Watched:
    """What both sources said in the end, by tier, and what Prometheus said to further questions."""

    scraped: dict[str, TierSignals] = field(default_factory=dict)
    queried: dict[str, TierSignals] = field(default_factory=dict)
    one_pod_gone: TierSignals = field(default_factory=TierSignals)
    demands: dict[str, Signal] = field(default_factory=dict)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """Pods of every engine, watched for a window by both sources."""
    network, group = PodNetwork(), ProcessGroup()
    try:
        hosts = network.network.hosts()
        pods = tuple(
            PodState(
                uid=f"{tier}-{index}",
                name=f"{tier}-{index}",
                tier=tier,
                address=str(next(hosts)),
                is_ready=True,
                ready_since=datetime(2026, 1, 1, tzinfo=UTC),
            )
            for tier in PAGES
            for index in range(PODS_PER_TIER)
        )
        yield asyncio.run(watch(pods, group))
    finally:
        group.stop()
        network.close()


async def watch(pods: tuple[PodState, ...], group: ProcessGroup) -> Watched:
    started_s = time.monotonic()
    tiers = {pod.address: pod.tier for pod in pods}

    async def serve(request: web.Request) -> web.Response:
        address = request.host.partition(":")[0]
        return web.Response(text=PAGES[tiers[address]](time.monotonic() - started_s), content_type="text/plain")

    (port,) = free_ports(1)
    app = web.Application()
    app.router.add_get("/metrics", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    for pod in pods:
        await web.TCPSite(runner, pod.address, port).start()
    clock = Clock(SPEED)
    prometheus = await asyncio.to_thread(start_prometheus, group, pods, port, clock)
    found = Watched()
    async with aiohttp.ClientSession() as session:
        scrape = ScrapeSource(session, clock, Sampling(window_s=WINDOW_S, stale_after_s=30.0, port=port))
        deadline_s = time.monotonic() + WATCHED_WALL_S
        while time.monotonic() < deadline_s:
            found.scraped = {tier: await scrape.tier_signals(POOL, tier, pods, 0.95) for tier in PAGES}
            await asyncio.sleep(0.5)
        found.queried = {tier: await prometheus.tier_signals(POOL, tier, pods, 0.95) for tier in PAGES}
        found.one_pod_gone = await prometheus.tier_signals(POOL, "own", pods[1:], 0.95)
        found.demands = {query: await prometheus.demand_per_s(query) for query in QUERIES}
    await runner.cleanup()
    return found


def start_prometheus(group: ProcessGroup, pods: tuple[PodState, ...], port: int, clock: Clock) -> PrometheusSource:
    """A real server that scrapes every pod, those of the first tier by two jobs."""
    targets = [
        {"targets": [f"{pod.address}:{port}"], "labels": {"namespace": POOL.namespace, "pod": pod.name}} for pod in pods
    ]
    jobs = [
        {"job_name": "engines", "static_configs": targets},
        {"job_name": "again", "static_configs": targets[:PODS_PER_TIER]},
    ]
    config = group.folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    (own_port,) = free_ports(1)
    process = group.start(
        "prometheus",
        [
            str(binary("prometheus")),
            f"--config.file={config}",
            f"--storage.tsdb.path={group.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{own_port}",
        ],
    )
    wait_until("Prometheus", lambda: is_up(own_port), 60.0, process)
    span = Span(window_s=WINDOW_S, stale_after_s=30.0)
    return PrometheusSource(connect(f"http://127.0.0.1:{own_port}"), clock, span)


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def value_of(signal: Signal) -> float:
    assert isinstance(signal, Known), signal
    return signal.value


@pytest.mark.parametrize("tier", ENGINES)
def test_both_sources_see_the_truth(watched: Watched, tier: str) -> None:
    # Two pods with 40 arrivals per wall second each; a world second is a sixth of that.
    arrivals_per_s = PODS_PER_TIER * ARRIVALS_PER_WALL_S / SPEED
    for signals in (watched.scraped[tier], watched.queried[tier]):
        assert value_of(signals.arrivals_per_s) == pytest.approx(arrivals_per_s, rel=0.15)
        assert value_of(signals.running) == PODS_PER_TIER * RUNNING
        assert value_of(signals.waiting) == PODS_PER_TIER * WAITING
        assert value_of(signals.input_tokens_mean) == pytest.approx(INPUT_TOKENS)
        assert value_of(signals.output_tokens_mean) == pytest.approx(OUTPUT_TOKENS)
        assert value_of(signals.kv_utilisation_ratio) == 0.25
        assert value_of(signals.reporting_ratio) == 1.0


@pytest.mark.parametrize("tier", ENGINES)
def test_both_sources_say_the_same(watched: Watched, tier: str) -> None:
    scraped, queried = watched.scraped[tier], watched.queried[tier]
    assert value_of(scraped.arrivals_per_s) == pytest.approx(value_of(queried.arrivals_per_s), rel=0.15)
    assert value_of(scraped.ttft_s) == pytest.approx(value_of(queried.ttft_s), rel=0.01)
    assert value_of(scraped.itl_s) == pytest.approx(value_of(queried.itl_s), rel=0.01)
    # All of TTFT lies in the bucket that holds 0.3 s, and ITL in the one that holds 0.02 s.
    assert 0.1 < value_of(queried.ttft_s) <= 0.5
    assert 0.0 < value_of(queried.itl_s) <= 0.1


def test_pages_without_a_known_name_are_an_unknown_metric_and_not_zero(watched: Watched) -> None:
    for signals in (watched.scraped["foreign"], watched.queried["foreign"]):
        for signal in (signals.arrivals_per_s, signals.running, signals.waiting, signals.input_tokens_mean):
            assert isinstance(signal, Missing)
            assert signal.reason is MissingReason.UNKNOWN_METRIC


def test_a_pod_that_is_gone_does_not_count_though_prometheus_still_has_its_series(watched: Watched) -> None:
    assert value_of(watched.one_pod_gone.running) == RUNNING
    assert value_of(watched.one_pod_gone.arrivals_per_s) == pytest.approx(ARRIVALS_PER_WALL_S / SPEED, rel=0.15)


def test_a_users_query_is_read_in_requests_per_world_second(watched: Watched) -> None:
    expected = PODS_PER_TIER * ARRIVALS_PER_WALL_S / SPEED
    assert value_of(watched.demands[RATE]) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("query", "reason"), FAULTY_QUERIES.items())
def test_a_users_query_that_gives_no_rate_is_missing_and_named(
    watched: Watched, query: str, reason: MissingReason
) -> None:
    found = watched.demands[query]
    assert isinstance(found, Missing)
    assert reason == found.reason
    assert query in found.detail


async def test_without_prometheus_everything_is_unreachable_and_nothing_is_zero() -> None:
    (port,) = free_ports(1)
    source = PrometheusSource(connect(f"http://127.0.0.1:{port}"), Clock())
    pod = PodState(uid="1", name="own-0", tier="own", is_ready=True)
    signals = await source.tier_signals(POOL, "own", (pod,), 0.95)
    found = {name: getattr(signals, name).reason for name in SIGNALS}
    assert dict.fromkeys(SIGNALS, MissingReason.UNREACHABLE) == found
