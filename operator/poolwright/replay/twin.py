"""The twin: replicas of the simulator standing in for the engines of a pool, under the traffic of a trace.

Whoever drives it says which pods are ready now and to what time to move; it routes arrivals to the replica with the
fewest requests in flight, keeps a metrics page per pod, and scores what was served. A pod that goes finishes what it
has. Requests in == finished + running + waiting + held at the gateway + shed, always. Does no input or output:
``cli.twin`` connects it to a cluster.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from poolwright.engine.blocks import BlockPool
from poolwright.engine.request import Request
from poolwright.engine.scheduler import Limits
from poolwright.perf.memory import memory_plan
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import step_law
from poolwright.queueing.objectives import Objectives
from poolwright.replay.engine_metrics import EngineMetrics
from poolwright.replay.score import RECENT_S, Score
from poolwright.replay.traces import Trace
from poolwright.simulator.replica import Progress, Replica
from poolwright.simulator.step_table import StepTable

TICK_S: Final = 0.25
"""[s] Time between two looks at the queues when routing: a gateway's view of its engines is at least as old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinPod:
    """One pod: who it is, what it runs, and with which limits.

    At ``max_queued_requests`` waiting (None: never) it sheds what comes: a request that would only be late is told so.
    """

    name: str
    tier: str
    config: ReplicaConfig
    max_num_seqs: int
    max_num_batched_tokens: int
    max_queued_requests: int | None = None


@dataclass(slots=True)
class _Engine:
    pod: TwinPod
    replica: Replica
    metrics: EngineMetrics
    is_leaving: bool = False

    @property
    def load(self) -> tuple[float, str]:
        """What a gateway sends least to: requests in flight for each that may run at once."""
        return self.replica.in_flight / self.pod.max_num_seqs, self.pod.name

    @property
    def is_full(self) -> bool:
        """Whether it takes no further request."""
        most = self.pod.max_queued_requests
        return most is not None and self.replica.scheduler.waiting >= most


