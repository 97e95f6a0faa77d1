"""Accelerator facts that are easy to get wrong, and rows that must be refused."""

from typing import Any

import pytest

from poolwright.hardware.accelerator import Accelerator, Fact, NodeSelector
from poolwright.hardware.accelerator_rows import IDLE_POWER_RATIO, accelerator_from
from poolwright.hardware.catalogue import build_catalogue, load_catalogue
from poolwright.hardware.catalogue_fields import FieldError, Fields

FACTS = {"sheet": Fact(source="a data sheet", date="2026-01-01", status="verified")}
ROW: dict[str, Any] = {
    "title": "One",
    "vendor": "nobody",
    "resource": "nobody/one",
    "memory_mib": 1024,
    "bandwidth_gb_per_s": 100,
    "dense_tflop_per_s": {"bf16": 10},
    "scale_up": {"kind": "switch", "gb_per_s": 5, "domain": 8},
    "scale_out_gb_per_s": 1,
    "node_accelerators": 8,
    "tdp_w": 100,
    "source": "sheet",
}


def accelerator(name: str) -> Accelerator:
    return load_catalogue().accelerator(name)


def row(**changes: object) -> Fields:
    values = {key: value for key, value in (ROW | changes).items() if value is not None}
    return Fields(path="accelerator one", values=values)


def test_a_row_is_converted_to_si_units() -> None:
    one = accelerator_from("one", row(price={"usd_per_hour": 3600, "sku": "x.large", "source": "sheet"}), FACTS)
    assert one.memory_bytes == 2**30
    assert one.bandwidth_bytes_per_s == 100e9
    assert one.peak_flop_per_s == {"bf16": 10e12}
    assert one.scale_up_bytes_per_s == 5e9
    assert one.price_usd_per_s == 1.0
    assert one.fact_of("price_usd_per_s").source == "x.large: a data sheet"


def test_idle_power_without_a_measurement_is_a_sourced_share_of_the_tdp() -> None:
    one = accelerator_from("one", row(), FACTS)
    assert one.idle_w == IDLE_POWER_RATIO * 100
    assert one.fact_of("idle_w").status == "estimated"
    assert one.fact_of("tdp_w").status == "verified"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 0, "much", True, None])
@pytest.mark.parametrize("field", ["memory_mib", "bandwidth_gb_per_s", "scale_out_gb_per_s", "tdp_w"])
def test_a_number_that_cannot_be_right_is_refused_with_its_field(field: str, value: object) -> None:
    with pytest.raises(FieldError, match=rf"accelerator one: {field} is .*; a finite number greater than zero"):
        accelerator_from("one", row(**{field: value}), FACTS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_gb": 1}, "memory_gb is 1; an unknown field"),
        ({"dense_tflop_per_s": {"fp8": 1}}, "dense_tflop_per_s: bf16 is missing"),
        ({"dense_tflop_per_s": {"bf16": 1, "fp5": 1}}, "dense_tflop_per_s: fp5 is 1; an unknown field"),
        ({"scale_up": {"kind": "string", "gb_per_s": 1, "domain": 1}}, "scale_up: kind is 'string'; one of bridge"),
        ({"scale_up": {"kind": "mesh", "gb_per_s": 1, "domain": 0}}, "scale_up: domain is 0; a whole number"),
        ({"node_accelerators": 1.5}, "node_accelerators is 1.5; a whole number"),
        ({"idle_w": 101}, "idle_w is 101.0; at most the TDP of 100.0 W"),
        ({"source": "gossip"}, "source is 'gossip'; one of sheet"),
        ({"sources": {"tdp_w": "gossip"}}, "sources: tdp_w is 'gossip'; one of sheet"),
        ({"selectors": [{"origin": "here", "labels": {}}]}, "labels is {}; at least one label is needed"),
        ({"selectors": [{"origin": "here", "labels": {"a": []}}]}, r"a is \[\]; at least one value is needed"),
        ({"selectors": {}}, "selectors is {}; a list of mappings is needed"),
        ({"title": ""}, "title is ''; a text is needed"),
    ],
)
def test_a_malformed_row_is_told_what_would_be_right(changes: dict[str, object], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        accelerator_from("one", row(**changes), FACTS)


def test_entries_that_share_labels_must_say_so() -> None:
    selectors = [{"origin": "here", "labels": {"product": ["same"]}}]
    rows = {"one": row(selectors=selectors), "two": row(selectors=selectors)}
    with pytest.raises(FieldError, match="accelerator two: selectors has product=same, which names one too"):
        build_catalogue(rows, {}, FACTS)


def test_of_entries_that_share_labels_the_weaker_is_found() -> None:
    selectors = [{"origin": "here", "labels": {"product": ["same"]}}]
    weak = row(selectors=selectors, shares_labels_with=["one"], bandwidth_gb_per_s=50)
    built = build_catalogue({"one": row(selectors=selectors), "two": weak}, {}, FACTS)
    found = built.accelerator_of_node({"product": "same"})
    assert found is not None
    assert found.name == "two"


def test_a_selector_without_labels_matches_no_node() -> None:
    assert not NodeSelector(labels={}).matches({"any": "label"})


@pytest.mark.parametrize("name", ["gb200", "gb300"])
def test_an_nvl72_domain_spans_nodes_of_four(name: str) -> None:
    assert (72, 4) == (accelerator(name).scale_up_domain, accelerator(name).node_accelerators)


def test_a_pair_of_mi300x_has_one_link_of_seven() -> None:
    assert accelerator("mi300x").group_bytes_per_s(2) == 64e9
    assert accelerator("mi300x").group_bytes_per_s(8) == 448e9


def test_a_pair_behind_a_switch_has_the_whole_link() -> None:
    assert accelerator("h100-sxm").group_bytes_per_s(2) == 450e9


@pytest.mark.parametrize("name", ["b300-sxm", "gb300"])
def test_int8_is_cut_on_blackwell_ultra(name: str) -> None:
    peaks = accelerator(name).peak_flop_per_s
    assert peaks["int8"] < peaks["bf16"] / 10


@pytest.mark.parametrize(("name", "ranks"), [("trainium1", 2), ("inferentia2", 2), ("trainium2", 8), ("h100-sxm", 1)])
def test_neuron_counts_cores_as_ranks(name: str, ranks: int) -> None:
    assert ranks == accelerator(name).ranks


def test_turing_has_a_16_bit_peak_under_the_name_that_everyone_reads() -> None:
    assert accelerator("t4").peak_flop_per_s == {"bf16": 65e12, "int8": 130e12}


def test_memory_is_what_the_driver_reports() -> None:
    assert accelerator("h200-sxm").memory_bytes == 143_771 * 2**20


@pytest.mark.parametrize(
    ("name", "usd_per_h"), [("h100-sxm", 6.88), ("gb200", 27.04), ("mi300x", 6.0), ("tpu-v6e", 2.7), ("l4", 0.707)]
)
def test_the_default_price_is_on_demand_at_a_large_cloud(name: str, usd_per_h: float) -> None:
    price = accelerator(name).price_usd_per_s
    assert price is not None
    assert usd_per_h == pytest.approx(price * 3600)
