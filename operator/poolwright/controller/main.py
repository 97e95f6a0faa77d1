"""Runs the operator: lease, workers, resync, pages and kopf's watches, until it is told to stop or one of them fails.

Builds the parts and connects them; what happens to a pool is in ``reconcile``.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Coroutine
from typing import Any, Final

import aiohttp
import kopf
from kubernetes import client, config

from poolwright.controller.clock import Clock
from poolwright.controller.cluster.facts import FactsCache
from poolwright.controller.cluster.kube import (
    DEPLOYMENTS,
    INFERENCE_POOLS,
    PODS,
    ForbiddenError,
    Kube,
    KubeError,
    NotFoundError,
    NotLeaderError,
    UnreachableError,
)
from poolwright.controller.cluster.mirror import MIRRORED, Mirror
from poolwright.controller.handlers import registry_for, settings_for
from poolwright.controller.health import Health
from poolwright.controller.lease import RENEW_WITHIN_S, Lease
from poolwright.controller.objects import labels
from poolwright.controller.objects.workload import ManifestOptions
from poolwright.controller.reconcile import reconcile
from poolwright.controller.reporting.telemetry import Telemetry
from poolwright.controller.runtime import Runtime
from poolwright.controller.settings import Settings
from poolwright.controller.signals.metrics_adapter import MetricsSource
from poolwright.controller.signals.prometheus_source import PrometheusSource, Span, connect
from poolwright.controller.signals.scrape_source import Sampling, ScrapeSource
from poolwright.controller.work_queue import WorkQueue
from poolwright.planner.judge import warm_up

RESYNC_S: Final = 60.0
"""[wall s] Time between two full lists: a watch that lost something is mended within it."""
RETRY_S: Final = 2.0
"""[wall s] Time between two attempts to reach what is not there yet."""
FOLLOWER_S: Final = 0.5
"""[wall s] Time between two looks whether we lead by now."""

log = logging.getLogger(__name__)


async def run_operator(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises
    ------
    Exception
        Whatever ended one of its parts; the others have stopped by then.
    """
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with aiohttp.ClientSession() as session:
        run = build(settings, session)
        health = Health(run)
        port = await health.start()
        log.info("started", extra={"identity": settings.identity, "port": port, "namespaces": settings.namespaces})
        try:
            warming = asyncio.create_task(asyncio.to_thread(warm_up)) if settings.simulation_enabled else None
            await _until(stop, *_parts(run, stop))
            if warming is not None:
                warming.cancel()
        finally:
            await health.stop()
            run.kube.close()


def _stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def build(settings: Settings, session: aiohttp.ClientSession) -> Runtime:
    """Return the parts of an operator with these settings."""
    clock = Clock(settings.clock_speed)
    telemetry = Telemetry()
    lease = Lease(settings.lease_name, settings.lease_home, settings.identity)
    fence = lease.check if settings.lease_enabled else (lambda: None)
    kube = Kube(client_configuration(), fence=fence, observe=telemetry.observe_call)
    prometheus = _prometheus(settings, clock)
    sampling = Sampling(window_s=settings.metrics_window_s, stale_after_s=settings.stale_after_s)
    metrics: MetricsSource = prometheus or ScrapeSource(session, clock, sampling)
    return Runtime(
        settings=settings,
        clock=clock,
        kube=kube,
        lease=lease,
        mirror=Mirror(),
        facts=FactsCache(kube),
        queue=WorkQueue(),
        telemetry=telemetry,
        metrics=metrics,
        options=ManifestOptions(
            images=settings.images,
            operator_namespace=settings.operator_namespace,
            has_pod_monitor=settings.pod_monitor_enabled,
        ),
        prometheus=prometheus,
    )


def _prometheus(settings: Settings, clock: Clock) -> PrometheusSource | None:
    if settings.prometheus_url is None:
        return None
    span = Span(window_s=settings.metrics_window_s, stale_after_s=settings.stale_after_s)
    return PrometheusSource(connect(str(settings.prometheus_url)), clock, span, settings.prometheus_token_file)


