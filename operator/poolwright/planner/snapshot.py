"""What is the case right now, as far as it is known: the only thing that planning sees of the world.

Absent is not zero: every observed number is a ``Signal``, either ``Known`` with its age or ``Missing`` with its reason.
Made by ``controller.observe`` (live) or ``replay`` (simulated); never read again after planning began.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class MissingReason(StrEnum):
    """Why a signal has no value."""

    NO_REPLICAS = "NoReplicas"
    """Nothing runs that could report."""
    NOT_YET = "NotYet"
    """Too few samples since the start."""
    STALE = "Stale"
    """The last sample is too old."""
    UNREACHABLE = "Unreachable"
    """The source did not answer."""
    INVALID = "Invalid"
    """NaN, infinite, negative or absurd."""
    PARTIAL = "Partial"
    """Too few of the ready replicas reported."""
    UNKNOWN_METRIC = "UnknownMetric"
    """None of the known metric names is exported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A value that was seen ``age_s`` ago."""

    value: float
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """No value, and why; ``detail`` is for people (the query, the pod, the bad value)."""

    reason: MissingReason
    detail: str = ""


Signal = Known | Missing

NEVER_SEEN = Missing(reason=MissingReason.NOT_YET)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierSignals:
    """What one tier's replicas report, summed or averaged over the tier.

    Attributes
    ----------
    arrivals_per_s
        Requests arriving [1/s], over the observation window.
    edge_per_s, edge_s
        Requests arriving over the last part of that window [1/s], and how long that part is [s].
    dispersion
        Index of dispersion of arrivals over the window (1 is Poisson).
    running, waiting
        Requests in a batch, and queued.
    input_tokens_mean, output_tokens_mean
        Mean tokens of prompt and answer.
    ttft_s, itl_s
        Seen at the tier's percentile [s].
    kv_utilisation_ratio
        Mean share of KV blocks in use.
    reporting_ratio
        Share of ready replicas that reported.
    """

    arrivals_per_s: Signal = NEVER_SEEN
    edge_per_s: Signal = NEVER_SEEN
    edge_s: Signal = NEVER_SEEN
    dispersion: Signal = NEVER_SEEN
    running: Signal = NEVER_SEEN
    waiting: Signal = NEVER_SEEN
    input_tokens_mean: Signal = NEVER_SEEN
    output_tokens_mean: Signal = NEVER_SEEN
    ttft_s: Signal = NEVER_SEEN
    itl_s: Signal = NEVER_SEEN
    kv_utilisation_ratio: Signal = NEVER_SEEN
    reporting_ratio: Signal = NEVER_SEEN


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Variant:
    """One way to run a tier's replicas; its key names the Deployment."""

    tier: str
    accelerator: str
    weight_format: str
    kv_format: str
    tensor_parallel: int = 1
    pipeline_parallel: int = 1

    @property
    def accelerators(self) -> int:
        """Accelerators that one replica occupies."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def key(self) -> str:
        """Short stable name, valid in a DNS label, such as ``interactive-h100-sxm-fp8-tp2``."""
        parallel = f"-tp{self.tensor_parallel}" if self.tensor_parallel > 1 else ""
        stages = f"-pp{self.pipeline_parallel}" if self.pipeline_parallel > 1 else ""
        kv = f"-kv{self.kv_format}" if self.kv_format != self.weight_format else ""
        return f"{self.tier}-{self.accelerator}-{self.weight_format}{kv}{parallel}{stages}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantState:
    """What runs of one variant.

    Attributes
    ----------
    wanted, ready, starting
        Replicas asked for, serving, and on their way (pending or loading: they count as capacity to come).
    unschedulable
        Those of ``starting`` that the scheduler cannot place.
    max_num_seqs, max_num_batched_tokens, max_queued_requests, weight_bytes
        Limits that the replicas run with, and what each of them loaded; 0 where unknown.
    age_s
        Since the variant was created.
    """

    variant: Variant
    wanted: int
    ready: int = 0
    starting: int = 0
    unschedulable: int = 0
    max_num_seqs: int = 0
    max_num_batched_tokens: int = 0
    max_queued_requests: int = 0
    weight_bytes: float = 0.0
    age_s: float = 0.0

    @property
    def has_limits(self) -> bool:
        """Whether both batch limits are known."""
        return self.max_num_seqs > 0 and self.max_num_batched_tokens > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Accelerators of the cluster by catalogue name: all that nodes have, and those that nobody has asked for.

    ``provisionable`` names accelerators that an autoscaler could create nodes for: their number is not bounded here.
    """

    total: tuple[tuple[str, int], ...] = ()
    free: tuple[tuple[str, int], ...] = ()
    provisionable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The world of one pool at one moment.

    ``inventory`` is ``Missing`` when nodes could not be read: nothing is then limited or lowered because of it.
    """

    tiers: tuple[tuple[str, TierSignals], ...] = ()
    variants: tuple[VariantState, ...] = ()
    inventory: Inventory | Missing = field(default_factory=lambda: Missing(reason=MissingReason.NOT_YET))
    cold_start_s: Signal = NEVER_SEEN

    def signals(self, tier: str) -> TierSignals:
        """Return what is known of a tier; all missing for one never seen."""
        return dict(self.tiers).get(tier, TierSignals())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the model wanted for a tier at a time, before the limits: the memory of stabilisation."""

    time_s: float
    tier: str
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What planning remembers of a pool between cycles: a value, handed in and handed back with the plan.

    Attributes
    ----------
    wanted
        Recent wishes, oldest first, at most as old as the longest window.
    rates
        ``(time_s, tier, arrivals_per_s)`` of recent windows, oldest first: the distribution of rates.
    removed
        ``(time_s, replicas)`` of recent scale-downs, for the pace limit.
    last_busy_s
        Time when demand was last above zero, or None while never.
    lengths
        ``(tier, input_tokens_mean, output_tokens_mean)`` last seen: what stands in when lengths go missing.
    dispersions
        ``(tier, dispersion)`` last seen, for the same purpose.
    busy
        ``(tier, time_s)`` when a tier last had demand, or was first seen: the clock of scaling to zero.
    margins
        ``(tier, margin, time_s)``: what demand is multiplied by, and when latencies were last looked at for it.
    """

    wanted: tuple[Wanted, ...] = ()
    rates: tuple[tuple[float, str, float], ...] = ()
    removed: tuple[tuple[float, int], ...] = ()
    last_busy_s: float | None = None
    lengths: tuple[tuple[str, float, float], ...] = ()
    dispersions: tuple[tuple[str, float], ...] = ()
    busy: tuple[tuple[str, float], ...] = ()
    margins: tuple[tuple[str, float, float], ...] = ()