@dataclass(slots=True)
class Twin:
    """Replicas, traffic and score of one pool.

    Attributes
    ----------
    trace
        Arrivals; after the last one nothing comes any more.
    objectives
        Objectives by tier; traffic is spread over the tiers at random with equal shares.
    rng
        Source of that randomness.
    slowdown_ratio
        How much slower the twin's engines are than the model thinks; 1 is just as fast.
    """

    trace: Trace
    objectives: Mapping[str, Objectives]
    rng: np.random.Generator
    slowdown_ratio: float = 1.0
    now_s: float = 0.0
    finished: int = 0
    replica_seconds: dict[str, float] = field(default_factory=dict)
    scores: dict[str, Score] = field(init=False)
    _engines: dict[str, _Engine] = field(default_factory=dict)
    _held: dict[str, deque[tuple[Request, float]]] = field(init=False)
    _arrived_s: dict[int, float] = field(default_factory=dict)
    _coming: Iterator[tuple[float, Request, str]] = field(init=False)
    _next: tuple[float, Request, str] | None = field(init=False)
    _tables: dict[tuple[str | int, ...], StepTable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin before the first arrival."""
        self.scores = {tier: Score(objectives) for tier, objectives in self.objectives.items()}
        self._held = {tier: deque() for tier in self.objectives}
        self._coming = self._requests()
        self._next = next(self._coming, None)

    @property
    def is_over(self) -> bool:
        """Whether every request of the trace has come."""
        return self._next is None

    @property
    def arrived(self) -> int:
        """Requests that have come."""
        return sum(score.arrived for score in self.scores.values())

    @property
    def shed(self) -> int:
        """Requests that were refused because every queue was full."""
        return sum(score.shed for score in self.scores.values())

    @property
    def held(self) -> int:
        """Requests at the gateway, waiting for any ready replica of their tier."""
        return sum(len(held) for held in self._held.values())

    @property
    def in_flight(self) -> int:
        """Requests running or waiting in a replica."""
        return sum(engine.replica.in_flight for engine in self._engines.values())

    def follow(self, ready: Mapping[str, TwinPod]) -> None:
        """Let exactly these pods take requests from now on."""
        for name, engine in self._engines.items():
            engine.is_leaving = name not in ready
        for name, pod in ready.items():
            if name not in self._engines and pod.tier in self.objectives:
                self._engines[name] = self._engine(pod)

    def page(self, name: str) -> bytes | None:
        """Return a pod's metrics page; None for one that is not there."""
        engine = self._engines.get(name)
        return engine.metrics.exposition() if engine else None

    def advance(self, to_s: float) -> None:
        """Move everything to a time [s], routing what arrives on the way."""
        while self.now_s < to_s:
            until_s = min(to_s, self.now_s + TICK_S)
            self._route(until_s)
            for engine in self._engines.values():
                self._account(engine, engine.replica.advance(until_s))
            self._count_time(until_s - self.now_s)
            self.now_s = until_s
        for score in self.scores.values():
            score.forget_before(self.now_s - RECENT_S)
        for name in [name for name, each in self._engines.items() if each.is_leaving and not each.replica.in_flight]:
            del self._engines[name]

    def _requests(self) -> Iterator[tuple[float, Request, str]]:
        tiers = list(self.objectives)
        for number, (time_s, inputs, outputs) in enumerate(self.trace.requests()):
            yield time_s, Request(number, inputs, outputs), tiers[int(self.rng.integers(len(tiers)))]

    def _route(self, until_s: float) -> None:
        while self._next is not None and self._next[0] < until_s:
            time_s, request, tier = self._next
            self._next = next(self._coming, None)
            self._arrived_s[request.number] = time_s
            self.scores[tier].arrived += 1
            self._held[tier].append((request, time_s))
        for tier, held in self._held.items():
            open_engines = [each for each in self._engines.values() if each.pod.tier == tier and not each.is_leaving]
            while held and open_engines:
                request, time_s = held.popleft()
                engine = min(open_engines, key=lambda each: each.load)
                begin_s = max(time_s, self.now_s)
                # Up to its arrival the engine knows nothing of a request.
                self._account(engine, engine.replica.advance(begin_s))
                engine.metrics.arrived += 1
                if engine.is_full:
                    self.scores[tier].shed += 1
                    del self._arrived_s[request.number]
                else:
                    engine.replica.submit(request, begin_s)

    def _engine(self, pod: TwinPod) -> _Engine:
        memory = memory_plan(
            pod.config, max_num_seqs=pod.max_num_seqs, max_num_batched_tokens=pod.max_num_batched_tokens
        )
        blocks = int(memory.kv_capacity_tokens // pod.config.block_tokens)
        table, slowdown = self._table(pod), self.slowdown_ratio
        replica = Replica(
            limits=Limits(max_num_seqs=pod.max_num_seqs, max_num_batched_tokens=pod.max_num_batched_tokens),
            blocks=BlockPool(max(blocks, 1), pod.config.block_tokens),
            step_time_s=lambda n, c, p: slowdown * table.step_time_s(n, c, p),
            now_s=self.now_s,
        )
        return _Engine(pod=pod, replica=replica, metrics=EngineMetrics(model=pod.config.model.name))

    def _table(self, pod: TwinPod) -> StepTable:
        config = pod.config
        formats = (config.accelerator.name, config.model.name, config.weight_format, config.kv_format)
        key = (*formats, config.tensor_parallel, config.pipeline_parallel, pod.max_num_seqs, pod.max_num_batched_tokens)
        if key not in self._tables:
            law = step_law(config)
            self._tables[key] = StepTable.of(
                lambda n, c, p: law.seconds(decode_sequences=n, context_tokens=c, prefill_tokens=p),
                max_num_seqs=pod.max_num_seqs,
                max_context_tokens=int((self.trace.input_tokens + self.trace.output_tokens).max()),
                max_num_batched_tokens=pod.max_num_batched_tokens,
            )
        return self._tables[key]

    def _account(self, engine: _Engine, progress: Progress) -> None:
        metrics, score = engine.metrics, self.scores[engine.pod.tier]
        for request, at_s in progress.first_tokens:
            ttft_s = at_s - self._arrived_s[request.number]
            metrics.ttft.observe(ttft_s)
            metrics.input_tokens.observe(request.prompt_tokens)
            score.first_token(at_s, ttft_s)
        for tokens in progress.tokens:
            count = tokens.steps * tokens.sequences
            metrics.itl.observe(tokens.step_s, count)
            score.later_tokens(engine.replica.now_s, tokens.step_s, count)
            metrics.generation_tokens += count
        for request, at_s in progress.finished:
            metrics.end_to_end.observe(at_s - self._arrived_s.pop(request.number))
            metrics.output_tokens.observe(request.output_tokens)
        self.finished += len(progress.finished)
        metrics.finished += len(progress.finished)
        metrics.generation_tokens += len(progress.first_tokens)
        metrics.prompt_tokens += progress.prefilled_tokens
        metrics.preempted += progress.preempted
        metrics.running = len(engine.replica.scheduler.running)
        metrics.waiting = engine.replica.scheduler.waiting
        metrics.kv_utilisation_ratio = engine.replica.kv_utilisation_ratio

    def _count_time(self, elapsed_s: float) -> None:
        for engine in self._engines.values():
            name = engine.pod.config.accelerator.name
            paid = elapsed_s * engine.pod.config.accelerators
            self.replica_seconds[name] = self.replica_seconds.get(name, 0.0) + paid
