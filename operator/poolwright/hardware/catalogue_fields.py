"""Reads the fields of a catalogue row or configuration; refuses the missing, unknown, not finite or of a wrong kind.

Knows nothing of accelerators or models; every error names entry, field, value and what would be right.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class FieldError(ValueError):
    """A catalogue entry or a model's configuration says something that cannot be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Fields of one entry (or of one section of it), read with checks.

    ``path`` names the entry in messages, such as ``accelerator h100-sxm``.
    """

    path: str
    values: Mapping[str, object]

    def refuse(self, name: str, value: object, right: str) -> FieldError:
        """Return the error that says what is wrong with a field and what would be right."""
        shown = f"is {value!r}" if name in self.values else "is missing"
        return FieldError(f"{self.path}: {name} {shown}; {right}")

    def only(self, known: Iterable[str]) -> None:
        """Refuse fields outside ``known``."""
        names = sorted(known)
        for name in self.values:
            if name not in names:
                raise self.refuse(str(name), self.values[name], f"an unknown field; known are {', '.join(names)}")

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number greater than zero; ``default`` stands in for an absent field."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise self.refuse(name, value, "a finite number greater than zero is needed")
        return float(value)

    def count(self, name: str, default: int | None = None) -> int:
        """Return a whole number of at least one; ``default`` stands in for an absent field."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.refuse(name, value, "a whole number of at least one is needed")
        return value

    def whole(self, name: str, default: int = 0) -> int:
        """Return a whole number of zero or more; ``default`` stands in for an absent field."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.refuse(name, value, "a whole number of zero or more is needed")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a truth value; ``default`` stands in for an absent field."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.refuse(name, value, "true or false is needed")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text that is not empty; ``default`` stands in for an absent field."""
        value = self.values.get(name, default)
        if not isinstance(value, str) or not value:
            raise self.refuse(name, value, "a text is needed")
        return value

    def choice(self, name: str, choices: Iterable[str], default: str | None = None) -> str:
        """Return a text out of ``choices``."""
        value = self.text(name, default)
        allowed = sorted(choices)
        if value not in allowed:
            raise self.refuse(name, value, f"one of {', '.join(allowed)} is needed")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty when the field is absent."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self.refuse(name, value, "a list of texts is needed")
        return tuple(value)

    def first(self, *names: str) -> str:
        """Return the first of several spellings of one field that is present; the last is the standard one."""
        return next((name for name in names if name in self.values), names[-1])

    def section(self, name: str) -> "Fields":
        """Return a nested mapping as fields of their own, empty when absent."""
        return section(f"{self.path}: {name}", self.values.get(name, {}))

    def sections(self, name: str) -> tuple["Fields", ...]:
        """Return a list of nested mappings, empty when absent."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.refuse(name, value, "a list of mappings is needed")
        return tuple(section(f"{self.path}: {name}[{index}]", each) for index, each in enumerate(value))


def section(path: str, value: object) -> Fields:
    """Return a mapping as checked fields, or refuse what is no mapping with text keys."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise FieldError(f"{path}: is {value!r}; a mapping from field names to values is needed")
    return Fields(path=path, values=value)
