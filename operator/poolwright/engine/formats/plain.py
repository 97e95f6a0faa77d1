"""Weights that are not quantised."""

from dataclasses import dataclass

from torch import Tensor

from poolwright.engine.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """One tensor ``weight`` a layer."""

    def weight(self, checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> Tensor:
        """Return the matrix of a layer, (outputs, inputs)."""
        return checkpoint.tensor(f"{prefix}.weight", shape)
