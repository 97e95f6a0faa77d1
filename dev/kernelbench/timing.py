"""Times of CUDA graphs, and what a copy reaches on the same GPU."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Final

import torch
from torch import Tensor

REPLAYS: Final = 20
"""Replays of a graph; the median is taken."""
COPIED_BYTES: Final = 2 * 1024**3
"""Bytes of the copy that bandwidth is measured with: many times the caches."""


def replay_s(calls: Sequence[Callable[[], object]]) -> float:
    """Return the median time of a call [s], from replays of one graph of all calls."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for call in calls:  # compiles, and sizes work space
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for call in calls:
            call()
    graph.replay()
    torch.cuda.synchronize()
    times_s: list[float] = []
    for _ in range(REPLAYS):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        stop.record()
        torch.cuda.synchronize()
        times_s.append(float(start.elapsed_time(stop)) / 1000 / len(calls))
    return median(times_s)


def calls_s(calls: Sequence[Callable[[Tensor], object]], inputs: Tensor) -> float:
    """Return the median time of a call on the same inputs [s]."""
    return replay_s([partial(call, inputs) for call in calls])


def copy_bytes_per_s() -> float:
    """Return bytes read and written a second by a copy [bytes/s]."""
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / replay_s([lambda: target.copy_(source)])
