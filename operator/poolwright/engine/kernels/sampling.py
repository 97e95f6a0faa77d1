"""Draws a token from each row of logits on the device: the largest, or by temperature through Gumbel noise.

The largest of logits / temperature plus independent Gumbel noise is distributed as softmax (Gumbel, 1954), so that no
sum over the vocabulary is needed. Noise is a function of seed, step and token alone: the same request draws the same
tokens in any batch. Ties go to the smallest token.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096
"""Logits that a program compares: 32 for each thread of 4 warps."""


@triton.jit
def largest_of_block(
    logits_ptr,
    temperature_ptr,
    seed_ptr,
    step_ptr,
    value_ptr,
    index_ptr,
    vocabulary,
    stride,
    blocks,
    block: tl.constexpr,
):
    """Write the largest noisy logit of a block and its token; grid (rows, blocks). A temperature of 0 adds no noise."""
    row = tl.program_id(0)
    part = tl.program_id(1)
    tokens = part * block + tl.arange(0, block)
    inside = tokens < vocabulary
    logits = tl.load(logits_ptr + row.to(tl.int64) * stride + tokens, mask=inside, other=float("-inf")).to(tl.float32)
    temperature = tl.load(temperature_ptr + row)
    if temperature > 0:
        seed = tl.load(seed_ptr + row)
        step = tl.load(step_ptr + row)
        low, high, _, _ = tl.philox(seed, tokens, step, 0, 0)
        # Two draws of 32 bits: 23 of one and 24 of the other make a number in (0, 1) that reaches far into the tail.
        uniform = ((low >> 8).to(tl.float32) + ((high >> 9).to(tl.float32) + 0.5) * 1.1920929e-07) * 5.9604645e-08
        uniform = tl.minimum(uniform, 0.99999994)
        logits = tl.where(inside, logits / temperature - tl.log(-tl.log(uniform)), float("-inf"))
    value, index = tl.max(logits, 0, return_indices=True, return_indices_tie_break_left=True)
    tl.store(value_ptr + row * blocks + part, value)
    tl.store(index_ptr + row * blocks + part, part * block + index)


@triton.jit
def largest_of_row(value_ptr, index_ptr, out_ptr, blocks, width: tl.constexpr):
    """Write the token of the largest block; grid (rows)."""
    row = tl.program_id(0)
    places = tl.arange(0, width)
    inside = places < blocks
    value = tl.load(value_ptr + row * blocks + places, mask=inside, other=float("-inf"))
    best = tl.max(value, 0, return_indices=True, return_indices_tie_break_left=True)[1]
    tl.store(out_ptr + row, tl.load(index_ptr + row * blocks + best).to(tl.int64))


def drawn(logits: Tensor, temperatures: Tensor, seeds: Tensor, steps: Tensor) -> Tensor:
    """Return a token for each row, (rows) of int64.

    ``logits``: (rows, vocabulary) of any float type; ``temperatures``: (rows) of float32, 0 for the most likely token;
    ``seeds``: (rows) of int64 and ``steps``: (rows) of int32, which together say what noise a row gets.
    """
    rows, vocabulary = logits.shape
    blocks = triton.cdiv(vocabulary, BLOCK)
    values = torch.empty((rows, blocks), dtype=torch.float32, device=logits.device)
    indices = torch.empty((rows, blocks), dtype=torch.int32, device=logits.device)
    out = torch.empty(rows, dtype=torch.int64, device=logits.device)
    largest_of_block[(rows, blocks)](
        logits, temperatures, seeds, steps, values, indices, vocabulary, logits.stride(0), blocks, block=BLOCK
    )
    largest_of_row[(rows,)](values, indices, out, blocks, width=triton.next_power_of_2(blocks))
    return out
