"""Seconds of one engine step: operator classes, latencies and host work added up, for one replica or a stack of them.

How long each class takes is in ``operators``. Two floors
are asserted on every evaluation. Vectorised by broadcasting. Equations (3.x) of docs/model.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.operators import (
    Batch,
    OperatorTime,
    collectives_s,
    decode_attention,
    dense,
    elementwise,
    latency,
    output_head,
    prefill_attention,
    recurrent_state,
    routed_experts,
)
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.work import StepWork, stack, step_work

Array = NDArray[np.float64]

ROUNDING: Final = 1e-9
"""Relative slack of the floors for rounding [1]."""


class FloorViolation(ArithmeticError):  # noqa: N818 - it violates a floor, which is its name
    """A step time below what memory or compute allow: a defect of the model, never of its input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBreakdown:
    """A step by operator class, with its floors; shapes are those of the batch."""

    operators: Mapping[str, OperatorTime]
    total_s: Array
    weight_floor_s: Array
    compute_floor_s: Array

    @property
    def binding(self) -> str:
        """The operator class that takes most of a single step, and what binds it."""
        name = max(self.operators, key=lambda each: float(np.sum(self.operators[each].seconds)))
        return f"{name}: {self.operators[name].binding}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLaw:
    """Step time as a function of the batch, for one replica or for a stack of them (see ``candidate_law``)."""

    work: StepWork
    efficiencies: Efficiencies

    def seconds(
        self,
        *,
        decode_sequences: ArrayLike,
        context_tokens: ArrayLike,
        prefill_tokens: ArrayLike,
        prefill_context_tokens: ArrayLike = 0.0,
        prefill_sequences: ArrayLike = 1.0,
        tokens_per_sequence: ArrayLike = 1.0,
    ) -> Array:
        """Return the step time [s]; see ``step_time_s``."""
        return self.breakdown(
            _batch(
                decode_sequences,
                context_tokens,
                prefill_tokens,
                prefill_context_tokens,
                prefill_sequences,
                tokens_per_sequence,
            )
        ).total_s

    def breakdown(self, batch: Batch) -> StepBreakdown:
        """Return the step by operator class."""
        return _evaluate(self.work, self.efficiencies, batch)


def step_law(config: ReplicaConfig, efficiencies: Efficiencies = DATASHEET) -> StepLaw:
    """Return the step law of one replica: count its work once, evaluate it often."""
    return StepLaw(work=step_work(config), efficiencies=efficiencies)


def candidate_law(configs: Sequence[ReplicaConfig], efficiencies: Efficiencies = DATASHEET) -> StepLaw:
    """Return one law for several replicas; its results have shape ``(replicas, batches)``."""
    return StepLaw(work=stack([step_work(each) for each in configs]), efficiencies=efficiencies)


def step_time_s(
    config: ReplicaConfig,
    *,
    decode_sequences: ArrayLike,
    context_tokens: ArrayLike,
    prefill_tokens: ArrayLike,
    prefill_context_tokens: ArrayLike = 0.0,
    prefill_sequences: ArrayLike = 1.0,
    tokens_per_sequence: ArrayLike = 1.0,
    efficiencies: Efficiencies = DATASHEET,
) -> Array:
    """Return the time of one engine step [s], equation (3.1).

    Parameters
    ----------
    config
        The replica.
    decode_sequences
        Sequences that get a token each, of the whole replica, >= 0.
    context_tokens
        Their mean context [tokens], >= 0.
    prefill_tokens
        Prompt tokens in the step [tokens], >= 0; cached prefixes do not count.
    prefill_context_tokens
        Tokens in the cache before those (cached prefix, earlier chunks) [tokens].
    prefill_sequences
        Prompts over which the prefill tokens are spread; attention within a prompt grows with its square.
    tokens_per_sequence
        Tokens verified per sequence: draft length + 1 with speculative decoding.
    efficiencies
        Factors on the sourced constants.

    Returns
    -------
    array of float64
        Broadcast shape of the inputs, > 0, never below weight bytes over bandwidth nor FLOP over peak.

    Raises
    ------
    FloorViolation
        The result would pass a floor; that is a defect.

    Notes
    -----
    About 0.5 us per element and attention window. Errs low where ragged lengths, stragglers or the host intervene.
    """
    return step_law(config, efficiencies).seconds(
        decode_sequences=decode_sequences,
        context_tokens=context_tokens,
        prefill_tokens=prefill_tokens,
        prefill_context_tokens=prefill_context_tokens,
        prefill_sequences=prefill_sequences,
        tokens_per_sequence=tokens_per_sequence,
    )


