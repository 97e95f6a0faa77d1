"""Turns rows of the accelerator catalogue into ``Accelerator`` values: units converted, every field checked.

Rows live in ``data/accelerators``, their sources in ``data/sources/sources.yaml``; ``catalogue`` puts both together.
"""

import math
from collections.abc import Mapping
from typing import Final

from poolwright.hardware.accelerator import Accelerator, Fact, NodeSelector
from poolwright.hardware.catalogue_fields import Fields
from poolwright.units import BYTES_PER_GB, BYTES_PER_MIB, FLOP_PER_TFLOP, usd_per_s_from_usd_per_h

IDLE_POWER_RATIO: Final = 0.15
"""Idle power over TDP [ratio] where no measurement is known: between an H200 that is empty (74 W of 700 W) and one
that holds a loaded engine (122 W of 700 W), as nvidia-smi prints them in public logs; B200, 145 W of 1000 W, agrees.
Erring low understates the cost of spare replicas."""

ESTIMATED_IDLE: Final = Fact(
    source=f"default: {IDLE_POWER_RATIO} of the TDP, from nvidia-smi logs of idle H200 and B200",
    date="2026-08-21",
    status="estimated",
)
"""Source of ``idle_w`` where a row has none."""

COMPUTE_FORMATS: Final = ("bf16", "fp8", "int8", "fp4")
"""Keys of ``dense_tflop_per_s``; ``bf16`` is needed (on Turing it is fp16, which has no bf16)."""

_STATUSES: Final = ("verified", "secondary", "recalled", "estimated")
_LABEL_STATUSES: Final = ("seen", "unverified")
_KINDS: Final = ("switch", "mesh", "torus", "bridge", "pcie")
_FACT_FIELDS: Final = {
    "memory_mib": "memory_bytes",
    "bandwidth_gb_per_s": "bandwidth_bytes_per_s",
    "dense_tflop_per_s": "peak_flop_per_s",
    "scale_up": "scale_up_bytes_per_s",
    "scale_out_gb_per_s": "scale_out_bytes_per_s",
    "node_accelerators": "node_accelerators",
    "tdp_w": "tdp_w",
    "idle_w": "idle_w",
}
_KNOWN: Final = (
    *_FACT_FIELDS,
    *("title", "aliases", "vendor", "resource", "resource_units", "ranks", "price", "source", "sources", "selectors"),
    *("shares_labels_with", "notes"),
)


def fact_from(fields: Fields) -> Fact:
    """Return one entry of the table of sources."""
    fields.only(("source", "date", "status"))
    return Fact(source=fields.text("source"), date=fields.text("date"), status=fields.choice("status", _STATUSES))


def accelerator_from(name: str, row: Fields, sources: Mapping[str, Fact]) -> Accelerator:
    """Return the accelerator that a catalogue row describes.

    Raises
    ------
    FieldError
        A field is missing, unknown, not finite or out of range; the message names entry, field, value and remedy.
    """
    row.only(_KNOWN)
    links = row.section("scale_up")
    links.only(("kind", "gb_per_s", "peer_gb_per_s", "domain"))
    tdp_w = row.number("tdp_w")
    price_usd_per_s, price_fact = _price(row, sources)
    return Accelerator(
        name=name,
        vendor=row.text("vendor"),
        title=row.text("title"),
        memory_bytes=row.number("memory_mib") * BYTES_PER_MIB,
        bandwidth_bytes_per_s=row.number("bandwidth_gb_per_s") * BYTES_PER_GB,
        peak_flop_per_s=_peaks(row),
        scale_up_kind=links.choice("kind", _KINDS),
        scale_up_bytes_per_s=links.number("gb_per_s") * BYTES_PER_GB,
        scale_up_peer_bytes_per_s=_peer_bytes_per_s(links),
        scale_up_domain=links.count("domain"),
        scale_out_bytes_per_s=row.number("scale_out_gb_per_s") * BYTES_PER_GB,
        node_accelerators=row.count("node_accelerators"),
        tdp_w=tdp_w,
        idle_w=_idle_w(row, tdp_w),
        price_usd_per_s=price_usd_per_s,
        price_fact=price_fact,
        resource_name=row.text("resource"),
        resource_units=row.count("resource_units", 1),
        ranks=row.count("ranks", 1),
        selectors=tuple(_selector(each) for each in row.sections("selectors")),
        shares_labels_with=row.texts("shares_labels_with"),
        fact=_source(row, "source", sources),
        facts=_facts(row, sources),
        notes=row.texts("notes"),
    )


def _source(fields: Fields, name: str, sources: Mapping[str, Fact]) -> Fact:
    """Return the source that a field names by its key in the table of sources."""
    key = fields.text(name)
    if key not in sources:
        raise fields.refuse(name, key, f"one of {', '.join(sorted(sources))} is needed")
    return sources[key]


def _peaks(row: Fields) -> dict[str, float]:
    """Return dense peaks [flop/s] by compute format."""
    peaks = row.section("dense_tflop_per_s")
    peaks.only(COMPUTE_FORMATS)
    formats = {"bf16", *peaks.values}
    return {each: peaks.number(each) * FLOP_PER_TFLOP for each in COMPUTE_FORMATS if each in formats}


def _peer_bytes_per_s(links: Fields) -> float:
    """Return what one pair gets [bytes/s]: infinite where the row names no limit."""
    return links.number("peer_gb_per_s") * BYTES_PER_GB if "peer_gb_per_s" in links.values else math.inf


def _idle_w(row: Fields, tdp_w: float) -> float:
    """Return idle power [W], at most the TDP."""
    idle_w = row.number("idle_w", IDLE_POWER_RATIO * tdp_w)
    if idle_w > tdp_w:
        raise row.refuse("idle_w", idle_w, f"at most the TDP of {tdp_w} W is needed")
    return idle_w


def _price(row: Fields, sources: Mapping[str, Fact]) -> tuple[float | None, Fact | None]:
    """Return the default price [$/s] and its source, or None for both."""
    if "price" not in row.values:
        return None, None
    price = row.section("price")
    price.only(("usd_per_hour", "sku", "source"))
    fact = _source(price, "source", sources)
    dated = Fact(source=f"{price.text('sku')}: {fact.source}", date=fact.date, status=fact.status)
    return usd_per_s_from_usd_per_h(price.number("usd_per_hour")), dated


def _facts(row: Fields, sources: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return the sources of the fields whose source is not the row's."""
    section = row.section("sources")
    section.only(_FACT_FIELDS)
    facts = {_FACT_FIELDS[name]: _source(section, name, sources) for name in section.values}
    return facts if "idle_w" in row.values else {"idle_w": ESTIMATED_IDLE} | facts


def _selector(fields: Fields) -> NodeSelector:
    """Return one label set."""
    fields.only(("origin", "status", "labels"))
    labels = fields.section("labels")
    if not labels.values:
        raise fields.refuse("labels", fields.values.get("labels"), "at least one label is needed")
    values = {key: labels.texts(key) for key in labels.values}
    for key, each in values.items():
        if not each:
            raise labels.refuse(key, labels.values[key], "at least one value is needed")
    return NodeSelector(
        labels=values, origin=fields.text("origin"), status=fields.choice("status", _LABEL_STATUSES, "unverified")
    )
