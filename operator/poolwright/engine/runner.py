"""The only place that touches the device: holds model and cache, turns chunks of sequences into logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from poolwright.engine.kv_cache import KvCache
from poolwright.engine.model.decoder import Decoder, logits
from poolwright.engine.model.step import Chunk, step_of
from poolwright.engine.parallel import Team
from poolwright.engine.sampler import Draw, Drawn, drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A model with its cache on one device; ``team`` are the processes that compute it together, None: this one."""

    model: Decoder
    cache: KvCache
    device: torch.device
    team: Team | None = None

    def logits(self, chunks: Sequence[Chunk]) -> Tensor:
        """Compute the chunks and return logits after each that wants them, (wanting, vocabulary)."""
        with torch.inference_mode():
            step = step_of(chunks, self.cache.block_tokens, self.model.config.windows, self.device)
            return logits(self.model, self.cache, step)

    def step(self, chunks: Sequence[Chunk], draws: Sequence[Draw]) -> list[Drawn]:
        """Compute the chunks and draw a token after each that wants logits."""
        if self.team is not None:
            self.team.tell(chunks)
        rows = self.logits(chunks)
        if not draws:
            return []
        with torch.inference_mode():
            return drawn(rows, draws)

    def close(self) -> None:
        """Let go of other processes."""
        if self.team is not None:
            self.team.close()
