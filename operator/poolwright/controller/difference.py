"""Whether a live object already is what we want it to be: decided from what we manage, blind to everything else.

Two tests together: the digest of the last applied wish (sees fields that we no longer want) and containment of the wish
in the live object (sees what somebody changed since). The API server's defaults and others' fields do not matter.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from poolwright.controller.labels import APPLIED_HASH

Json = dict[str, Any]


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
    """Return whether every field of a wanted value is in the live one; lists match item by item.

    >>> contains({"replicas": 2, "paused": False}, {"replicas": 2})
    True
    >>> contains({"replicas": 3}, {"replicas": 2})
    False
    """
    if isinstance(wanted, dict):
        return isinstance(live, Mapping) and all(contains(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list) or len(live) != len(wanted):
            return False
        return all(contains(*pair) for pair in zip(live, wanted, strict=True))
    return live == wanted
