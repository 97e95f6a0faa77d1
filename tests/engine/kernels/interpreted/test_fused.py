import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from poolwright.engine.kernels.attention import PagedCache
from poolwright.engine.kernels.layer import HeadNorms, Turns, gated, normalised, rotated_and_cached
from poolwright.engine.kernels.quantise import quantised_inputs
from poolwright.engine.kernels.sampling import drawn

STEP = 2.0**-10
"""Two roundings to float16."""


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).half()


@given(tokens=st.integers(1, 4), width=st.integers(1, 300), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_a_norm_equals_float64(tokens: int, width: int, seed: int) -> None:
    inputs, weight = random(tokens, width, seed=seed), random(width, seed=seed + 1)
    wide = inputs.double()
    expected = wide / (wide.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    torch.testing.assert_close(normalised(inputs, weight, 1e-5).double(), expected, rtol=2 * STEP, atol=STEP)


def test_a_residual_takes_up_the_inputs_before_the_norm() -> None:
    inputs, residual, weight = random(3, 64), random(3, 64, seed=1), random(64, seed=2)
    total = inputs + residual
    expected = normalised(total, weight, 1e-6)
    actual = normalised(inputs, weight, 1e-6, residual)
    assert torch.equal(expected, actual)
    assert torch.equal(total, residual)


@given(tokens=st.integers(1, 3), width=st.integers(1, 1100))
@settings(max_examples=6, deadline=None)
def test_a_gate_equals_float64(tokens: int, width: int) -> None:
    inputs = random(tokens, 2 * width) * 4
    gate, up = inputs.double().chunk(2, dim=-1)
    expected = torch.nn.functional.silu(gate) * up
    torch.testing.assert_close(gated(inputs).double(), expected, rtol=STEP, atol=STEP)


def test_a_gate_far_from_zero_neither_overflows_nor_vanishes() -> None:
    inputs = torch.tensor([[-1000.0, 1000.0, 2.0, 3.0]]).half()
    assert [[0.0, 3000.0]] == gated(inputs).tolist()


def angles(positions: int, half: int) -> Turns:
    angle = torch.arange(positions)[:, None] * 10000.0 ** (-torch.arange(half) / half)
    return Turns(cosine=angle.cos(), sine=angle.sin())


def turned(heads: Tensor, turns: Turns, positions: Tensor) -> Tensor:
    """Return heads turned in float64."""
    cosine, sine = (table[positions][:, None].double() for table in (turns.cosine, turns.sine))
    first, second = heads.double().chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.int8, torch.float8_e4m3fn])
