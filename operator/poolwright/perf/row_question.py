"""Turns one benchmark row into a question for the model: a replica, mean lengths, a load, and what had to be assumed.

Only describing columns are read (``row_fields``). Answers come from ``row_answer``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.catalogue import Catalogue
from poolwright.hardware.model_shape import ModelShape
from poolwright.perf.closed_loop import Requests, resident_limit
from poolwright.perf.engine_arguments import EngineArguments, read_arguments
from poolwright.perf.engine_traits import EngineTraits
from poolwright.perf.memory import memory_plan
from poolwright.perf.recipes import Launch, recipe_of
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.row_engine import engine_of
from poolwright.perf.row_fields import Row, RowError, kv_format, load_kind, weight_format
from poolwright.perf.ttft import BUNCHING, FIXED_LENGTH_BUNCHING


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuestion:
    """What to predict.

    Attributes
    ----------
    row_id
        The row's name.
    config
        One replica; a row with several counts ``replicas`` of them behind one load.
    requests
        Mean lengths.
    kind, load
        ``closed`` with users, ``open`` with requests per second, ``static`` with a batch; of one replica.
    resident_limit
        Sequences that fit at once into one replica.
    wave_share
        Share of the reported requests that arrived in the first wave, in [0, 1].
    assumptions
        What the row did not say.
    """

    row_id: str
    config: ReplicaConfig
    requests: Requests
    kind: str
    load: float
    replicas: int
    resident_limit: float
    wave_share: float
    assumptions: tuple[str, ...]


def question_of(values: Mapping[str, str], catalogue: Catalogue) -> RowQuestion:
    """Return the question that a row asks.

    Raises
    ------
    RowError
        Something that no assumption can replace is missing or unknown.
    ValueError
        The replica is impossible; the message carries the numbers.
    """
    row = Row(values=values)
    accelerator = catalogue.accelerator(_named(row, "accelerator"))
    model = catalogue.model(_named(row, "model"))
    engine, assumed = engine_of(row, accelerator)
    weight = weight_format(
        row, model.native_format, only_experts=model.quantises_only_experts, vendor=accelerator.vendor
    )
    launched = _launched(
        row,
        Launch(
            source=row.text("source"),
            engine=engine.name,
            model=model.name,
            accelerator=accelerator.name,
            weight=weight,
            tensor_parallel=row.count("tp"),
            input_tokens=row.needed("isl"),
            output_tokens=row.needed("osl"),
            concurrency=row.number("concurrency") or 0.0,
        ),
        engine,
    )
    config, squeezed = _fitting(_config(row, accelerator, model, weight, launched))
    requests = Requests(
        input_tokens=row.length("isl"),
        output_tokens=row.length("osl"),
        cached_prefix_ratio=row.prefix_ratio(),
        bunching=FIXED_LENGTH_BUNCHING if row.has_fixed_lengths() else BUNCHING,
    )
    kind = load_kind(row)
    replicas = row.count("dp") if row.text("mode") == "replicated" else 1
    load = row.needed({"closed": "concurrency", "open": "request_rate_qps", "static": "batch_size"}[kind])
    return RowQuestion(
        row_id=row.text("row_id"),
        config=config,
        requests=requests,
        kind=kind,
        load=load / replicas if kind != "static" else load,
        replicas=replicas,
        resident_limit=min(float(resident_limit(config, requests)), row.request_count()),
        wave_share=wave_share(row),
        assumptions=tuple(each for each in (assumed, squeezed) if each),
    )


def _launched(row: Row, launch: Launch, engine: EngineTraits) -> EngineArguments:
    """Return what the engine was told: by a published launch script where there is one, and by the row's batch."""
    recipe = recipe_of(launch)
    arguments = read_arguments(engine.name, recipe.arguments if recipe else (), engine)
    batch = row.number("batch_size")
    if load_kind(row) == "static" or batch is None:
        return arguments
    return replace(arguments, traits=replace(arguments.traits, max_sequences=round(batch)))


def _config(
    row: Row, accelerator: Accelerator, model: ModelShape, weight: str, launched: EngineArguments
) -> ReplicaConfig:
    """Return one replica of a row; data parallelism inside a replica is that of its attention."""
    tensor = row.count("tp")
    groups = row.count("dp") if row.text("mode") != "replicated" else 1
    if launched.has_data_parallel_attention:
        groups = tensor
    if tensor % groups:
        raise RowError(f"dp {groups} does not divide tp {tensor} of one replica")
    return ReplicaConfig(
        accelerator=accelerator,
        model=model,
        weight_format=weight,
        kv_format=launched.kv_format or kv_format(row, weight, launched.traits.name),
        tensor_parallel=tensor // groups,
        attention_data_parallel=groups,
        pipeline_parallel=row.count("pp"),
        expert_parallel=_expert_parallel(row, model),
        memory_utilisation_ratio=launched.memory_utilisation_ratio or DEFAULT_MEMORY_RATIO,
        engine=launched.traits,
    )


def _fitting(config: ReplicaConfig) -> tuple[ReplicaConfig, str | None]:
    """Return the replica with as much memory as it needs to run at all, and what had to be assumed.

    A published row did run: where weights do not fit into the share of memory that is told or usual, it had more.
    """
    plan = memory_plan(config, max_num_seqs=1, max_num_batched_tokens=config.engine.token_budget)
    if plan.fits or config.memory_utilisation_ratio >= MOST_MEMORY_RATIO:
        return config, None
    told = config.memory_utilisation_ratio
    return replace(config, memory_utilisation_ratio=MOST_MEMORY_RATIO), (
        f"does not fit into {told:.2f} of memory: {MOST_MEMORY_RATIO:.2f} assumed"
    )


MOST_MEMORY_RATIO: Final = 0.95
"""Share of memory that engines take where weights leave no other way [ratio]: the highest in published scripts."""

DEFAULT_MEMORY_RATIO: Final = 0.9
"""Share of memory that engines take unless told [ratio]: vLLM's and TensorRT-LLM's default."""


def _named(row: Row, name: str) -> str:
    """Return a name that must be there."""
    if not row.text(name):
        raise RowError(f"{name} is missing")
    return row.text(name)


def _expert_parallel(row: Row, model: ModelShape) -> int:
    """Return the groups of experts; dense models have none whatever the column says."""
    has_experts = any(each.feed_forward.experts for each in model.groups)
    return row.count("ep") if has_experts else 1


def wave_share(row: Row) -> float:
    """Return the share of requests in the first wave: a tenth for means over ten times the users, none in medians."""
    if load_kind(row) != "closed" or "median" in row.text("latency_stat").casefold():
        return 0.0
    return 0.1
