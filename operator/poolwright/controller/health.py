"""Pages: whether the process lives, whether it can do its work, how it does, and why a pool got what it got.

``/healthz`` fails when passes have stopped although pools are due: a restart helps. ``/readyz`` fails while the cluster
cannot be read or its definitions are missing: a restart does not, and the text says what would. ``/metrics`` is for
scrapers, ``/explain/NAMESPACE/POOL`` for people: the arithmetic of the last plan, as this process made it.
"""

import time
from typing import Final

from aiohttp import web

from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.controller.runtime import Runtime
from poolwright.planner.explain import explained

STUCK_S: Final = 120.0
"""[wall s] Time without a finished pass, with pools due, after which the process is stuck: eight slow cycles."""


class Health:
    """Serves the pages."""

    def __init__(self, run: Runtime) -> None:
        self._run = run
        self._passes = -1
        self._progress_s = time.monotonic()
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen, and return the port."""
        app = web.Application()
        app.add_routes(
            [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)]
        )
        app.add_routes([web.get("/explain/{namespace}/{pool}", self._explain)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._run.settings.http_host, self._run.settings.http_port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def stuck(self) -> str:
        """Return why the process should be restarted; empty when it should not."""
        now_s = time.monotonic()
        is_idle = len(self._run.queue) == 0 or not self._run.lease.is_held
        if is_idle or self._passes != self._run.passes:
            self._passes, self._progress_s = self._run.passes, now_s
        waited_s = now_s - self._progress_s
        return f"{len(self._run.queue)} pools due, none finished for {waited_s:.0f} s" if waited_s > STUCK_S else ""

    async def _healthz(self, request: web.Request) -> web.Response:
        del request
        stuck = self.stuck()
        return web.Response(status=500 if stuck else 200, text=stuck or "ok")

    async def _readyz(self, request: web.Request) -> web.Response:
        del request
        return web.Response(status=503 if self._run.trouble else 200, text=self._run.trouble or "ok")

    async def _explain(self, request: web.Request) -> web.Response:
        pool = PoolRef(namespace=request.match_info["namespace"], name=request.match_info["pool"])
        memory = self._run.memories.get(pool)
        if memory is None or memory.plan is None:
            return web.Response(status=404, text=f"no plan of {pool.namespace}/{pool.name} is known to this process\n")
        return web.Response(text=explained(memory.plan) + "\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        run = self._run
        run.telemetry.queue_depth.set(len(run.queue))
        run.telemetry.leader.set(run.lease.is_held)
        run.telemetry.watch_age.set(max(time.monotonic() - run.mirror.heard_s, 0.0))
        return web.Response(body=run.telemetry.page(), headers={"Content-Type": "text/plain; version=0.0.4"})
