"""Arithmetic intensity and FLOP/s of steps under an accelerator's roof: the numbers of a picture.

Of one rank, all operator classes together. Drawing is ``cli.roofline``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.overheads import kernel_row
from poolwright.perf.replica import ReplicaConfig
from poolwright.perf.step_time import StepBreakdown, step_breakdown
from poolwright.perf.work import step_work


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflinePoint:
    """One step: ``kind`` is ``decode`` or ``prefill``, ``tokens`` its sequences or prompt tokens.

    Attributes
    ----------
    intensity_flop_per_byte
        FLOP over bytes of memory.
    reached_flop_per_s
        FLOP over the predicted step time.
    attainable_flop_per_s
        The roof above that intensity.
    """

    kind: str
    tokens: float
    intensity_flop_per_byte: float
    reached_flop_per_s: float
    attainable_flop_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Roof and points of one rank.

    ``ridge_flop_per_byte`` is the intensity at which both limits meet.
    """

    bandwidth_bytes_per_s: float
    peak_flop_per_s: float
    peak_format: str
    points: tuple[RooflinePoint, ...]

    @property
    def ridge_flop_per_byte(self) -> float:
        """Intensity from which compute binds."""
        return self.peak_flop_per_s / self.bandwidth_bytes_per_s

    def attainable_flop_per_s(self, intensity_flop_per_byte: float) -> float:
        """Return the roof at an intensity."""
        return min(self.peak_flop_per_s, intensity_flop_per_byte * self.bandwidth_bytes_per_s)


def roofline(
    config: ReplicaConfig,
    *,
    context_tokens: float,
    batches: Sequence[float],
    prompts: Sequence[float],
    efficiencies: Efficiencies = DATASHEET,
) -> Roofline:
    """Return the roof of a rank with decode steps of ``batches`` sequences and prefill steps of ``prompts`` tokens.

    The roof is the datasheet's: bandwidth, and the peak at which the weight format's products run.
    """
    work = step_work(config)
    empty = Roofline(
        bandwidth_bytes_per_s=float(work.bandwidth),
        peak_flop_per_s=float(work.dense_peak),
        peak_format=kernel_row(config, config.weight_format).compute,
        points=(),
    )
    decode = [("decode", each, each, 0.0) for each in batches]
    prefill = [("prefill", each, 0.0, each) for each in prompts]
    points = []
    for kind, tokens, sequences, prompt in [*decode, *prefill]:
        step = step_breakdown(
            config,
            decode_sequences=sequences,
            context_tokens=context_tokens,
            prefill_tokens=prompt,
            efficiencies=efficiencies,
        )
        points.append(_point(empty, kind, tokens, step))
    return replace(empty, points=tuple(points))


def _point(roof: Roofline, kind: str, tokens: float, step: StepBreakdown) -> RooflinePoint:
    flop = sum(float(each.flop) for each in step.operators.values())
    size = sum(float(each.bytes) for each in step.operators.values())
    intensity = flop / size
    return RooflinePoint(
        kind=kind,
        tokens=tokens,
        intensity_flop_per_byte=intensity,
        reached_flop_per_s=flop / float(step.total_s),
        attainable_flop_per_s=roof.attainable_flop_per_s(intensity),
    )
