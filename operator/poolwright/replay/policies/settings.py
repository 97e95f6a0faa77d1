"""Named settings of a policy, from the command line or a search, into its own frozen type."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def settings_of(kind: type[Settings], name: str, given: Mapping[str, float]) -> Settings:
    """Return settings with what is given instead of the defaults; counts are rounded.

    Parameters
    ----------
    kind
        A dataclass of numbers only.
    name
        Of the policy, for messages.
    given
        By the names of its fields.

    Raises
    ------
    ValueError
        For a name that is no setting.
    """
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    unknown = set(given) - set(known)
    if unknown:
        raise ValueError(
            f"policy {name}: no setting {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
        )
    values: dict[str, Any] = {
        key: round(value) if isinstance(known[key].default, int) else float(value) for key, value in given.items()
    }
    return kind(**values)
