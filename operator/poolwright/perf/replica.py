"""One replica as the physics sees it: accelerator, model, formats, parallelism and engine, checked for consistency.

Which replicas are worth considering is decided in ``planner``; what they do is computed by the other files of this
room.
"""

from dataclasses import dataclass

from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.model_shape import AttentionKind, ModelShape
from poolwright.hardware.number_format import FORMATS
from poolwright.perf.engine_traits import VLLM, EngineTraits
from poolwright.perf.kernel_table import kernel_of


class ReplicaError(ValueError):
    """A replica that no engine could run; the message carries the numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaConfig:
    """One replica.

    Attributes
    ----------
    weight_format, kv_format
        Names in ``number_format.FORMATS``.
    tensor_parallel
        Ranks that share each layer (an accelerator may count as several ranks, as Neuron's cores do).
    pipeline_parallel
        Stages that share the stack of layers.
    attention_data_parallel
        Groups of ``tensor_parallel`` ranks that each hold the whole attention and serve their own sequences, while
        experts are spread over all of them.
    expert_parallel
        Groups of ranks that hold different experts; it divides ``tensor_parallel * attention_data_parallel``.
    memory_utilisation_ratio
        Share of device memory that the engine may use, in (0, 1].
    block_tokens
        Tokens of one cache block.
    """

    accelerator: Accelerator
    model: ModelShape
    weight_format: str
    kv_format: str
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    attention_data_parallel: int = 1
    memory_utilisation_ratio: float = 0.9
    block_tokens: int = 16
    engine: EngineTraits = VLLM

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        self._check_counts()
        self._check_formats()
        self._check_division()

    @property
    def group_ranks(self) -> int:
        """Ranks that hold one stage of the pipeline."""
        return self.tensor_parallel * self.attention_data_parallel

    @property
    def ranks(self) -> int:
        """Ranks of the whole replica."""
        return self.group_ranks * self.pipeline_parallel

    @property
    def accelerators(self) -> int:
        """Accelerators of the whole replica, as Kubernetes counts them."""
        return -(-self.ranks // self.accelerator.ranks)

    def _check_counts(self) -> None:
        """Refuse counts below one and ratios out of range."""
        counts = {
            "tensor_parallel": self.tensor_parallel,
            "pipeline_parallel": self.pipeline_parallel,
            "expert_parallel": self.expert_parallel,
            "attention_data_parallel": self.attention_data_parallel,
            "block_tokens": self.block_tokens,
        }
        for name, value in counts.items():
            if value < 1:
                raise ReplicaError(f"{name} is {value}, must be at least 1")
        if not 0.0 < self.memory_utilisation_ratio <= 1.0:
            raise ReplicaError(f"memory_utilisation_ratio is {self.memory_utilisation_ratio}, must be in (0, 1]")

    def _check_formats(self) -> None:
        """Refuse formats that are not known or have no kernels on the accelerator."""
        for name, value in (("weight_format", self.weight_format), ("kv_format", self.kv_format)):
            if value not in FORMATS:
                raise ReplicaError(f"{name} is {value!r}, must be one of {', '.join(FORMATS)}")
        if kernel_of(self.accelerator, self.weight_format) is None:
            raise ReplicaError(
                f"{self.accelerator.name} has no kernels for {self.weight_format} weights; "
                f"its peaks are for {', '.join(self.accelerator.peak_flop_per_s)}"
            )

    def _check_division(self) -> None:
        """Refuse parallelism that does not divide what it shares."""
        tensor = self.tensor_parallel
        for group in self.model.groups:
            heads = group.attention.heads
            shares_heads = group.attention.kind is not AttentionKind.LINEAR
            if shares_heads and heads % tensor and not self.engine.pads_heads:
                raise ReplicaError(f"tensor_parallel {tensor} does not divide the {heads} heads of {self.model.name}")
        if self.pipeline_parallel > self.model.layers:
            raise ReplicaError(f"pipeline_parallel {self.pipeline_parallel} exceeds {self.model.layers} layers")
        if self.group_ranks % self.expert_parallel:
            raise ReplicaError(f"expert_parallel {self.expert_parallel} does not divide {self.group_ranks} ranks")
        experts = max((group.feed_forward.experts for group in self.model.groups), default=0)
        if self.expert_parallel > 1 and experts == 0:
            raise ReplicaError(f"expert_parallel is {self.expert_parallel}, but {self.model.name} has no experts")
        if self.expert_parallel > max(experts, 1):
            raise ReplicaError(f"expert_parallel {self.expert_parallel} exceeds the {experts} experts")
