"""A small real engine that says its prompt back, a served model around it, and a client in the same process."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch: make test-engine")

from aiohttp.test_utils import TestClient, TestServer

from poolwright.engine.generation import (
    EngineFailedError,
    EngineState,
    FinishReason,
    Generation,
    OnScheduled,
    OnStep,
    OnToken,
    QueueFullError,
    StepRecord,
    Token,
)
from poolwright.engine.server.app import application
from poolwright.engine.server.chat import open_chat_template
from poolwright.engine.server.flight import Mailbox
from poolwright.engine.server.metrics import Metrics
from poolwright.engine.server.service import Served, Service
from poolwright.engine.server.settings import Settings
from poolwright.engine.server.text import Codec, open_codec
from poolwright.engine.tiny import TinyShape, write_checkpoint

LONGEST = 256
CREATED_S = 1_700_000_000


@dataclass(eq=False)
class Spoken:
    generation: Generation
    on_token: OnToken
    on_scheduled: OnScheduled | None
    said: int = 0


@dataclass(eq=False)
class EchoEngine:
    """Answers with the prompt, over and over, a token a step. A thread, limits, a queue, priorities: as a real one."""

    pace_s: float = 0.0
    max_num_seqs: int = 4
    max_num_batched_tokens: int = 64
    max_queued_requests: int | None = None
    cached_tokens: int = 0
    on_step: OnStep | None = None
    fails_with: str | None = None
    aborted: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: list[Spoken] = []
        self.running: list[Spoken] = []
        self.is_closed = False
        self.must_end = False
        self.thread = threading.Thread(target=self._run, name="echo", daemon=True)
        self.thread.start()

    @property
    def max_model_len(self) -> int:
        return LONGEST

    def submit(self, generation: Generation, on_token: OnToken, on_scheduled: OnScheduled | None = None) -> None:
        with self.changed:
            self._check()
            if self.is_closed:
                raise QueueFullError("the engine is stopping")
            # As in the engine, a request waits until the next step even where there is room for it.
            if self.max_queued_requests is not None and len(self.waiting) >= self.max_queued_requests:
                raise QueueFullError(f"{len(self.waiting)} requests wait, as many as may")
            self.waiting.append(Spoken(generation, on_token, on_scheduled))
            self.waiting.sort(key=lambda spoken: spoken.generation.priority)
            self.changed.notify_all()

    def abort(self, name: str) -> None:
        with self.changed:
            for queue in (self.waiting, self.running):
                for spoken in [each for each in queue if each.generation.name == name]:
                    queue.remove(spoken)
                    self.aborted.append(name)
                    spoken.on_token(Token(token_id=None, finish_reason=FinishReason.ABORT))
            self.changed.notify_all()

    def state(self) -> EngineState:
        with self.changed:
            self._check()
            return EngineState(
                running=len(self.running),
                waiting=len(self.waiting),
                kv_used_ratio=len(self.running) / self.max_num_seqs if self.running else 0.0,
                kv_tokens=LONGEST,
                max_num_seqs=self.max_num_seqs,
                max_num_batched_tokens=self.max_num_batched_tokens,
                max_queued_requests=self.max_queued_requests,
                preemptions=0,
                cache_queries=40,
                cache_hits=10,
            )

    def set_limits(
        self,
        *,
        max_num_seqs: int | None = None,
        max_num_batched_tokens: int | None = None,
        max_queued_requests: int | None = None,
    ) -> None:
        with self.changed:
            self.max_num_seqs = max_num_seqs or self.max_num_seqs
            self.max_num_batched_tokens = max_num_batched_tokens or self.max_num_batched_tokens
            if max_queued_requests is not None:
                self.max_queued_requests = max_queued_requests
            self.changed.notify_all()

    def stop(self, *, grace_s: float) -> None:
        with self.changed:
            self.is_closed = True
            self.changed.wait_for(lambda: not self.waiting and not self.running, timeout=grace_s)
            self.must_end = True
            for spoken in (*self.waiting, *self.running):
                spoken.on_token(Token(token_id=None, finish_reason=FinishReason.ABORT))
            self.waiting.clear()
            self.running.clear()
            self.changed.notify_all()
        self.thread.join()

    def _check(self) -> None:
        if self.fails_with is not None:
            raise EngineFailedError(self.fails_with)

    def _run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.must_end or self.waiting or self.running)
                if self.must_end:
                    return
                joined = self._admit()
            time.sleep(self.pace_s)
            with self.changed:
                batch = len(self.running)
                for spoken in list(self.running):
                    self._say(spoken)
                self.changed.notify_all()
            if self.on_step is not None:
                prompts = sum(len(spoken.generation.token_ids) for spoken in joined)
                self.on_step(
                    StepRecord(
                        seconds=0.02,
                        decoding=batch,
                        prefill_tokens=prompts,
                        context_tokens=7,
                        flop=1e9,
                        bytes=1e6,
                    )
                )

    def _admit(self) -> list[Spoken]:
        joined = []
        while self.waiting and len(self.running) < self.max_num_seqs:
            spoken = self.waiting.pop(0)
            self.running.append(spoken)
            self.order.append(spoken.generation.name)
            joined.append(spoken)
            if spoken.on_scheduled is not None:
                spoken.on_scheduled()
        return joined

    def _say(self, spoken: Spoken) -> None:
        asked = spoken.generation
        token_id = asked.token_ids[spoken.said % len(asked.token_ids)]
        spoken.said += 1
        reason = None
        if token_id in asked.stop_token_ids:
            reason = FinishReason.STOP
        elif spoken.said == asked.max_tokens:
            reason = FinishReason.LENGTH
        if reason is not None:
            self.running.remove(spoken)
        wanted = asked.sampling.logprobs
        spoken.on_token(
            Token(
                token_id=token_id,
                finish_reason=reason,
                logprob=None if wanted is None else -0.5,
                top_logprobs=tuple((token_id + place, -0.5 - place) for place in range(wanted or 0)),
                cached_tokens=self.cached_tokens,
            )
        )


@dataclass(frozen=True)
class Api:
    """A served echo engine: the engine, the server's state, and a client."""

    engine: EchoEngine
    service: Service
    client: TestClient[Any, Any]

    async def post(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.post(path, json=body, headers=named) as response:
            return response.status, await response.json()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in a thread
                await asyncio.sleep(0.005)


Serve = Callable[..., Awaitable[Api]]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(directory, TinyShape(max_positions=1024))
    return directory


@pytest.fixture(scope="session")
def codec(checkpoint: Path) -> Codec:
    return open_codec(checkpoint)


@pytest.fixture
async def serve(checkpoint: Path, codec: Codec) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def served(
            *, defaults: dict[str, Any] | None = None, flags: dict[str, Any] | None = None, **echo: Any
        ) -> Api:
            settings = Settings(model=str(checkpoint), served_model_name=("echo", "parrot"), **(flags or {}))
            service = Service(settings, Mailbox(asyncio.get_running_loop()))
            metrics = Metrics("echo", LONGEST, service.state)
            engine = EchoEngine(on_step=metrics.step, **echo)
            stack.callback(engine.stop, grace_s=0.0)
            template = open_chat_template(checkpoint)
            model = Served(engine=engine, codec=codec, template=template, defaults=defaults or {})
            service.is_served(model, metrics, CREATED_S)
            server = TestServer(application(service))
            client = await stack.enter_async_context(TestClient(server))
            return Api(engine, service, client)

        yield served