def step_breakdown(
    config: ReplicaConfig,
    *,
    decode_sequences: ArrayLike,
    context_tokens: ArrayLike,
    prefill_tokens: ArrayLike,
    prefill_context_tokens: ArrayLike = 0.0,
    prefill_sequences: ArrayLike = 1.0,
    tokens_per_sequence: ArrayLike = 1.0,
    efficiencies: Efficiencies = DATASHEET,
) -> StepBreakdown:
    """Return the same step by operator class: FLOP, bytes, seconds and what binds. Parameters as ``step_time_s``."""
    batch = _batch(
        decode_sequences,
        context_tokens,
        prefill_tokens,
        prefill_context_tokens,
        prefill_sequences,
        tokens_per_sequence,
    )
    return step_law(config, efficiencies).breakdown(batch)


def _batch(*values: ArrayLike) -> Batch:
    arrays = [np.asarray(each, dtype=np.float64) for each in values]
    return Batch(
        decode_sequences=arrays[0],
        context_tokens=arrays[1],
        prefill_tokens=arrays[2],
        prefill_context_tokens=arrays[3],
        prefill_sequences=arrays[4],
        tokens_per_sequence=arrays[5],
    )


def _evaluate(work: StepWork, factors: Efficiencies, batch: Batch) -> StepBreakdown:
    """Return the breakdown of a batch: a pipeline works on one micro-batch per stage."""
    sequences = batch.decode_sequences / work.stages
    queries = sequences * batch.tokens_per_sequence
    prompt = batch.prefill_tokens / work.stages
    tokens = queries + prompt
    shard_tokens = tokens / work.data_groups
    operators = {
        "dense": dense(work, factors, shard_tokens),
        "experts": routed_experts(work, factors, tokens),
        "attention": decode_attention(work, factors, batch, sequences / work.data_groups),
        "prefill attention": prefill_attention(work, factors, batch, prompt / work.data_groups),
        "state": recurrent_state(work, factors, shard_tokens, sequences / work.data_groups),
        "head": output_head(work, factors, queries, batch, prompt),
        "elementwise": elementwise(work, shard_tokens),
        "collectives": latency(collectives_s(work, factors, tokens, shard_tokens)),
        "kernel gaps": latency(np.asarray(work.kernels * work.kernel_latency_s * factors.kernel_latency)),
        "host": latency(
            factors.step_overhead * (work.step_overhead_s + work.sequence_overhead_s * batch.decode_sequences)
        ),
    }
    return _summed(work, factors, operators, prompt)


def _summed(work: StepWork, factors: Efficiencies, operators: dict[str, OperatorTime], prompt: Array) -> StepBreakdown:
    """Return the sum, not below the host's launch of a step without graph, and check both floors."""
    device_s = sum((each.seconds for each in operators.values()), start=np.zeros(()))
    launch_s = factors.launch * work.launch_s * np.minimum(1.0, np.maximum(prompt, work.launches_decode))
    launched_s = np.sqrt(device_s * device_s + launch_s * launch_s)
    operators["launch"] = latency(launched_s - device_s)
    weight_floor_s = (operators["dense"].bytes + operators["experts"].bytes + operators["head"].bytes) / work.bandwidth
    compute_floor_s = (
        operators["dense"].flop / work.dense_peak
        + operators["experts"].flop / work.expert_peak
        + sum(operators[name].flop for name in ("attention", "prefill attention", "state", "head")) / work.plain_peak
    )
    floor_s = np.maximum(weight_floor_s, compute_floor_s)
    total_s = np.maximum(launched_s * factors.step, floor_s)
    if np.any(total_s < floor_s * (1.0 - ROUNDING)) or not np.all(np.isfinite(total_s)):
        raise FloorViolation(f"step times {total_s} s pass the floors {floor_s} s")
    return StepBreakdown(
        operators=operators, total_s=total_s, weight_floor_s=weight_floor_s, compute_floor_s=compute_floor_s
    )
