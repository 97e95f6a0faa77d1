"""What one accelerator is: memory, bandwidth, peaks, links, power, price, and how Kubernetes names it.

Facts only, from ``catalogue``; what they imply is computed in ``perf``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSelector:
    """Node labels that identify an accelerator; a node matches when every key has one of its values.

    ``origin`` says who sets the labels (device plugin, a cloud, Karpenter), ``status`` whether the values were ``seen``
    in public clusters or documentation, or are ``unverified`` (formed by analogy).
    """

    labels: Mapping[str, tuple[str, ...]]
    origin: str = ""
    status: str = "unverified"

    def matches(self, node_labels: Mapping[str, str]) -> bool:
        """Return whether a node with these labels carries the accelerator; a selector without labels matches none."""
        return bool(self.labels) and all(node_labels.get(key) in values for key, values in self.labels.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Where a number comes from.

    ``date`` is ISO; ``status`` is ``verified`` (vendor or vendor's code), ``secondary`` (others' publications),
    ``recalled`` (from memory) or ``estimated`` (a default whose reason is the source).
    """

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
    scale_up_kind
        ``switch``, ``mesh``, ``torus``, ``bridge`` or ``pcie`` (peers of one node, through the host).
    scale_up_peer_bytes_per_s
        Most that one pair of peers gets; infinite behind a switch, where only the total binds.
    resource_units
        Units of ``resource_name`` that one accelerator counts as (an MI250 is two devices).
    ranks
        Parallel ranks that engines count in one accelerator (Neuron counts cores).
    price_fact, facts
        Source of the price, and of the fields whose source is not ``fact``.
    shares_labels_with
        Accelerators that some node labels cannot tell from this one; declared, never found out by accident.
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
    scale_up_kind: str = "switch"
    scale_up_peer_bytes_per_s: float = math.inf
    resource_units: int = 1
    ranks: int = 1
    price_fact: Fact | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    shares_labels_with: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def matches(self, node_labels: Mapping[str, str]) -> bool:
        """Return whether a node with these labels carries this accelerator."""
        return any(selector.matches(node_labels) for selector in self.selectors)

    def fact_of(self, field_name: str) -> Fact:
        """Return the source of one field: its own where it has one, otherwise the row's."""
        if field_name == "price_usd_per_s" and self.price_fact is not None:
            return self.price_fact
        return self.facts.get(field_name, self.fact)

    def group_bytes_per_s(self, accelerators: int) -> float:
        """Return the one-directional bandwidth [bytes/s] of one member of a group inside the scale-up domain.

        A switch gives a pair everything; in a mesh a pair has one link of many, so small groups get less than the sum.
        """
        return min(self.scale_up_bytes_per_s, max(accelerators - 1, 1) * self.scale_up_peer_bytes_per_s)
