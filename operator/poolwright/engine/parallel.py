"""Several processes computing one model together: each holds some of the heads and some of each MLP's width.

The leader tells the others what each step computes and draws the tokens; partial sums are added up over
``torch.distributed`` twice a layer. Reference: Shoeybi et al., Megatron-LM, 2019, arXiv:1909.08053.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, distributed

from poolwright.engine.model.part import Part
from poolwright.engine.model.step import Chunk

IDLE: Final = timedelta(days=365)
"""How long a process waits for the next step: requests may be days apart; lost peers are noticed by their socket."""
EXIT_S: Final = 10.0
"""How long the leader waits for the others to end before it ends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A process's place among those that compute together.

    ``meeting`` is the file over which they found each other, ``others`` are the leader's child processes.
    """

    part: Part
    meeting: Path
    others: tuple["subprocess.Popen[bytes]", ...] = field(default=())

    def tell(self, chunks: Sequence[Chunk]) -> None:
        """Tell the others what to compute; nothing ends them.

        Raises
        ------
        RuntimeError
            One of them is gone; adding up with it would wait for ever.
        """
        lost = [other.pid for other in self.others if other.poll() is not None]
        if lost:
            raise RuntimeError(f"process {lost[0]} of the tensor-parallel team has ended")
        flat = torch.tensor(flattened(chunks), dtype=torch.int64)
        distributed.broadcast(torch.tensor([len(flat)]), src=0)
        if len(flat):
            distributed.broadcast(flat, src=0)

    def hear(self) -> list[Chunk]:
        """Return what the leader says is computed next; nothing at the end."""
        length = torch.zeros(1, dtype=torch.int64)
        distributed.broadcast(length, src=0)
        flat = torch.zeros(int(length), dtype=torch.int64)
        if len(flat):
            distributed.broadcast(flat, src=0)
        return unflattened(flat.tolist())

    def added(self, partial: Tensor) -> Tensor:
        """Return the sum of all processes' partial results, in place."""
        distributed.all_reduce(partial)
        return partial

    def close(self) -> None:
        """End the others and leave."""
        if not distributed.is_initialized():
            return
        if self.part.rank == 0 and all(other.poll() is None for other in self.others):
            self.tell([])
        for other in self.others:
            try:
                other.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                other.kill()
                other.wait()
        distributed.destroy_process_group()
        if self.part.rank == 0:
            shutil.rmtree(self.meeting.parent, ignore_errors=True)


def flattened(chunks: Sequence[Chunk]) -> list[int]:
    """Return chunks as numbers: start, number of tokens, number of blocks, tokens, blocks."""
    numbers: list[int] = []
    for chunk in chunks:
        numbers += (chunk.start, len(chunk.token_ids), len(chunk.blocks), *chunk.token_ids, *chunk.blocks)
    return numbers


def unflattened(numbers: Sequence[int]) -> list[Chunk]:
    """Return the chunks in numbers; they want no logits, because only the leader draws."""
    chunks, place = [], 0
    while place < len(numbers):
        start, tokens, blocks = numbers[place : place + 3]
        first = place + 3
        place = first + tokens + blocks
        chunks.append(
            Chunk(
                token_ids=numbers[first : first + tokens],
                start=start,
                blocks=numbers[first + tokens : place],
                wants_logits=False,
            )
        )
    return chunks


def lead(size: int, arguments: Sequence[str]) -> Team:
    """Start the other processes on this machine and return the leader's place.

    Parameters
    ----------
    size
        Number of processes, this one included.
    arguments
        Of ``python -m poolwright.engine.worker``, which gets rank, size and meeting point in front.
    """
    meeting = Path(tempfile.mkdtemp(prefix="poolwright-engine-")) / "meeting"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    others = tuple(
        subprocess.Popen(
            [sys.executable, "-m", "poolwright.engine.worker", str(rank), str(size), str(meeting), *arguments],
            env=environment,
        )
        for rank in range(1, size)
    )
    return joined(Part(rank=0, size=size), meeting, others)


def joined(part: Part, meeting: Path, others: tuple["subprocess.Popen[bytes]", ...] = ()) -> Team:
    """Meet the other processes of this machine and return this one's place among them."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=part.rank, world_size=part.size, timeout=IDLE
    )
    return Team(part=part, meeting=meeting, others=others)
