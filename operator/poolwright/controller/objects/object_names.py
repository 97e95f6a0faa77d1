"""Names of owned objects: readable, valid as a DNS label, and stable, also when a long one has to be cut."""

import hashlib
import re
from typing import Final

MAX_LABEL: Final = 63
"""Longest DNS label and label value [characters], RFC 1123."""

MAX_WORKLOAD: Final = 52
"""Longest Deployment name [characters]: a ReplicaSet appends 11 more, and its pods' names should keep theirs whole."""

HASH_CHARACTERS: Final = 8


def bounded(text: str, longest: int = MAX_LABEL) -> str:
    """Return a DNS label for a text: itself where it is one, otherwise cleaned or cut with a hash of the whole.

    >>> bounded("chat-interactive")
    'chat-interactive'
    >>> len(bounded("x" * 100))
    63
    """
    clean = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    if clean == text and len(text) <= longest:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]
    return f"{clean[: longest - HASH_CHARACTERS - 1].strip('-')}-{digest}".lstrip("-")


def deployment_name(pool: str, variant_key: str) -> str:
    """Return the name of the Deployment of a variant."""
    return bounded(f"{pool}-{variant_key}", MAX_WORKLOAD)


def tier_name(pool: str, tier: str) -> str:
    """Return the name of a tier's Service and disruption budget.

    >>> tier_name("chat", "interactive")
    'chat-interactive'
    >>> tier_name("8b", "interactive")
    'pool-8b-interactive'
    """
    # A Service is named by RFC 1035, which wants a letter first; a pool may begin with a digit.
    prefix = "pool-" if pool[:1].isdigit() else ""
    return bounded(f"{prefix}{pool}-{tier}")
