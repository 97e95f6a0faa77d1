"""What one accelerator is: memory, bandwidth, peaks, links, power, price, and how Kubernetes names it.

Facts only, from ``catalogue``; what they imply is computed in ``perf``.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSelector:
    """Node labels that identify an accelerator; a node matches when every key has one of its values."""

    labels: Mapping[str, tuple[str, ...]]

    def matches(self, node_labels: Mapping[str, str]) -> bool:
        """Return whether a node with these labels carries the accelerator."""
        return all(node_labels.get(key) in values for key, values in self.labels.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Where a catalogue row comes from: source, date (ISO) and status (``verified``, ``secondary``, ``recalled``)."""

    source: str
    date: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One accelerator as Kubernetes schedules it.

    Attributes
    ----------
    name
        Catalogue id, such as ``h100-sxm``; form factors are never collapsed.
    memory_bytes, bandwidth_bytes_per_s
        Device memory and its datasheet bandwidth.
    peak_flop_per_s
        Dense (not sparse) peak by compute format: ``bf16`` always, ``fp8``, ``int8``, ``fp4`` where there is hardware.
    scale_up_bytes_per_s, scale_up_domain
        One-directional link bandwidth of one accelerator inside the domain, and how many accelerators it joins.
    scale_out_bytes_per_s
        One-directional network bandwidth of one accelerator between domains.
    node_accelerators
        Most accelerators that one node has; a replica larger than this spans nodes.
    tdp_w, idle_w
        Board power at its limit and doing nothing.
    price_usd_per_s
        Default price of one accelerator, or None where none is known; users override it.
    resource_name
        Extended resource that a pod asks for.
    selectors
        Node label sets that identify it: device plugin, clouds, Karpenter. Pods are pinned by the first.
    fact
        Source of the row.
    """

    name: str
    vendor: str
    title: str
    memory_bytes: float
    bandwidth_bytes_per_s: float
    peak_flop_per_s: Mapping[str, float]
    scale_up_bytes_per_s: float
    scale_up_domain: int
    scale_out_bytes_per_s: float
    node_accelerators: int
    tdp_w: float
    idle_w: float
    price_usd_per_s: float | None
    resource_name: str
    selectors: tuple[NodeSelector, ...]
    fact: Fact

    def matches(self, node_labels: Mapping[str, str]) -> bool:
        """Return whether a node with these labels carries this accelerator."""
        return any(selector.matches(node_labels) for selector in self.selectors)