def client_configuration() -> client.Configuration:
    """Return the API server's address and our credentials: those of the pod, otherwise the kubeconfig's."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        config.load_kube_config(client_configuration=configuration)
    return configuration


def _parts(run: Runtime, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
    settings = run.settings
    parts = [_resync_forever(run), _watch(run, stop)]
    parts += [_work(run) for _ in range(settings.workers)]
    if settings.lease_enabled:
        parts.append(run.lease.run(run.kube))
    return parts


async def _until(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run parts until ``stop``, or until one of them ends, which none should."""
    tasks = [asyncio.create_task(part) for part in parts]
    waiter = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, waiter], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, waiter):
        task.cancel()
    await asyncio.wait([*tasks, waiter], timeout=RENEW_WITHIN_S)
    for task in done:
        if task is not waiter and not task.cancelled():
            task.result()


async def _watch(run: Runtime, stop: asyncio.Event) -> None:
    """Let kopf watch, once everything that it watches is there; ends when kopf was told to.

    kopf gives up where a watch is refused or its definition goes. It begins anew after the next full list that works.
    """
    while True:
        await run.synced.wait()
        try:
            await kopf.operator(
                registry=registry_for(run),
                settings=settings_for(),
                standalone=True,
                clusterwide=run.settings.all_namespaces,
                namespaces=() if run.settings.all_namespaces else run.settings.namespaces,
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, the next list says whether it lasts
            log.warning("watches ended", extra={"error": f"{type(error).__name__}: {error}"})
        else:
            return
        run.telemetry.watch_restarts.inc()
        _stop_on_signals(stop)  # kopf has put its own in their place
        run.synced.clear()
        run.unsynced.set()
        await asyncio.sleep(RETRY_S)


async def _resync_forever(run: Runtime) -> None:
    """List everything now and then; until that works, say why it does not."""
    while True:
        try:
            await resync(run)
        except NotFoundError:
            run.trouble = f"{INFERENCE_POOLS.plural}.{INFERENCE_POOLS.group} is not defined: apply the chart's crds/"
        except ForbiddenError as error:
            run.trouble = f"a right is missing: {error}"
        except KubeError as error:
            run.trouble = f"the API server does not answer: {error}"
        else:
            run.trouble = ""
            run.synced.set()
        if run.trouble:
            log.warning("not ready", extra={"trouble": run.trouble})
        run.unsynced.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(run.unsynced.wait(), RETRY_S if run.trouble else RESYNC_S)


async def resync(run: Runtime) -> None:
    """Replace the mirror by what the API server has, and look at every pool."""
    spaces = [None] if run.settings.all_namespaces else list(run.settings.namespaces)
    selectors = {DEPLOYMENTS: f"{labels.MANAGED_BY}={labels.MANAGER}"}
    for namespace in spaces:
        for kind in MIRRORED:
            found = await run.kube.list(kind, namespace, selectors.get(kind, ""))
            for pool in run.mirror.replace(kind, namespace, found):
                if kind is not PODS:
                    run.queue.add(pool)


async def _work(run: Runtime) -> None:
    """Take pools that are due, one at a time, for ever."""
    while True:
        if run.settings.lease_enabled and not run.lease.is_held:
            await asyncio.sleep(FOLLOWER_S)
            continue
        key = await run.queue.get()
        began_s = time.monotonic()
        outcome = "done"
        try:
            await reconcile(key, run)
        except asyncio.CancelledError:
            raise
        except NotLeaderError:
            outcome = "not_leader"
            run.queue.done(key, again_after_s=FOLLOWER_S)
        except KubeError as error:
            outcome = "temporary"
            at_least_s = error.retry_after_s or 0.0 if isinstance(error, UnreachableError) else 0.0
            delay_s = run.queue.failed(key, at_least_s=at_least_s)
            log.warning(
                "pass failed", extra={"pool": key.name, "error": str(error), "again_after_s": round(delay_s, 1)}
            )
        except Exception:
            outcome = "bug"
            run.queue.failed(key)
            log.exception("pass failed unexpectedly", extra={"namespace": key.namespace, "pool": key.name})
        else:
            again_s = run.settings.reconcile_interval_s / run.clock.speed if run.mirror.pool(key) else None
            run.queue.done(key, again_after_s=again_s)
        run.passes += 1
        run.telemetry.reconcile_seconds.labels(outcome).observe(time.monotonic() - began_s)
        if outcome not in ("done", "not_leader"):
            run.telemetry.reconcile_errors.labels(outcome).inc()


def main(settings: Settings) -> None:
    """Run the operator in this process."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_operator(settings))
