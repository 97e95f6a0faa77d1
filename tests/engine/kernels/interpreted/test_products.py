from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from poolwright.engine.kernels.dispatch import Tile
from poolwright.engine.kernels.packed import Format, PackedWeight, pack, stacked_experts
from poolwright.engine.kernels.product import Plan, Routes, Workspace, launched
from poolwright.engine.kernels.quantise import quantised_inputs

HALF_STEP = 2.0**-11
"""Relative rounding of one float16, which is all that may differ: sums are made in float32."""
SMALL = Tile(outputs=64, tokens=16, warps=4, stages=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    kind: Format
    tokens: int = 1
    outputs: int = 64
    inputs: int = 256
    group_size: int | None = None
    has_zero: bool = False
    splits: int = 1
    has_bias: bool = False
    seed: int = 0


def matrix(case: Case, seed: int) -> PackedWeight:
    draw = torch.Generator().manual_seed(seed)
    shape = case.outputs, case.inputs
    groups = 1 if case.group_size is None else -(-case.inputs // case.group_size)
    if case.kind.bits == 4:
        values = torch.randint(0, 16, shape, generator=draw)
    elif case.kind.has_float8:
        values = torch.randn(shape, generator=draw).to(torch.float8_e4m3fn)
    else:
        values = torch.randint(-128, 128, shape, generator=draw).to(torch.int8)
    scale = ((torch.rand(case.outputs, groups, generator=draw) + 0.5) * 0.01).half()
    zero = torch.randint(0, 17, (case.outputs, groups), generator=draw) if case.has_zero else None
    return pack(values, scale, zero, kind=case.kind, group_size=case.group_size)


def tokens(case: Case) -> Tensor:
    return torch.randn(case.tokens, case.inputs, generator=torch.Generator().manual_seed(case.seed + 1)).half()


def seen(inputs: Tensor, kind: Format) -> Tensor:
    """Return activations as the product reads them, in float64."""
    if kind.has_wide_inputs:
        return inputs.double()
    quantised = quantised_inputs(inputs, is_float8=kind is Format.W8A8_FP8)
    assert quantised.scale is not None
    return quantised.values.double() * quantised.scale.double()[:, None]


def check(case: Case) -> None:
    weight, inputs = matrix(case, case.seed), tokens(case)
    bias = torch.linspace(-1, 1, case.outputs).half() if case.has_bias else None
    plan = Plan(tile=SMALL, splits=case.splits, asm=False)
    actual = launched(inputs, weight, bias, plan, Workspace())
    expected = seen(inputs, case.kind) @ weight.dequantised(torch.float64).T
    if bias is not None:
        expected = expected + bias.double()
    allowed = HALF_STEP * float(expected.abs().max())
    torch.testing.assert_close(actual.double(), expected, rtol=HALF_STEP, atol=allowed)


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("splits", [1, 2], ids=["whole", "split"])
def test_a_product_equals_the_float64_product_of_the_same_values(kind: Format, splits: int) -> None:
    group_size = 128 if kind.bits == 4 else None
    check(Case(kind=kind, tokens=3, outputs=130, group_size=group_size, splits=splits, has_bias=True))


@pytest.mark.parametrize("kind", list(Format))
def test_edges_that_no_tile_divides_are_masked(kind: Format) -> None:
    group_size = 128 if kind.bits == 4 else None
    check(Case(kind=kind, tokens=17, outputs=70, inputs=300, group_size=group_size, splits=2))


@pytest.mark.parametrize("kind", [Format.W4A16, Format.W4A8_INT8])
@pytest.mark.parametrize("group_size", [None, 64, 128, 256])
def test_zeros_of_every_group_are_subtracted(kind: Format, group_size: int | None) -> None:
    check(Case(kind=kind, tokens=2, inputs=512, group_size=group_size, has_zero=True, splits=2))


def test_groups_of_32_inputs_each_have_their_scale_and_zero() -> None:
    check(Case(kind=Format.W4A16, tokens=2, group_size=32, has_zero=True))


@pytest.mark.parametrize("kind", [Format.W8A16_INT8, Format.W8A16_FP8, Format.W8A8_INT8, Format.W8A8_FP8])
def test_8_bit_blocks_of_inputs_have_their_own_scales(kind: Format) -> None:
    check(Case(kind=kind, tokens=2, inputs=512, group_size=128))


@given(
    kind=st.sampled_from(Format),
    tokens=st.integers(1, 33),
    outputs=st.integers(1, 140),
    inputs=st.integers(1, 400),
    splits=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_any_shape_gives_the_float64_product(
    kind: Format, tokens: int, outputs: int, inputs: int, splits: int, seed: int
) -> None:
    group_size = 128 if kind.bits == 4 else None
    check(
        Case(kind=kind, tokens=tokens, outputs=outputs, inputs=inputs, group_size=group_size, splits=splits, seed=seed)
    )


def test_the_counters_of_split_k_are_ready_for_the_next_launch() -> None:
    case = Case(kind=Format.W4A16, group_size=128, inputs=512)
    weight, inputs, workspace = matrix(case, 0), tokens(case), Workspace()
    plan = Plan(tile=SMALL, splits=4, asm=False)
    first = launched(inputs, weight, None, plan, workspace)
    assert torch.equal(first, launched(inputs, weight, None, plan, workspace))
    assert [0, 0] == [int(counters.abs().sum()) for counters in [*workspace.counters.values()] * 2]


def test_a_token_has_the_same_bytes_in_any_batch_where_splits_are_the_same() -> None:
    case = Case(kind=Format.W4A16, tokens=5, group_size=128, inputs=512)
    weight, inputs = matrix(case, 0), tokens(case)
    plan = Plan(tile=SMALL, splits=2, asm=False)
    together = launched(inputs, weight, None, plan, Workspace())
    alone = launched(inputs[3:4], weight, None, plan, Workspace())
    assert torch.equal(together[3:4], alone)


@pytest.mark.parametrize("kind", [Format.W4A16, Format.W8A8_INT8])
def test_each_expert_computes_the_tokens_that_chose_it(kind: Format) -> None:
    # 3 tokens choose 2 of 3 experts: slots 0..5 are (token, choice); expert 1 is chosen by nobody.
    case = Case(kind=kind, tokens=3, outputs=70, group_size=128 if kind.bits == 4 else None)
    experts = [matrix(case, seed) for seed in range(3)]
    inputs, nobody = tokens(case), 6
    by_expert = {0: [0, 3, 4], 2: [1, 2, 5]}
    slots = torch.full((3 * 16,), nobody, dtype=torch.int32)
    for tile, chosen in enumerate(by_expert.values()):
        slots[tile * 16 : tile * 16 + 3] = torch.tensor(chosen, dtype=torch.int32)
    tiles = torch.tensor([0, 2, -1], dtype=torch.int32)
    routes = Routes(slots=slots, experts=tiles, choices=2, tile_tokens=16)
    plan = Plan(tile=SMALL, splits=2, asm=False)
    actual = launched(inputs, stacked_experts(experts), None, plan, Workspace(), routes)
    wide = seen(inputs, kind)
    for expert, chosen in by_expert.items():
        expected = wide[[slot // 2 for slot in chosen]] @ experts[expert].dequantised(torch.float64).T
        allowed = HALF_STEP * float(expected.abs().max())
        torch.testing.assert_close(actual[chosen].double(), expected, rtol=HALF_STEP, atol=allowed)
