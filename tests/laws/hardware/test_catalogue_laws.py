"""What holds for every entry of the shipped catalogue."""

import math
from datetime import date

import pytest

from poolwright.hardware.accelerator import Accelerator
from poolwright.hardware.catalogue import label_sets, load_catalogue
from poolwright.hardware.model_shape import ModelShape
from poolwright.hardware.number_format import FORMATS

ACCELERATORS = list(load_catalogue().accelerators.values())
MODELS = list(load_catalogue().models.values())
SOURCED = (
    "memory_bytes",
    "bandwidth_bytes_per_s",
    "peak_flop_per_s",
    "scale_up_bytes_per_s",
    "scale_out_bytes_per_s",
    "node_accelerators",
    "tdp_w",
    "idle_w",
)

each_accelerator = pytest.mark.parametrize("accelerator", ACCELERATORS, ids=lambda each: each.name)
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda each: each.name)


@each_accelerator
def test_every_label_set_names_its_own_accelerator_or_a_declared_sharer(accelerator: Accelerator) -> None:
    for labels in label_sets(accelerator):
        found = load_catalogue().accelerator_of_node(dict(labels))
        assert found is not None
        assert found.name == accelerator.name or found.name in accelerator.shares_labels_with


@each_accelerator
def test_every_number_has_a_source_with_a_date(accelerator: Accelerator) -> None:
    facts = [accelerator.fact_of(name) for name in SOURCED]
    if accelerator.price_usd_per_s is not None:
        facts.append(accelerator.fact_of("price_usd_per_s"))
    for fact in facts:
        assert fact.source
        assert date.fromisoformat(fact.date)


@each_accelerator
def test_every_number_is_finite_and_positive(accelerator: Accelerator) -> None:
    numbers = [accelerator.memory_bytes, accelerator.bandwidth_bytes_per_s, *accelerator.peak_flop_per_s.values()]
    numbers += [accelerator.scale_up_bytes_per_s, accelerator.scale_out_bytes_per_s, accelerator.tdp_w]
    assert all(math.isfinite(number) and number > 0 for number in numbers)
    assert "bf16" in accelerator.peak_flop_per_s


@each_accelerator
def test_idle_power_is_below_the_limit(accelerator: Accelerator) -> None:
    assert 0 < accelerator.idle_w < accelerator.tdp_w


@each_accelerator
def test_a_larger_group_never_gets_less_bandwidth(accelerator: Accelerator) -> None:
    rates = [accelerator.group_bytes_per_s(size) for size in range(2, 9)]
    assert sorted(rates) == rates
    assert rates[-1] <= accelerator.scale_up_bytes_per_s


@each_accelerator
def test_an_accelerator_is_found_by_its_own_name(accelerator: Accelerator) -> None:
    assert accelerator == load_catalogue().accelerator(accelerator.name.upper())


@each_accelerator
def test_all_but_the_generic_entry_can_be_pinned_to_nodes(accelerator: Accelerator) -> None:
    assert bool(accelerator.selectors) == (accelerator.name != "cpu")


@each_model
def test_a_model_is_found_by_its_own_name(model: ModelShape) -> None:
    assert model == load_catalogue().model(model.name.upper())


@each_model
def test_active_parameters_are_at_most_the_total(model: ModelShape) -> None:
    assert 0 < model.parameters_active <= model.parameters_total


@each_model
def test_a_sparse_model_uses_a_part_of_its_parameters(model: ModelShape) -> None:
    is_sparse = any(group.feed_forward.experts for group in model.groups)
    has_less = model.parameters_active + model.auxiliary_parameters < model.parameters_total
    assert is_sparse == has_less


@each_model
def test_the_native_format_is_known(model: ModelShape) -> None:
    assert model.native_format in FORMATS


@each_model
def test_a_preset_needs_no_assumption(model: ModelShape) -> None:
    assert model.warnings == ()


@each_model
def test_cache_grows_with_context_and_never_faster_than_without_windows(model: ModelShape) -> None:
    per_token = sum(group.count * group.attention.kv_values_per_token for group in model.groups)
    kept = [model.kv_values_per_sequence(tokens) for tokens in (0, 1, 100, 1_000, 10_000, 100_000)]
    assert sorted(kept) == kept
    assert kept[-1] - kept[0] <= 100_000 * per_token
