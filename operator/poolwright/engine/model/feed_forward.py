"""The MLP of a layer: SwiGLU, dense or as routed experts."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from poolwright.engine.model.linear import Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseMlp:
    """SwiGLU; ``gate_up`` computes gate and up side by side."""

    gate_up: Linear
    down: Linear

    @property
    def bytes(self) -> int:
        """Memory of its weights."""
        return self.gate_up.bytes + self.down.bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseMlp:
    """Experts, of which each token visits the ``per_token`` most probable ones.

    ``router`` has shape (experts, hidden); ``normalises`` scales the chosen probabilities to sum to one.
    """

    router: Tensor
    experts: tuple[DenseMlp, ...]
    per_token: int
    normalises: bool

    @property
    def bytes(self) -> int:
        """Memory of all experts and the router."""
        return int(self.router.nbytes) + sum(expert.bytes for expert in self.experts)


def fed_forward(mlp: DenseMlp | SparseMlp, hidden: Tensor) -> Tensor:
    """Return an MLP's output, (tokens, hidden) in and out."""
    return _routed(mlp, hidden) if isinstance(mlp, SparseMlp) else _swiglu(mlp, hidden)


def _swiglu(mlp: DenseMlp, hidden: Tensor) -> Tensor:
    gate, up = mlp.gate_up(hidden).chunk(2, dim=-1)  # (tokens, width)
    return mlp.down(functional.silu(gate) * up)


def _routed(mlp: SparseMlp, hidden: Tensor) -> Tensor:
    """Return the weighted sum of each token's experts; probabilities are computed in float32."""
    probabilities = functional.linear(hidden, mlp.router).to(torch.float32).softmax(dim=-1)  # (tokens, experts)
    weights, chosen = probabilities.topk(mlp.per_token, dim=-1)  # (tokens, per_token)
    if mlp.normalises:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    output = torch.zeros_like(hidden)
    for expert in chosen.unique().tolist():
        tokens, place = torch.where(chosen == expert)  # (visits)
        part = _swiglu(mlp.experts[expert], hidden[tokens]) * weights[tokens, place, None].to(hidden.dtype)
        output.index_add_(0, tokens, part)
    return output
