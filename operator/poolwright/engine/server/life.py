"""A process from start to end: listens at once, loads, serves, and on SIGTERM finishes what it has before it goes."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from aiohttp import web

from poolwright.engine.generation import EngineFailedError, OnStep, StepRecord
from poolwright.engine.server.admin import admin_application
from poolwright.engine.server.app import application
from poolwright.engine.server.flight import Mailbox
from poolwright.engine.server.metrics import Metrics
from poolwright.engine.server.service import Served, Service
from poolwright.engine.server.settings import Settings

LOG: Final = logging.getLogger(__name__)
WATCH_S: Final = 0.5
"""[s] Time between two looks whether the engine still works."""
FLUSH_S: Final = 10.0
"""[s] Longest time for clients to take the last bytes of their answers."""

Load = Callable[[Settings, OnStep], Served]
Result = TypeVar("Result")


class Life:
    """One process.

    Parameters
    ----------
    settings
        What it runs with.
    load
        Makes the model; called in a thread of its own.
    """

    def __init__(self, settings: Settings, load: Load) -> None:
        self._settings = settings
        self._load = load
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._service = Service(settings, Mailbox(asyncio.get_running_loop()))
        self._runners: list[web.AppRunner] = []

    async def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        try:
            await self._listen(application(self._service), self._settings.host, self._settings.port, "API")
            if self._settings.admin_port is not None and self._settings.admin_token_file is not None:
                admin = admin_application(self._service, self._settings.admin_token_file)
                await self._listen(admin, self._settings.admin_host, self._settings.admin_port, "admin")
            return await self._serve()
        finally:
            for runner in self._runners:
                await runner.cleanup()

    @property
    def ports(self) -> list[int]:
        """Ports that are listened on: the API's, then the admin routes'."""
        return [int(address[1]) for runner in self._runners for address in runner.addresses[:1]]

    async def _listen(self, app: web.Application, host: str, port: int, name: str) -> None:
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=FLUSH_S)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        LOG.info("%s listens", name, extra={"host": host, "port": runner.addresses[0][1]})

    async def _serve(self) -> int:
        told = asyncio.ensure_future(self._signals.get())
        loaded = asyncio.ensure_future(in_thread(lambda: self._load(self._settings, self._step), "load"))
        await asyncio.wait({told, loaded}, return_when=asyncio.FIRST_COMPLETED)
        if not loaded.done():
            return 0
        try:
            served = loaded.result()
        except ValueError as error:
            LOG.error("%s", error)  # noqa: TRY400 - the sentence says what is wrong and where; a trace says less
            return 1
        longest = served.engine.max_model_len
        metrics = Metrics(self._settings.names[0], longest, self._service.state)
        self._service.is_served(served, metrics, int(time.time()))
        LOG.info("ready", extra={"model": self._settings.model, "max_model_len": longest})
        failing = asyncio.ensure_future(self._failure(served))
        await asyncio.wait({told, failing}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            return 1
        failing.cancel()
        await self._drain(served)
        return 0

    def _step(self, record: StepRecord) -> None:
        """Count a step, from the engine's thread."""
        metrics = self._service.metrics
        if metrics is not None:
            metrics.step(record)

    async def _failure(self, served: Served) -> None:
        """Return once the engine works no more."""
        while True:
            try:
                served.engine.state()
            except EngineFailedError as error:
                LOG.error("%s", error)  # noqa: TRY400 - the loop has logged the trace
                return
            await asyncio.sleep(WATCH_S)

    async def _drain(self, served: Served) -> None:
        """Finish what runs, for as long as the settings say or until a second signal."""
        self._service.drain()
        grace_s = self._settings.drain_seconds
        LOG.info("draining", extra={"grace_s": grace_s, "running": served.engine.state().running})
        ended = asyncio.ensure_future(in_thread(lambda: served.engine.stop(grace_s=grace_s), "drain"))
        again = asyncio.ensure_future(self._signals.get())
        await asyncio.wait({ended, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not ended.done():
            LOG.warning("told to stop again: what runs is given up")
            await in_thread(lambda: served.engine.stop(grace_s=0.0), "stop")
        await ended
        LOG.info("drained")


async def in_thread(work: Callable[[], Result], name: str) -> Result:
    """Return what ``work`` returns, from a thread that does not keep the process alive."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
            outcome.set_exception(error)
        if not loop.is_closed():  # a closed loop waits for nothing any more
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name=name, daemon=True).start()
    await done.wait()
    return outcome.result()
