"""Small unsigned numbers packed into 32-bit words, lowest bits first."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

WORD_BITS: Final = 32
SUPPORTED_BITS: Final = (4, 8)


def unpacked(words: Tensor, bits: int, dim: int, order: Sequence[int] | None = None) -> Tensor:
    """Return the numbers in int32 words as uint8, one word after another along ``dim``.

    Parameters
    ----------
    words
        (rows, columns) of int32.
    bits
        Of one number, 4 or 8.
    dim
        0: a word holds numbers of one column, 1: of one row.
    order
        In which of the numbers that follow one another each place of a word is, lowest bits first; None: in order.
    """
    count = WORD_BITS // bits
    shifts = torch.arange(0, WORD_BITS, bits, dtype=torch.int32)
    if order is not None:
        shifts = shifts[torch.tensor(order).argsort()]
    numbers = (words.unsqueeze(-1) >> shifts) & ((1 << bits) - 1)  # (rows, columns, count)
    rows, columns = words.shape
    numbers = numbers.to(torch.uint8)
    if dim == 1:
        return numbers.reshape(rows, columns * count)
    return numbers.transpose(1, 2).reshape(rows * count, columns)
