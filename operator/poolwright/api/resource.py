"""What all custom resources share: strict camelCase types, metadata, and the group they belong to."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP: Final = "poolwright.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""DNS label (RFC 1123): what Kubernetes accepts as part of an object's name."""
MONEY_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,4})?$"
"""Decimal number without sign or exponent; the unit is in the field's name."""
MEMORY_PATTERN: Final = r"^[0-9]+(Mi|Gi|Ti)$"
"""Memory quantity with its unit: a bare number is refused."""
CPU_PATTERN: Final = r"^([0-9]+m|[0-9]+(\.[0-9]+)?)$"
"""CPU quantity: cores, or millicores with ``m``."""


class Strict(BaseModel):
    """Base of every type: frozen, camelCase outside, unknown fields refused with their path."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class Metadata(BaseModel):
    """The part of ``metadata`` that is read; everything else is the API server's business."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return CEL rules as schema extras, each with the message a user sees; after a leading ``=`` it is CEL itself."""
    return {
        "x-kubernetes-validations": [
            {"rule": rule, "messageExpression": message[1:]}
            if message.startswith("=")
            else {"rule": rule, "message": message}
            for rule, message in pairs
        ]
    }


def list_map(*keys: str) -> dict[str, Any]:
    """Return schema extras of a list that is keyed by fields of its items: names are unique, merges are by item."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
