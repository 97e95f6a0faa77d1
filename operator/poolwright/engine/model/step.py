"""One step as tensors: which tokens, at which positions, where their keys and values go, and who attends to what.

Sequences that compute as many tokens over about as long a context are attended together: contexts are padded to a
power of two of blocks, so at most half of what is read is padding.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Tokens of one sequence to compute in a step.

    Attributes
    ----------
    token_ids
        The tokens, at least one.
    start
        Position of the first: so many tokens of the sequence are in the cache.
    blocks
        Ids of the blocks that hold the sequence, these tokens included.
    wants_logits
        Whether a token is drawn after the last of these.
    """

    token_ids: Sequence[int]
    start: int
    blocks: Sequence[int]
    wants_logits: bool = True

    @property
    def stop(self) -> int:
        """Length of the sequence after the step."""
        return self.start + len(self.token_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionGroup:
    """Sequences that are attended together, all with ``queries`` tokens in this step.

    Attributes
    ----------
    queries
        Tokens of each sequence.
    tokens
        (sequences * queries): places of their tokens in the batch.
    blocks
        (sequences, blocks): where their keys and values are, padded with block 0.
    masks
        For each window of the model (None: all tokens), (sequences, 1, queries, blocks * block_tokens): whether a
        query sees a place.
    is_fresh
        Whether it is one sequence with nothing in the cache before: its keys and values are those of the step.
    """

    queries: int
    tokens: Tensor
    blocks: Tensor
    masks: Mapping[int | None, Tensor]
    is_fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A flat batch of tokens.

    ``token_ids``, ``positions`` and ``slots`` have shape (tokens); ``last`` has the place of the last token of each
    chunk that wants logits.
    """

    token_ids: Tensor
    positions: Tensor
    slots: Tensor
    last: Tensor
    groups: tuple[AttentionGroup, ...]


def step_of(chunks: Sequence[Chunk], block_tokens: int, windows: Iterable[int | None], device: torch.device) -> Step:
    """Return the tensors of a step.

    Parameters
    ----------
    chunks
        What each sequence computes.
    block_tokens
        Tokens of one block.
    windows
        Every window that a layer of the model has.
    device
        Where the tensors are needed.
    """
    token_ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    last: list[int] = []
    grouped: dict[tuple[int, int], list[tuple[int, Chunk]]] = {}
    for chunk in chunks:
        grouped.setdefault(_group_key(chunk, block_tokens), []).append((len(token_ids), chunk))
        token_ids += chunk.token_ids
        positions += range(chunk.start, chunk.stop)
        slots += (
            chunk.blocks[place // block_tokens] * block_tokens + place % block_tokens
            for place in range(chunk.start, chunk.stop)
        )
        if chunk.wants_logits:
            last.append(len(token_ids) - 1)
    distinct = tuple(dict.fromkeys(windows))
    return Step(
        token_ids=torch.tensor(token_ids, device=device),
        positions=torch.tensor(positions, device=device),
        slots=torch.tensor(slots, device=device),
        last=torch.tensor(last, dtype=torch.int64, device=device),
        groups=tuple(_group(rows, width, block_tokens, distinct, device) for (_, width), rows in grouped.items()),
    )


def _group_key(chunk: Chunk, block_tokens: int) -> tuple[int, int]:
    """Return tokens of the step and padded number of blocks; a prompt's chunk is padded to its own length only."""
    blocks = -(-chunk.stop // block_tokens)
    queries = len(chunk.token_ids)
    return queries, blocks if queries > block_tokens else 1 << (blocks - 1).bit_length()


def _group(
    rows: Sequence[tuple[int, Chunk]],
    width: int,
    block_tokens: int,
    windows: Sequence[int | None],
    device: torch.device,
) -> AttentionGroup:
    """Return one group of sequences, given with the place of their first token in the batch."""
    queries = len(rows[0][1].token_ids)
    longest = max(-(-chunk.stop // block_tokens) for _, chunk in rows)
    width = min(width, longest)
    tables = [(*chunk.blocks[:width], *[0] * (width - len(chunk.blocks))) for _, chunk in rows]
    starts = torch.tensor([chunk.start for _, chunk in rows])
    seen = (starts[:, None] + torch.arange(queries))[:, None, :, None]  # (sequences, 1, queries, 1)
    places = torch.arange(width * block_tokens)
    masks = {}
    for window in windows:
        mask = places <= seen  # (sequences, 1, queries, places)
        masks[window] = (mask if window is None else mask & (places > seen - window)).to(device)
    firsts = torch.tensor([first for first, _ in rows])
    return AttentionGroup(
        queries=queries,
        tokens=(firsts[:, None] + torch.arange(queries)).flatten().to(device),
        blocks=torch.tensor(tables, device=device),
        masks=masks,
        is_fresh=len(rows) == 1 and rows[0][1].start == 0 and queries > 1,
    )
