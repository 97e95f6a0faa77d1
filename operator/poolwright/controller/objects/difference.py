"""Whether a live object already is what we want it to be: decided from what we manage, blind to everything else.

Two tests together: the digest of the last applied wish (sees fields that we no longer want) and containment of the wish
in the live object (sees what somebody changed since). The API server's defaults and others' fields do not matter.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity

from poolwright.controller.objects.labels import APPLIED_HASH

Json = dict[str, Any]

QUANTITIES: Final = ("requests", "limits", "sizeLimit")
"""Fields that hold quantities, alone or by resource."""


def with_hash(manifest: Json) -> Json:
    """Return the object with the digest of itself as an annotation."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), APPLIED_HASH: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def is_applied(wanted: Json, live: Mapping[str, Any]) -> bool:
    """Return whether a live object holds everything of a wanted one that ``with_hash`` has marked.

    Kind and version are not compared: lists of objects leave them out.
    """
    return all(contains(live.get(key), value) for key, value in wanted.items() if key not in {"kind", "apiVersion"})


def contains(live: object, wanted: object) -> bool:
    """Return whether every field of a wanted value is in the live one.

    Items that have a name (containers, volumes, variables) are matched by it, so that others may add theirs; other
    lists match item by item. Quantities are compared by value: the API server writes them in its own way.

    >>> contains({"replicas": 2, "paused": False}, {"replicas": 2})
    True
    >>> contains({"replicas": 3}, {"replicas": 2})
    False
    >>> contains({"limits": {"cpu": "500m"}}, {"limits": {"cpu": "0.5"}})
    True
    """
    if isinstance(wanted, dict):
        return isinstance(live, Mapping) and all(_field_contains(live, key, value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and _list_contains(live, wanted)
    # JSON's true is not its 1, though Python's is.
    return live == wanted and isinstance(live, bool) == isinstance(wanted, bool)


def _field_contains(live: Mapping[str, Any], key: str, wanted: object) -> bool:
    found = live.get(key)
    if key in QUANTITIES and isinstance(wanted, dict):
        return isinstance(found, Mapping) and all(_is_quantity(found.get(name), wanted[name]) for name in wanted)
    return _is_quantity(found, wanted) if key in QUANTITIES else contains(found, wanted)


def _list_contains(live: list[Any], wanted: list[Any]) -> bool:
    if wanted and all(isinstance(each, dict) and "name" in each for each in wanted):
        return all(any(contains(found, each) for found in live) for each in wanted)
    return len(live) == len(wanted) and all(contains(*pair) for pair in zip(live, wanted, strict=True))


def _is_quantity(live: object, wanted: object) -> bool:
    try:
        return bool(parse_quantity(live) == parse_quantity(wanted))
    except (ValueError, ArithmeticError, TypeError):
        return live == wanted
