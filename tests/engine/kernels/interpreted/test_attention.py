import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from poolwright.engine.kernels import attention
from poolwright.engine.kernels.attention import Batch, PagedCache, attended

BLOCK_TOKENS = 16


def cache_of(blocks: int, kv_heads: int, head_dim: int, dtype: torch.dtype) -> PagedCache:
    draw = torch.Generator().manual_seed(7)
    shape = blocks, BLOCK_TOKENS, kv_heads, head_dim
    keys, values = (torch.randn(shape, generator=draw) for _ in range(2))
    if dtype == torch.float16:
        return PagedCache(keys=keys.half(), values=values.half())
    scales = [(torch.rand(shape[:3], generator=draw) + 0.5) / 50 for _ in range(2)]
    if dtype == torch.int8:
        keys, values = ((x * 40).round().clamp(-127, 127).to(torch.int8) for x in (keys, values))
    else:
        keys, values = ((x * 40).to(dtype) for x in (keys, values))
    return PagedCache(keys=keys, values=values, key_scale=scales[0], value_scale=scales[1])


def batch_of(queries: list[int], contexts: list[int]) -> Batch:
    """Return sequences whose blocks lie about in the cache in reverse."""
    starts = torch.tensor([0, *torch.tensor(queries).cumsum(0).tolist()], dtype=torch.int32)
    blocks = [-(-context // BLOCK_TOKENS) for context in contexts]
    free = iter(reversed(range(sum(blocks))))
    table = torch.zeros(len(contexts), max(blocks), dtype=torch.int32)
    for row, count in enumerate(blocks):
        table[row, :count] = torch.tensor([next(free) for _ in range(count)], dtype=torch.int32)
    return Batch(
        starts=starts,
        contexts=torch.tensor(contexts, dtype=torch.int32),
        table=table,
        most_queries=max(queries),
        most_context=max(contexts),
    )


def reference(query: Tensor, cache: PagedCache, batch: Batch, window: int | None) -> Tensor:
    """Return attention in float64, a sequence at a time."""
    keys, values = cache.keys.double(), cache.values.double()
    if cache.key_scale is not None and cache.value_scale is not None:
        keys, values = keys * cache.key_scale[..., None], values * cache.value_scale[..., None]
    output = torch.empty(query.shape, dtype=torch.float64)
    for row, context in enumerate(batch.contexts.tolist()):
        first, last = batch.starts[row : row + 2].tolist()
        pages = batch.table[row].long()
        key, value = (x[pages].flatten(0, 1)[:context] for x in (keys, values))  # (context, kv_heads, head_dim)
        group = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(group, dim=1) for x in (key, value))  # (context, heads, head_dim)
        logits = torch.einsum("qhd,khd->hqk", query[first:last].double(), key) / math.sqrt(query.shape[2])
        place = torch.arange(context - (last - first), context)[:, None]
        seen = torch.arange(context)[None] <= place
        if window is not None:
            seen &= torch.arange(context)[None] > place - window
        weight = logits.masked_fill(~seen, -math.inf).softmax(-1)
        output[first:last] = torch.einsum("hqk,khd->qhd", weight, value)
    return output


def check(
    queries: list[int],
    contexts: list[int],
    *,
    heads: tuple[int, int] = (4, 2),
    head_dim: int = 32,
    dtype: torch.dtype = torch.float16,
    window: int | None = None,
) -> None:
    batch = batch_of(queries, contexts)
    cache = cache_of(int(batch.table.max()) + 1, heads[1], head_dim, dtype)
    query = torch.randn(sum(queries), heads[0], head_dim, generator=torch.Generator().manual_seed(3)).half()
    actual = attended(query, cache, batch, window=window, asm=False)
    # Weights and outputs are rounded to float16 once each: 2 * 2**-11 of values of magnitude about 2.
    torch.testing.assert_close(actual.double(), reference(query, cache, batch, window), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.int8, torch.float8_e4m3fn])
def test_decoding_reads_each_sequence_through_its_own_table(dtype: torch.dtype) -> None:
    check([1, 1, 1], [1, 40, 100], dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.int8])
def test_ranges_of_a_long_context_are_joined(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "SPLIT_TOKENS", 64)
    check([1, 1], [200, 30], dtype=dtype)


def test_drafts_see_one_another_only_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "SPLIT_TOKENS", 64)
    check([6, 6], [130, 6])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float8_e4m3fn])
def test_prompts_and_chunks_of_prompts_share_a_launch(dtype: torch.dtype) -> None:
    check([50, 1, 70], [50, 33, 100], dtype=dtype)


def test_groups_and_widths_that_are_no_powers_of_two_are_masked() -> None:
    check([2, 1], [40, 17], heads=(6, 2), head_dim=24)


@pytest.mark.parametrize("queries", [[1, 1], [60, 40]], ids=["decode", "prompt"])
def test_a_window_hides_what_is_far_back(queries: list[int]) -> None:
    check(queries, [90, 45], window=20)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 120)), min_size=1, max_size=3),
    heads=st.sampled_from([(1, 1), (4, 1), (6, 3)]),
    dtype=st.sampled_from([torch.float16, torch.int8, torch.float8_e4m3fn]),
)
@settings(max_examples=10, deadline=None)
def test_any_batch_attends_as_in_float64(
    lengths: list[tuple[int, int]], heads: tuple[int, int], dtype: torch.dtype
) -> None:
    queries = [queries for queries, _ in lengths]
    check(queries, [queries + before for queries, before in lengths], heads=heads, dtype=dtype)


def test_a_sequence_has_the_same_bytes_in_any_batch() -> None:
    batch = batch_of([1, 1], [100, 40])
    cache = cache_of(int(batch.table.max()) + 1, 2, 32, torch.float16)
    query = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(0)).half()
    alone = Batch(
        starts=torch.tensor([0, 1], dtype=torch.int32),
        contexts=batch.contexts[1:],
        table=batch.table[1:],
        most_queries=1,
        most_context=40,
    )
    assert torch.equal(attended(query, cache, batch, asm=False)[1:], attended(query[1:], cache, alone, asm=False))