@pytest.mark.parametrize("head_dim", [32, 24])
def test_keys_are_turned_and_written_with_values_to_their_slots(dtype: torch.dtype, head_dim: int) -> None:
    heads, kv_heads, tokens = 4, 2, 3
    shape = 3, 16, kv_heads, head_dim
    is_wide = dtype == torch.float16
    scales = [None if is_wide else torch.zeros(shape[:3]) for _ in range(2)]
    cache = PagedCache(
        keys=torch.zeros(shape, dtype=dtype),
        values=torch.zeros(shape, dtype=dtype),
        key_scale=scales[0],
        value_scale=scales[1],
    )
    qkv = random(tokens, (heads + 2 * kv_heads) * head_dim)
    positions, slots = torch.tensor([5, 0, 9]), torch.tensor([37, 2, -1])
    turns = angles(16, head_dim // 2)
    query = rotated_and_cached(qkv, cache, turns, positions, slots)
    split = qkv.view(tokens, -1, head_dim).split([heads, kv_heads, kv_heads], dim=1)
    torch.testing.assert_close(query.double(), turned(split[0], turns, positions), rtol=STEP, atol=STEP)
    # 8 bits keep steps of 1/127, or 1/16 of a value (3 bits of mantissa), of a head whose values stay below 5.
    allowed = {torch.float16: STEP, torch.int8: 5 / 127, torch.float8_e4m3fn: 5 / 16}[dtype]
    for kept, scale, expected in (
        (cache.keys, cache.key_scale, turned(split[1], turns, positions)),
        (cache.values, cache.value_scale, split[2].double()),
    ):
        wide = kept.double() if scale is None else kept.double() * scale.double()[..., None]
        flat = wide.flatten(0, 1)
        torch.testing.assert_close(flat[[37, 2]], expected[:2], rtol=0.0, atol=allowed)
        untouched = [slot for slot in range(48) if slot not in {37, 2}]
        assert not flat[untouched].any()


def test_heads_of_queries_and_keys_are_normed_before_they_are_turned() -> None:
    cache = PagedCache(keys=torch.zeros(1, 16, 1, 32).half(), values=torch.zeros(1, 16, 1, 32).half())
    qkv, turns = random(2, 4 * 32), angles(16, 16)
    norms = HeadNorms(query=random(32, seed=1), key=random(32, seed=2), epsilon=1e-6)
    positions = torch.tensor([3, 4])
    query = rotated_and_cached(qkv, cache, turns, positions, torch.tensor([0, 1]), norms)
    heads = qkv.view(2, 4, 32).double()
    normed = heads / (heads.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    expected = turned(normed[:, :2] * norms.query.double(), turns, positions)
    torch.testing.assert_close(query.double(), expected, rtol=STEP, atol=STEP)
    expected = turned(normed[:, 2:3] * norms.key.double(), turns, positions)
    torch.testing.assert_close(cache.keys[0, :2].double(), expected, rtol=STEP, atol=STEP)
    assert torch.equal(qkv.view(2, 4, 32)[:, 3:], cache.values[0, :2])


@pytest.mark.parametrize("is_float8", [False, True], ids=["int8", "float8"])
def test_activations_are_quantised_to_the_nearest_step_of_their_token(is_float8: bool) -> None:  # noqa: FBT001
    inputs = random(3, 1500) * torch.tensor([[1.0], [100.0], [0.0]]).half()
    quantised = quantised_inputs(inputs, is_float8=is_float8)
    assert quantised.scale is not None
    back = quantised.values.double() * quantised.scale.double()[:, None]
    most = inputs.double().abs().amax(1, keepdim=True)
    allowed = most / 28 if is_float8 else most / 254 + 1e-6  # half a step: 32 of 448 between 416 and 448, or 1 of 127
    assert bool(((back - inputs.double()).abs() <= allowed).all())
    assert [0.0] == quantised.values[2].float().unique().tolist()
    exact = inputs.float() / quantised.scale[:, None]
    expected = exact.to(torch.float8_e4m3fn) if is_float8 else exact.round().to(torch.int8)
    assert torch.equal(expected.float(), quantised.values.float())


def test_sums_of_quantised_groups_are_exact() -> None:
    quantised = quantised_inputs(random(2, 300), is_float8=False, sum_size=64)
    padded = torch.nn.functional.pad(quantised.values.to(torch.int32), (0, 20)).view(2, 5, 64)
    assert torch.equal(padded.sum(-1, dtype=torch.int32), quantised.sums)


def drawn_at(logits: Tensor, temperature: float, seed: int = 0, step: int = 0) -> list[int]:
    rows = logits.shape[0]
    return drawn(
        logits,
        torch.full((rows,), temperature),
        torch.full((rows,), seed, dtype=torch.int64),
        torch.full((rows,), step, dtype=torch.int32),
    ).tolist()


def test_a_temperature_of_0_takes_the_largest_logit_and_the_first_of_equals() -> None:
    logits = random(3, 5000).float()
    logits[1, [7, 4500]] = 50.0
    assert [int(logits[0].argmax()), 7, int(logits[2].argmax())] == drawn_at(logits, 0.0)


def test_draws_follow_the_softmax_of_the_logits_over_the_temperature() -> None:
    # Probabilities 0.6, 0.3, 0.1 at temperature 2; 600 draws at a standard deviation of at most 0.02 each.
    logits = 2 * torch.tensor([0.6, 0.3, 0.1]).log()
    rows = 600
    tokens = drawn(
        logits.expand(rows, 3).contiguous(),
        torch.full((rows,), 2.0),
        torch.arange(rows, dtype=torch.int64),
        torch.zeros(rows, dtype=torch.int32),
    )
    shares = torch.bincount(tokens, minlength=3) / rows
    torch.testing.assert_close(torch.tensor([0.6, 0.3, 0.1]), shares, rtol=0.0, atol=0.08)


def test_a_row_draws_the_same_token_in_any_batch_and_another_at_another_step() -> None:
    logits = random(4, 400).float() * 0.01
    together = drawn_at(logits, 1.0, seed=3)
    assert together[2:3] == drawn_at(logits[2:3].contiguous(), 1.0, seed=3)
    steps = {drawn_at(logits[:1].contiguous(), 1.0, seed=3, step=step)[0] for step in range(8)}
    assert len(steps) > 1
