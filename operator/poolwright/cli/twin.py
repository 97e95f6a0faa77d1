"""``poolwright twin``: play the engines behind the pods of a pool, where there are no GPUs.

Follows the pods that the scheduler placed, moves their simulated engines under the traffic of a trace in compressed
time, and serves each pod's ``/metrics`` on the pod's own address. What it sees and serves goes to standard output, one
JSON object a line. The simulation itself is ``replay.twin``.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import click
import numpy as np
from aiohttp import web
from kubernetes import client, config

from poolwright.api.inference_pool import InferencePool
from poolwright.api.resource import GROUP, VERSION
from poolwright.api.translate import model_shape, parsed
from poolwright.api.translate_tier import objectives
from poolwright.controller.cluster.pod_state import PodState, counts, pod_state
from poolwright.controller.objects import labels
from poolwright.controller.signals.scrape_source import METRICS_PORT
from poolwright.hardware.catalogue import Catalogue, load_catalogue
from poolwright.hardware.model_shape import ModelShape
from poolwright.perf.replica import ReplicaConfig
from poolwright.replay.profile import load_profile
from poolwright.replay.traces import Trace, read_azure_csv, scaled
from poolwright.replay.twin import Twin, TwinPod

TICK_S: Final = 0.05
"""[wall s] Time between two moves of the engines."""
POLL_S: Final = 0.25
"""[wall s] Time between two looks at the pods: a gateway learns of a new endpoint as late."""
REPORT_S: Final = 0.5
"""[wall s] Time between two lines of output."""
SEED: Final = 20_231_116
"""Start of the random numbers: the day of the trace that the shipped profile is made from."""


@click.command()
@click.argument("pool")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the pool.")
@click.option("--trace", type=click.Path(exists=True, path_type=Path), help="CSV in the format of Azure's LLM traces.")
@click.option(
    "--factor", default=1.0, show_default=True, type=click.FloatRange(0.001, 1000.0), help="Times the traffic."
)
@click.option(
    "--speed", default=1.0, show_default=True, type=click.FloatRange(0.1, 1000.0), help="World over wall time."
)
@click.option(
    "--minutes", type=click.FloatRange(0.1, 10_000.0), help="World minutes to play; default: all of the trace."
)
@click.option(
    "--slowdown",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.1, 10.0),
    help="Engines' real time over the model's.",
)
def twin(
    pool: str, namespace: str, trace: Path | None, factor: float, speed: float, minutes: float | None, slowdown: float
) -> None:
    """Play the engines of POOL under real traffic: the given trace, or the profile that is shipped."""
    rng = np.random.default_rng(SEED)
    played = traffic(trace, factor, rng)
    api = client.ApiClient(_configuration())
    document = client.CustomObjectsApi(api).get_namespaced_custom_object(
        GROUP, VERSION, namespace, "inferencepools", pool
    )
    resource = parsed(InferencePool, cast("Mapping[str, Any]", document))
    catalogue = load_catalogue()
    stage = Stage(
        api=api,
        resource=resource,
        catalogue=catalogue,
        model=model_shape(resource.spec, catalogue),
        twin=Twin(
            trace=played,
            objectives={tier.name: objectives(tier.objectives) for tier in resource.spec.tiers},
            rng=rng,
            slowdown_ratio=slowdown,
        ),
    )
    until_s = min(played.duration_s, minutes * 60.0 if minutes is not None else played.duration_s)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(stage.play(speed, until_s))


def traffic(path: Path | None, factor: float, rng: np.random.Generator) -> Trace:
    """Return the trace at ``path``, or one drawn from the shipped profile, with ``factor`` times its traffic."""
    if path is None:
        return load_profile().trace(rng, factor=factor)
    return scaled(read_azure_csv(path), factor, rng)


def _configuration() -> client.Configuration:
    configuration = client.Configuration()
    config.load_kube_config(client_configuration=configuration)
    return configuration


class Stage:
    """A twin connected to a cluster: follows its pods, serves their pages, and says what happens."""

    def __init__(
        self, *, api: client.ApiClient, resource: InferencePool, catalogue: Catalogue, model: ModelShape, twin: Twin
    ) -> None:
        self._api = api
        self._resource = resource
        self._catalogue = catalogue
        self._model = model
        self._twin = twin
        self._runner: web.AppRunner | None = None
        self._sites: dict[str, web.TCPSite] = {}
        self._pod_at: dict[str, str] = {}

    async def play(self, speed: float, until_s: float) -> None:
        """Move with the wall clock, ``speed`` times as fast, until the world's time is over."""
        app = web.Application()
        app.add_routes([web.get("/metrics", self._page), web.get("/health", self._page)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        follower = asyncio.create_task(self._follow_forever())
        try:
            # A gateway opens when there is somebody behind it.
            while not self._pod_at and not follower.done():  # noqa: ASYNC110 - a poll of a cluster, not of a flag
                await asyncio.sleep(POLL_S)
            began_s, reported_s = time.monotonic(), 0.0
            while self._twin.now_s < until_s:
                if follower.done():
                    follower.result()
                now_s = time.monotonic() - began_s
                self._twin.advance(min(now_s * speed, until_s))
                if now_s - reported_s >= REPORT_S:
                    reported_s = now_s
                    self._report()
                await asyncio.sleep(max(TICK_S - (time.monotonic() - began_s - now_s), 0.001))
            self._report()
        finally:
            follower.cancel()
            await self._runner.cleanup()

    async def _follow_forever(self) -> None:
        while True:
            pods, deployments = await asyncio.to_thread(self._listed)
            ready = {pod.name: pod for pod in map(pod_state, filter(counts, pods)) if pod.is_ready and pod.address}
            variants = {labels.labels_of(each).get(labels.VARIANT, ""): labels.variant_of(each) for each in deployments}
            found = {name: made for name, pod in ready.items() if (made := self._twin_pod(pod, variants)) is not None}
            self._twin.follow(found)
            self._pod_at = {pod.address: name for name, pod in ready.items()}
            for address in self._pod_at:
                await self._serve(address)
            await asyncio.sleep(POLL_S)

    def _listed(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        selector = labels.selector_text(labels.pool_selector(self._resource.metadata.name))
        namespace = self._resource.metadata.namespace
        pods = client.CoreV1Api(self._api).list_namespaced_pod(namespace, label_selector=selector)
        deployments = client.AppsV1Api(self._api).list_namespaced_deployment(namespace, label_selector=selector)
        return self._plain(pods.items), self._plain(deployments.items)

    def _plain(self, items: Iterable[object]) -> list[dict[str, Any]]:
        """Return objects as the API has them."""
        return [self._api.sanitize_for_serialization(each) for each in items]

    def _twin_pod(self, pod: PodState, variants: Mapping[str, labels.Described | None]) -> TwinPod | None:
        described = variants.get(pod.variant)
        if described is None:
            return None
        variant = described.variant
        return TwinPod(
            name=pod.name,
            tier=pod.tier,
            config=ReplicaConfig(
                accelerator=self._catalogue.accelerator(variant.accelerator),
                model=self._model,
                weight_format=variant.weight_format,
                kv_format=variant.kv_format,
                tensor_parallel=variant.tensor_parallel,
            ),
            max_num_seqs=described.max_num_seqs,
            max_num_batched_tokens=described.max_num_batched_tokens,
            max_queued_requests=described.max_queued_requests or None,
        )

    async def _serve(self, address: str) -> None:
        if address in self._sites or self._runner is None:
            return
        site = web.TCPSite(self._runner, address, METRICS_PORT)
        await site.start()
        self._sites[address] = site

    async def _page(self, request: web.Request) -> web.Response:
        """Answer as the pod whose address was called."""
        transport = request.transport
        address = transport.get_extra_info("sockname")[0] if transport is not None else ""
        page = self._twin.page(self._pod_at.get(address, ""))
        if page is None:
            return web.Response(status=503, text="no engine serves here")
        return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4"})

    def _report(self) -> None:
        twin = self._twin
        line = {
            "time_s": round(twin.now_s, 1),
            "arrived": twin.arrived,
            "finished": twin.finished,
            "in_flight": twin.in_flight,
            "held": twin.held,
            "shed": twin.shed,
            "replica_seconds": {name: round(value, 1) for name, value in twin.replica_seconds.items()},
            "tiers": {
                name: {
                    "ttft_s": score.recent_ttft_s,
                    "itl_s": score.recent_itl_s,
                    "attainment_ratio": round(score.attainment_ratio, 5),
                    "token_attainment_ratio": round(score.token_attainment_ratio, 5),
                }
                for name, score in twin.scores.items()
            },
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
