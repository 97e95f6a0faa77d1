"""Which part of a matrix belongs to one of several processes."""

from dataclasses import dataclass
from typing import Final

from poolwright.engine.checkpoint import CheckpointError
from poolwright.engine.model.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of ``size`` equal parts, counted from 0."""

    rank: int = 0
    size: int = 1

    def of(self, count: int) -> tuple[int, int]:
        """Return where this part of so many rows begins and ends."""
        share = count // self.size
        return self.rank * share, (self.rank + 1) * share

    def check(self, config: ModelConfig) -> None:
        """Refuse a number of parts that heads or widths cannot be divided by."""
        counts = {"num_attention_heads": config.heads, "num_key_value_heads": config.kv_heads}
        if config.experts is not None:
            counts["expert width"] = config.experts.width
        if not all(config.sparse_layers):
            counts["intermediate_size"] = config.width
        for name, count in counts.items():
            if count % self.size:
                raise CheckpointError(f"tensor_parallel_size {self.size} does not divide {name}, {count}")


WHOLE: Final = Part()
"""Everything: one process."""
