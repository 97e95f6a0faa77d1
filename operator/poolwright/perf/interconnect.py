"""Collective operations as latency plus bytes over bandwidth, inside a scale-up domain and across domains.

Which collectives a layer needs is counted in ``work``. Equations (5.x) of docs/model.md.
"""

import math
from dataclasses import dataclass
from typing import Final

from poolwright.hardware.accelerator import Accelerator

SWITCH_LATENCY_S: Final = 7e-6
"""All-reduce of a small message between two accelerators behind a switch [s]: one-shot kernels over NVLink take 5-8 us
(vLLM's and TensorRT-LLM's custom all-reduce). Erring low makes tensor parallelism look too good."""

LATENCY_GROWTH_RATIO: Final = 0.415
"""Growth of that latency with group size: ``(ranks / 2) ** 0.415`` is 1.33 at 4 and 1.78 at 8 [1], between the one-shot
kernel's constant and a tree's logarithm; published small-message latencies at 8 are 10-13 us."""

KIND_LATENCY: Final = {"switch": 1.0, "bridge": 1.0, "mesh": 1.7, "torus": 1.7, "pcie": 3.0}
"""Latency relative to a switch by kind of link [1]: direct links need several peers, PCIe goes through the host."""

SCALE_OUT_LATENCY_S: Final = 25e-6
"""Further latency of a collective that leaves the domain [s]: an RDMA round over InfiniBand or RoCE with the proxy
thread takes 15-40 us. Erring low makes replicas across nodes look too good."""

LINK_RATIO: Final = 0.6
"""Share of a link's bandwidth that collectives reach [ratio]: NCCL's bus bandwidth on NVLink is 0.75-0.85 for messages
of hundreds of MB, 0.4-0.6 at the few MB of a layer. Erring high makes prefill with tensor parallelism look too fast."""

SCALE_OUT_RATIO: Final = 0.7
"""Share of a network port's bandwidth that collectives reach [ratio]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """One collective operation of a group: ``latency_s + bytes * s_per_byte``, bytes being one rank's message."""

    latency_s: float
    s_per_byte: float


NO_COLLECTIVE: Final = Collective(latency_s=0.0, s_per_byte=0.0)
"""What a group of one needs."""


def all_reduce(accelerator: Accelerator, ranks: int) -> Collective:
    """Return the cost of summing a message over ``ranks`` (ring: each rank sends ``2 (N-1)/N`` of it).

    Across domains the sum is hierarchical: inside each domain first, then between domains over the network.
    """
    if ranks <= 1:
        return NO_COLLECTIVE
    inside, domains = split(accelerator, ranks)
    latency_s, s_per_byte = 0.0, 0.0
    if inside > 1:
        latency_s += scale_up_latency_s(accelerator, inside)
        s_per_byte += 2.0 * (inside - 1) / inside / scale_up_rate(accelerator, inside)
    if domains > 1:
        latency_s += SCALE_OUT_LATENCY_S * math.log2(2 * domains)
        shard = 1.0 / max(inside, 1)
        s_per_byte += 2.0 * (domains - 1) / domains * shard / scale_out_rate(accelerator)
    return Collective(latency_s=latency_s, s_per_byte=s_per_byte)


def all_to_all(accelerator: Accelerator, ranks: int) -> Collective:
    """Return the cost of sending each peer its part of a message (a share ``(N-1)/N`` leaves the rank)."""
    if ranks <= 1:
        return NO_COLLECTIVE
    inside, domains = split(accelerator, ranks)
    near = (inside - 1) / ranks
    far = (ranks - inside) / ranks
    latency_s = scale_up_latency_s(accelerator, inside) if inside > 1 else 0.0
    s_per_byte = near / scale_up_rate(accelerator, inside) if inside > 1 else 0.0
    if domains > 1:
        latency_s += SCALE_OUT_LATENCY_S
        s_per_byte += far / scale_out_rate(accelerator)
    return Collective(latency_s=latency_s, s_per_byte=s_per_byte)


def hand_over(accelerator: Accelerator, group_ranks: int) -> Collective:
    """Return the cost of passing activations to the next stage of a pipeline, which may sit in another domain."""
    if 2 * group_ranks <= domain_ranks(accelerator):
        return Collective(
            latency_s=SWITCH_LATENCY_S * KIND_LATENCY[accelerator.scale_up_kind],
            s_per_byte=1.0 / scale_up_rate(accelerator, 2),
        )
    return Collective(latency_s=SCALE_OUT_LATENCY_S, s_per_byte=1.0 / scale_out_rate(accelerator))


def domain_ranks(accelerator: Accelerator) -> int:
    """Return how many ranks one scale-up domain joins."""
    return accelerator.scale_up_domain * accelerator.ranks


def split(accelerator: Accelerator, ranks: int) -> tuple[int, int]:
    """Return ranks inside one domain and the number of domains of a group."""
    inside = min(ranks, domain_ranks(accelerator))
    return inside, -(-ranks // inside)


def scale_up_latency_s(accelerator: Accelerator, ranks: int) -> float:
    """Return the latency [s] of a small collective inside a domain."""
    return SWITCH_LATENCY_S * KIND_LATENCY[accelerator.scale_up_kind] * float((ranks / 2.0) ** LATENCY_GROWTH_RATIO)


def scale_up_rate(accelerator: Accelerator, ranks: int) -> float:
    """Return the one-directional rate [bytes/s] of one rank inside a domain."""
    members = -(-ranks // accelerator.ranks)
    return LINK_RATIO * accelerator.group_bytes_per_s(max(members, 2)) / accelerator.ranks


def scale_out_rate(accelerator: Accelerator) -> float:
    """Return the one-directional rate [bytes/s] of one rank between domains."""
    return SCALE_OUT_RATIO * accelerator.scale_out_bytes_per_s / accelerator.ranks
