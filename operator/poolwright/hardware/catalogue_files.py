"""Reads the catalogue's YAML files out of the package; a key that appears twice is an error, not the last one's win.

Does not interpret entries: ``accelerator_rows`` and ``model_rows`` do.
"""

from collections.abc import Hashable
from importlib.resources import files
from typing import Any

import yaml

from poolwright.hardware.catalogue_fields import FieldError, Fields, section


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the C one where it was built
    """A safe loader that refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 # theirs
        """Build a mapping after checking that its keys differ."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise FieldError(f"{node.start_mark}: key {', '.join(sorted(twice))} appears twice; names must differ")
        built: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return built


def parse_entries(text: str, kind: str) -> dict[str, Fields]:
    """Return the entries of one YAML text by name; ``kind`` names them in messages."""
    try:
        loaded = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 # derived from the safe loader
    except yaml.YAMLError as error:
        raise FieldError(f"{kind} file: is not YAML; {error}") from error
    whole = section(f"{kind} file", loaded)
    return {name: section(f"{kind} {name}", value) for name, value in whole.values.items()}


def packaged_entries(folder: str, kind: str) -> dict[str, Fields]:
    """Return the entries of every YAML file in a folder under ``hardware/data``, in file-name order."""
    entries: dict[str, Fields] = {}
    for file in sorted(files(__package__).joinpath("data", folder).iterdir(), key=lambda each: each.name):
        for name, fields in parse_entries(file.read_text(encoding="utf-8"), kind).items():
            if name in entries:
                raise FieldError(f"{file.name}: {kind} {name} appears in an earlier file too; names must differ")
            entries[name] = fields
    return entries
