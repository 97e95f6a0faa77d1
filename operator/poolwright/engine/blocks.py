"""Blocks of KV cache: who holds which, and which full blocks of earlier prompts can be used again.

Counts and hashes only; the memory behind an id belongs to the runner. Law: free + used == total, always. A full block
is known by a hash chained over all tokens before it, and its own tokens are compared on a hit. A block that nobody
holds stays known until it is handed out again, oldest first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

Digest = bytes


def chained_digests(token_ids: Sequence[int], block_tokens: int) -> Iterator[tuple[Digest, tuple[int, ...]]]:
    """Yield (digest, tokens) of each full block; a digest covers every token up to its block's end."""
    digest = b""
    for start in range(0, len(token_ids) - block_tokens + 1, block_tokens):
        tokens = tuple(token_ids[start : start + block_tokens])
        content = digest + b"".join(token.to_bytes(8, "little") for token in tokens)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        yield digest, tokens


class BlockPool:
    """A fixed number of equal blocks.

    Parameters
    ----------
    total
        Number of blocks, at least 1.
    block_tokens
        Tokens that one block holds, at least 1.
    """

    def __init__(self, total: int, block_tokens: int) -> None:
        if total < 1 or block_tokens < 1:
            raise ValueError(f"total {total} and block_tokens {block_tokens} must be at least 1")
        self.total = total
        self.block_tokens = block_tokens
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(total))
        self._holders: dict[int, int] = {}
        self._known: dict[Digest, int] = {}
        self._content: dict[int, tuple[Digest, tuple[int, ...]]] = {}

    @property
    def free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._free)

    @property
    def used(self) -> int:
        """Blocks that somebody holds."""
        return len(self._holders)

    def blocks_for(self, tokens: int) -> int:
        """Return how many blocks hold this many tokens."""
        return -(-tokens // self.block_tokens)

    def take(self, count: int) -> list[int] | None:
        """Return ``count`` blocks, forgetting what the oldest free ones held; None when there are not enough."""
        if count > len(self._free):
            return None
        taken = []
        for _ in range(count):
            block, _ = self._free.popitem(last=False)
            self._forget(block)
            self._holders[block] = 1
            taken.append(block)
        return taken

    def give_back(self, blocks: Sequence[int]) -> None:
        """Let go of blocks; the end of a sequence is reused before its beginning, which others may share."""
        for block in reversed(blocks):
            holders = self._holders[block] - 1
            if holders:
                self._holders[block] = holders
            else:
                del self._holders[block]
                self._free[block] = None

    def reuse(self, token_ids: Sequence[int]) -> list[int]:
        """Return held blocks of the longest known prefix of full blocks, leaving at least one token to compute."""
        found: list[int] = []
        for digest, tokens in chained_digests(token_ids[: len(token_ids) - 1], self.block_tokens):
            block = self._known.get(digest)
            if block is None or self._content[block][1] != tokens:
                break
            found.append(block)
        for block in found:
            self._free.pop(block, None)
            self._holders[block] = self._holders.get(block, 0) + 1
        return found

    def remember(self, token_ids: Sequence[int], blocks: Sequence[int]) -> None:
        """Make the full blocks of a computed prompt known to later requests."""
        for block, (digest, tokens) in zip(blocks, chained_digests(token_ids, self.block_tokens), strict=False):
            if digest not in self._known:
                self._forget(block)
                self._known[digest] = block
                self._content[block] = (digest, tokens)

    def _forget(self, block: int) -> None:
        content = self._content.pop(block, None)
        if content is not None:
            del self._known[content[0]]
