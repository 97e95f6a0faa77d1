"""Matrix products with packed weights: quantises what must be, picks a tile, launches."""

from dataclasses import dataclass, field

import torch
import triton
from torch import Tensor
from torch.nn import functional

from poolwright.engine.kernels.dispatch import Tile, splits_for, tile_for, uses_kernel
from poolwright.engine.kernels.packed import SPAN, Format, PackedWeight
from poolwright.engine.kernels.quantise import QuantisedInputs, quantised_inputs
from poolwright.engine.kernels.swap_ab import quantised_product


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Which expert computes which tokens, tile by tile.

    Attributes
    ----------
    slots
        (tiles * tile tokens) of int32: token * choices + choice, padded with tokens * choices.
    experts
        (tiles) of int32; -1: the tile is empty.
    choices
        Experts of each token.
    tile_tokens
        Tokens of a tile.
    """

    slots: Tensor
    experts: Tensor
    choices: int
    tile_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a product is launched: tile, parts of the inputs, and whether inline PTX may be used."""

    tile: Tile
    splits: int
    asm: bool = True


@dataclass(slots=True)
class Workspace:
    """Memory for the parts of split-K, grown when needed; one for each stream, since launches share it."""

    partial: dict[torch.device, Tensor] = field(default_factory=dict)
    counters: dict[torch.device, Tensor] = field(default_factory=dict)

    def take(self, device: torch.device, floats: int, tiles: int) -> tuple[Tensor, Tensor]:
        """Return at least so many floats, and as many counters at 0 as there are tiles."""
        partial, counters = self.partial.get(device), self.counters.get(device)
        if partial is None or partial.numel() < floats:
            partial = self.partial[device] = torch.empty(floats, dtype=torch.float32, device=device)
        if counters is None or counters.numel() < tiles:
            counters = self.counters[device] = torch.zeros(tiles, dtype=torch.int32, device=device)
        return partial, counters


def plan_for(weight: PackedWeight, tokens: int, *, processors: int, invariant: bool = False) -> Plan:
    """Return how a product of so many tokens is launched.

    ``invariant`` splits the inputs as for one token, whatever the batch: a token's sums are then always made in the
    same order, and its result does not depend on what else is in the batch.
    """
    tile = tile_for(weight.format, tokens)
    first = tile_for(weight.format, 1)
    splits = splits_for(
        first if invariant else tile,
        tokens=1 if invariant else tokens,
        outputs=weight.shape[0],
        spans=weight.spans,
        processors=processors,
    )
    return Plan(tile=tile, splits=splits)


def linear(
    inputs: Tensor, weight: PackedWeight, bias: Tensor | None, workspace: Workspace, *, invariant: bool = False
) -> Tensor:
    """Return inputs W^T + bias, (tokens, outputs), for (tokens, inputs) in float16 or bfloat16 on a GPU."""
    tokens = inputs.shape[0]
    if not invariant and not uses_kernel(weight.format, tokens):
        return functional.linear(inputs, weight.dequantised(inputs.dtype), bias)
    processors = torch.cuda.get_device_properties(inputs.device).multi_processor_count
    plan = plan_for(weight, tokens, processors=processors, invariant=invariant)
    return launched(inputs, weight, bias, plan, workspace)


def launched(
    inputs: Tensor,
    weight: PackedWeight,
    bias: Tensor | None,
    plan: Plan,
    workspace: Workspace,
    routes: Routes | None = None,
) -> Tensor:
    """Return the product as planned: (tokens, outputs), or with ``routes`` (tokens * choices, outputs)."""
    unit = SPAN if weight.group_size is None else min(SPAN, weight.group_size)
    given = (
        QuantisedInputs(values=inputs, scale=None, sums=None)
        if weight.format.has_wide_inputs
        else quantised_inputs(inputs, is_float8=weight.format is Format.W8A8_FP8, sum_size=unit)
    )
    tokens, (outputs, width), tile = inputs.shape[0], weight.shape, plan.tile
    slots = tokens if routes is None else tokens * routes.choices
    tiles_m = triton.cdiv(tokens, tile.tokens) if routes is None else routes.experts.shape[0]
    tiles_n = weight.padded_outputs // tile.outputs
    out = torch.empty((slots, outputs), dtype=inputs.dtype, device=inputs.device)
    partial, counters = out, out
    if plan.splits > 1:
        floats = tiles_m * tiles_n * plan.splits * tile.outputs * tile.tokens
        partial, counters = workspace.take(inputs.device, floats, tiles_m * tiles_n)
    quantised_product[(tiles_m, tiles_n, plan.splits)](
        given.values,
        weight.words,
        weight.scale,
        given.scale,
        given.sums,
        bias,
        out,
        partial,
        counters,
        None if routes is None else routes.slots,
        None if routes is None else routes.experts,
        tokens,
        outputs,
        width,
        weight.padded_outputs,
        weight.spans,
        int(weight.scale.shape[-2]),
        given.values.stride(0),
        0 if given.sums is None else given.sums.stride(0),
        kind=str(weight.format.value),
        parts=weight.format.parts,
        group_size=weight.group_size or 0,
        scale_type=weight.scale_type,
        has_bias=bias is not None,
        is_ragged=width % SPAN != 0,
        choices=0 if routes is None else routes.choices,
        block_n=tile.outputs,
        block_m=tile.tokens,
        splits=plan.splits,
        stages=tile.stages,
        asm=plan.asm,
        num_warps=tile.warps,
    )
    return out
