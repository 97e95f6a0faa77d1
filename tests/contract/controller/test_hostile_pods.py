"""Pods that answer badly, over real sockets: each is a fault of its own, and takes nothing from its neighbour."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from localcluster.pod_network import PodNetwork
from localcluster.processes import free_ports
from poolwright.controller.clock import Clock
from poolwright.controller.cluster.pod_state import PodState, PoolRef
from poolwright.controller.signals import scrape_source
from poolwright.controller.signals.metrics_adapter import all_missing
from poolwright.controller.signals.scrape_source import Sampling, ScrapeSource
from poolwright.planner.snapshot import Known, Missing, MissingReason, Signal

POOL = PoolRef(namespace="team-a", name="chat")
GOOD = "vllm:num_requests_running 12\nvllm:num_requests_waiting 8\nvllm:kv_cache_usage_perc 0.25\n"
HUGE_LINE = b"# " + b"x" * 65_534 + b"\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[list[PodState]]]


def answer(text: str | bytes, status: int = 200) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=text, status=status)

    return handle


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(30.0)
    return web.Response(text=GOOD)


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound(f"http://{request.host}/elsewhere")


async def never_end(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(200):  # 13 MB where 4 MiB are read
        await response.write(HUGE_LINE)
    return response


async def break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(GOOD.encode())
    if request.transport:
        request.transport.close()
    return response


@pytest.fixture
async def source(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[ScrapeSource, Serve]]:
    """A source, and what starts a good pod and one that answers with a handler."""
    monkeypatch.setattr(scrape_source, "TIMEOUT_S", 0.5)
    network, runners = PodNetwork(), []
    hosts, (port,) = network.network.hosts(), free_ports(1)

    async def serve(handler: Handler) -> list[PodState]:
        pods = []
        for name, each in (("good", answer(GOOD)), ("bad", handler)):
            app = web.Application()
            app.router.add_get("/metrics", each)
            app.router.add_get("/elsewhere", answer(GOOD))
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            address = str(next(hosts))
            await web.TCPSite(runner, address, port).start()
            runners.append(runner)
            pods.append(PodState(uid=name, name=name, tier="interactive", address=address, is_ready=True))
        return pods

    async with aiohttp.ClientSession() as session:
        yield ScrapeSource(session, Clock(), Sampling(port=port)), serve
    for runner in runners:
        await runner.cleanup()
    network.close()


def value_of(signal: Signal) -> float:
    assert isinstance(signal, Known), signal
    return signal.value


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        pytest.param(hang, MissingReason.UNREACHABLE, id="that hangs"),
        pytest.param(break_off, MissingReason.UNREACHABLE, id="that breaks off"),
        pytest.param(answer("", 503), MissingReason.INVALID, id="that answers 503"),
        pytest.param(redirect, MissingReason.INVALID, id="that sends elsewhere"),
        pytest.param(never_end, MissingReason.INVALID, id="with an endless page"),
        pytest.param(answer(b"vllm:num_requests_running \xff\n"), MissingReason.INVALID, id="that is no text"),
        pytest.param(answer("vllm:num_requests_running {7\n"), MissingReason.INVALID, id="that is malformed"),
        pytest.param(answer(GOOD.rstrip()), MissingReason.INVALID, id="that is cut off"),
    ],
)
async def test_a_pod_is_silent_for_a_reason_and_its_neighbour_is_heard(
    source: tuple[ScrapeSource, Serve], handler: Handler, reason: MissingReason
) -> None:
    scrape, serve = source
    good, bad = await serve(handler)
    alone = await scrape.tier_signals(POOL, "interactive", [bad], 0.95)
    assert isinstance(alone.running, Missing)
    assert reason == alone.running.reason
    assert bad.address in alone.running.detail
    assert Known(value=0.0) == alone.reporting_ratio
    both = await scrape.tier_signals(POOL, "interactive", [good, bad], 0.95)
    assert Known(value=0.5) == both.reporting_ratio
    # What the silent pod runs is not zero: it is taken to run what its neighbour does.
    assert (24.0, 16.0) == (value_of(both.running), value_of(both.waiting))


async def test_a_pod_that_serves_an_absurd_value_reports_but_not_that(source: tuple[ScrapeSource, Serve]) -> None:
    scrape, serve = source
    _, bad = await serve(answer(GOOD.replace("12", "NaN")))
    signals = await scrape.tier_signals(POOL, "interactive", [bad], 0.95)
    assert isinstance(signals.running, Missing)
    assert signals.running.reason is MissingReason.INVALID
    assert 8.0 == value_of(signals.waiting)
    assert 1.0 == value_of(signals.reporting_ratio)


async def test_a_pod_that_nobody_plays_is_unreachable(source: tuple[ScrapeSource, Serve]) -> None:
    scrape, _ = source
    pods = [
        PodState(uid="1", name="refuses", tier="interactive", address="127.0.0.2", is_ready=True),
        PodState(uid="2", name="unplaced", tier="interactive", is_ready=True),
    ]
    signals = await scrape.tier_signals(POOL, "interactive", pods, 0.95)
    assert isinstance(signals.arrivals_per_s, Missing)
    assert signals.arrivals_per_s.reason is MissingReason.UNREACHABLE


async def test_without_ready_pods_of_the_tier_there_is_nobody_to_ask(source: tuple[ScrapeSource, Serve]) -> None:
    scrape, _ = source
    pods = [
        PodState(uid="1", name="loads", tier="interactive", address="127.0.0.2"),
        PodState(uid="2", name="other", tier="batch", address="127.0.0.2", is_ready=True),
    ]
    expected = all_missing(Missing(reason=MissingReason.NO_REPLICAS, detail="no ready pod"))
    assert expected == await scrape.tier_signals(POOL, "interactive", pods, 0.95)
