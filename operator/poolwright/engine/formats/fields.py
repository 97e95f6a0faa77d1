"""Fields that quantised formats share, read with checks."""

from collections.abc import Mapping
from typing import Any

from poolwright.engine.checkpoint import CheckpointError
from poolwright.engine.formats.packing import SUPPORTED_BITS


def refusal(name: str, value: object, right: str) -> CheckpointError:
    """Return the error that says what is wrong with a field of ``quantization_config``."""
    return CheckpointError(f"config.json: quantization_config: {name} is {value!r}; {right}")


def bits_of(section: Mapping[str, Any], *names: str) -> int:
    """Return the bits of a packed value."""
    name = next((name for name in names if name in section), "bits")
    bits = section.get(name, section.get("w_bit"))
    if bits not in SUPPORTED_BITS:
        raise refusal(name, bits, f"one of {', '.join(map(str, SUPPORTED_BITS))} is needed")
    return int(bits)


def group_size_of(section: Mapping[str, Any]) -> int | None:
    """Return the inputs of a group, or None where a row is one group."""
    size = section.get("group_size", section.get("q_group_size"))
    if size is None or size == -1:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise refusal("group_size", size, "a whole number of at least one, or -1, is needed")
    return size
