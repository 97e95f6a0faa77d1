"""What the user wants, frozen and in SI units: the core's side of a custom resource.

Made by ``api.translate`` and nowhere else; knows nothing of Kubernetes.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from poolwright.hardware.model_shape import ModelShape
from poolwright.queueing.objectives import Objectives


class Mode(StrEnum):
    """Whether the controller acts, advises or rests."""

    AUTO = "Auto"
    RECOMMEND = "Recommend"
    PAUSED = "Paused"


class EngineKind(StrEnum):
    """Which engine serves the tokens."""

    POOLWRIGHT = "Poolwright"
    VLLM = "VLLM"
    SGLANG = "SGLang"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorChoice:
    """One line of the menu: a catalogue name, and at most how many replicas may run on it (None: no own limit)."""

    name: str
    max_replicas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionShape:
    """Requests that follow one another in a session and see all that was said before.

    Attributes
    ----------
    turns
        Requests of a session, at least 1.
    new_tokens
        Prompt tokens that each later turn adds (a tool's result, a question) [tokens].
    hold_s
        Time between an answer and the next turn, while the context stays in the cache [s].
    samples_per_prompt
        Sessions that begin with the same prompt, as rollouts do; it is computed once for all of them.
    """

    turns: int = 1
    new_tokens: float = 0.0
    hold_s: float = 0.0
    samples_per_prompt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadHint:
    """What a tier's requests are expected to look like until they have been observed.

    Attributes
    ----------
    input_tokens_mean, output_tokens_mean
        Mean tokens of prompt and answer, at least 1; with sessions, of the first prompt of a session.
    cached_prefix_ratio
        Share of these prompt tokens that the prefix cache is expected to hold, in [0, 1).
    sessions
        How requests follow one another, or None where each stands alone.
    """

    input_tokens_mean: float = 1024.0
    output_tokens_mean: float = 256.0
    cached_prefix_ratio: float = 0.0
    sessions: SessionShape | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TierPolicy:
    """One latency tier: lower ``priority`` numbers are served first when capacity is short.

    ``deadline_s`` is set where the tier promises nothing but a deadline [s] for whole requests (which is then its
    end-to-end objective too): its work may queue, and demand is averaged over that time.
    """

    name: str
    objectives: Objectives
    priority: int = 0
    deadline_s: float | None = None
    hint: WorkloadHint = field(default_factory=WorkloadHint)
    static_rate_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskClass:
    """A kind of task among a pool's requests.

    Attributes
    ----------
    request_ratio
        Share of the requests, in [0, 1].
    min_accuracy_ratio
        Share of its tasks that must succeed.
    relevance, latency_exponent
        R and k of its utility ``A R / L^k``.
    """

    name: str
    request_ratio: float
    min_accuracy_ratio: float = 0.0
    relevance: float = 1.0
    latency_exponent: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedModel:
    """A model with the share of tasks that it gets right, by class."""

    model: ModelShape
    accuracy_ratios: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Bounds and pace, per tier.

    Attributes
    ----------
    min_replicas, max_replicas
        Bounds of the pool's replicas over all tiers.
    pinned_replicas
        Exact number for the pool, or None.
    headroom_ratio
        Load planned for is the demand times ``1 + headroom_ratio``.
    scale_down_stabilisation_s
        A lower number must have been enough for this long.
    max_change_per_minute
        Most replicas removed per minute (scale up is never slowed), or None.
    scale_to_zero_after_s
        With ``min_replicas`` 0: idle time before the last replica goes; None keeps one.
    """

    min_replicas: int = 1
    max_replicas: int = 64
    pinned_replicas: int | None = None
    headroom_ratio: float = 0.0
    scale_down_stabilisation_s: float = 300.0
    max_change_per_minute: int | None = None
    scale_to_zero_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Ceilings for the whole pool; None is no ceiling."""

    usd_per_s: float | None = None
    watts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """Everything that planning needs to know of one pool's wishes.

    Attributes
    ----------
    namespace, name
        Identity, for messages only.
    accelerators
        The menu; empty means whatever the snapshot's inventory has.
    weight_formats, kv_formats
        Allowed formats in order of preference; empty means the model's native one.
    max_accelerators
        Quota per accelerator name (accelerators, not replicas) from the fleet's policy.
    prices_usd_per_s
        Price overrides per accelerator name.
    task_classes, rated_models
        Kinds of tasks, and models that could do them (the pool's own first): what right-sizing compares.
    """

    namespace: str
    name: str
    model: ModelShape
    tiers: tuple[TierPolicy, ...]
    mode: Mode = Mode.AUTO
    engine: EngineKind = EngineKind.POOLWRIGHT
    engine_arguments: tuple[str, ...] = ()
    accelerators: tuple[AcceleratorChoice, ...] = ()
    weight_formats: tuple[str, ...] = ()
    kv_formats: tuple[str, ...] = ()
    max_tensor_parallel: int = 8
    scaling: Scaling = field(default_factory=Scaling)
    budget: Budget = field(default_factory=Budget)
    max_accelerators: tuple[tuple[str, int], ...] = ()
    prices_usd_per_s: tuple[tuple[str, float], ...] = ()
    task_classes: tuple[TaskClass, ...] = ()
    rated_models: tuple[RatedModel, ...] = ()
