"""When an object counts as applied: what we want must be there, what others add must not matter."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.controller.objects.difference import QUANTITIES, contains, is_applied, with_hash

KEYS = st.sampled_from(["a", "b", "env", "name", "replicas", "spec"])
LEAVES = st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "500m", "1Gi"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=6,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)
ITEMS = st.builds(lambda name, more: {**more, "name": name}, st.sampled_from("abcd"), OBJECTS)
MANIFESTS = st.builds(
    lambda spec, items: {"kind": "Thing", "metadata": {"name": "thing"}, "spec": spec, "items": items, "paused": False},
    OBJECTS,
    st.lists(ITEMS, max_size=4, unique_by=lambda item: item["name"]),
)


def grown(value: Any, draw: st.DrawFn) -> Any:
    """The value with fields, and named items, that others added."""
    if isinstance(value, dict):
        added = {f"other-{key}": inner for key, inner in draw(OBJECTS).items()}
        return {**{key: grown(inner, draw) for key, inner in value.items()}, **added}
    if isinstance(value, list):
        items = [grown(each, draw) for each in value]
        named = value and all(isinstance(each, dict) and "name" in each for each in value)
        return [*draw(st.lists(st.just({"name": "sidecar"}), max_size=2)), *items] if named else items
    return value


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every leaf."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [each for key, child in inner for each in paths(child, (*path, key))]
    return found if isinstance(value, (dict, list)) else [path]


@given(VALUES)
def test_everything_contains_itself(value: Any) -> None:
    assert contains(deepcopy(value), value)


@given(st.data(), OBJECTS)
def test_what_others_add_does_not_matter(data: st.DataObject, wanted: dict[str, Any]) -> None:
    assert contains(grown(wanted, data.draw), wanted)


@given(st.data(), MANIFESTS)
def test_a_leaf_that_somebody_changed_is_noticed(data: st.DataObject, wanted: dict[str, Any]) -> None:
    live = deepcopy(wanted)
    # The kind is not compared, and a renamed item is another item.
    *way, last = data.draw(st.sampled_from([path for path in paths(wanted) if path[-1] not in {"kind", "name"}]))
    place = live
    for key in way:
        place = place[key]
    place[last] = f"{place[last]}-changed"
    assert not is_applied(wanted, live)


@given(st.data(), MANIFESTS)
def test_an_applied_object_stays_applied_whatever_others_add(data: st.DataObject, wanted: dict[str, Any]) -> None:
    marked = with_hash(wanted)
    assert is_applied(marked, grown(marked, data.draw))


@given(MANIFESTS, MANIFESTS)
def test_a_wish_is_taken_for_another_only_where_both_are_the_same_json(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    expected = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert expected == is_applied(with_hash(one), with_hash(other))


@given(st.data(), MANIFESTS)
def test_a_field_that_is_no_longer_wanted_is_noticed(data: st.DataObject, wanted: dict[str, Any]) -> None:
    before = with_hash({**wanted, "spec": {**wanted["spec"], "dropped": data.draw(LEAVES)}})
    assert not is_applied(with_hash(wanted), before)


@given(MANIFESTS)
def test_marking_changes_nothing_but_one_annotation(wanted: dict[str, Any]) -> None:
    before = deepcopy(wanted)
    marked = with_hash(wanted)
    assert before == wanted
    assert contains(marked, wanted)
    assert ["poolwright.io/applied-hash"] == list(marked["metadata"]["annotations"])


@pytest.mark.parametrize("field", QUANTITIES)
@pytest.mark.parametrize(
    ("live", "wanted", "expected"),
    [
        pytest.param("500m", "0.5", True, id="half a processor"),
        pytest.param("2Gi", "2048Mi", True, id="two gibibytes"),
        pytest.param("8", 8, True, id="a number"),
        pytest.param("2Gi", "2G", False, id="gibi is not giga"),
        pytest.param(None, "1", False, id="absent is not one"),
        pytest.param("half", "0.5", False, id="not a quantity"),
    ],
)
def test_quantities_are_equal_by_value(field: str, live: object, wanted: object, *, expected: bool) -> None:
    assert expected == contains({field: live}, {field: wanted})
    assert expected == contains({field: {"cpu": live}}, {field: {"cpu": wanted}})
