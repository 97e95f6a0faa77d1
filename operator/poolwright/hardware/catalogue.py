"""Every accelerator and model that Poolwright knows without being told, found by name, alias or node labels.

Loads and checks the data files once; users add or override entries with ``with_accelerators`` and ``with_models``. The
rows are read by ``accelerator_rows`` and ``model_rows``.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from poolwright.hardware.accelerator import Accelerator, Fact
from poolwright.hardware.accelerator_rows import accelerator_from, fact_from
from poolwright.hardware.catalogue_fields import FieldError, Fields
from poolwright.hardware.catalogue_files import packaged_entries
from poolwright.hardware.model_names import model_key, name_key, split_format
from poolwright.hardware.model_rows import model_from
from poolwright.hardware.model_shape import ModelShape


class UnknownAcceleratorError(ValueError):
    """No accelerator of that name is in the catalogue."""


class UnknownModelError(ValueError):
    """No model of that name is in the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Accelerators and models by canonical name, with the other spellings that people use for them.

    Attributes
    ----------
    accelerators, models
        Entries by canonical name.
    accelerator_aliases, model_aliases
        Canonical name by normalised spelling (``model_names``), canonical names included.
    """

    accelerators: Mapping[str, Accelerator]
    models: Mapping[str, ModelShape]
    accelerator_aliases: Mapping[str, str] = field(default_factory=dict)
    model_aliases: Mapping[str, str] = field(default_factory=dict)

    def accelerator(self, name: str) -> Accelerator:
        """Return the accelerator of a name or alias, whatever its case.

        Raises
        ------
        UnknownAcceleratorError
            There is none; the message lists close matches.
        """
        canonical = self.accelerator_aliases.get(name_key(name), name)
        if canonical not in self.accelerators:
            raise UnknownAcceleratorError(_unknown("accelerator", name, name_key(name), self.accelerator_aliases))
        return self.accelerators[canonical]

    def model(self, name: str) -> ModelShape:
        """Return the model of a name, alias or Hugging Face id, whatever its case.

        A suffix that names a weight format (``-FP8``, ``-AWQ``, ``-NVFP4`` ...) changes the native format of the shape.

        Raises
        ------
        UnknownModelError
            There is none; the message lists close matches.
        """
        if name in self.models:
            return self.models[name]
        key = model_key(name)
        if key in self.model_aliases:
            return self.models[self.model_aliases[key]]
        bare, weight_format = split_format(key)
        if weight_format is None or bare not in self.model_aliases:
            raise UnknownModelError(_unknown("model", name, key, self.model_aliases))
        return replace(self.models[self.model_aliases[bare]], name=name, native_format=weight_format)

    def accelerator_of_node(self, labels: Mapping[str, str]) -> Accelerator | None:
        """Return the accelerator that a node's labels name, or None when no selector matches.

        Where declared label sharing leaves several, the one with the least bandwidth and compute is returned, so that
        a plan never promises more than the node has.
        """
        found = [each for each in self.accelerators.values() if each.matches(labels)]
        return min(found, key=_strength, default=None)

    def with_accelerators(self, accelerators: Iterable[Accelerator]) -> "Catalogue":
        """Return a catalogue in which these accelerators replace those of the same name, or are added."""
        added = {each.name: each for each in accelerators}
        aliases = {name_key(name): name for name in added}
        return replace(
            self,
            accelerators={**self.accelerators, **added},
            accelerator_aliases={**self.accelerator_aliases, **aliases},
        )

    def with_models(self, models: Iterable[ModelShape]) -> "Catalogue":
        """Return a catalogue in which these models replace those of the same name, or are added."""
        added = {each.name: each for each in models}
        aliases = {model_key(name): name for name in added}
        return replace(self, models={**self.models, **added}, model_aliases={**self.model_aliases, **aliases})


@cache
def load_catalogue() -> Catalogue:
    """Return the catalogue of the package's data files.

    Raises
    ------
    FieldError
        A file is malformed; the message names entry, field, value and what would be right.
    """
    facts = {name: fact_from(each) for name, each in packaged_entries("sources", "source").items()}
    return build_catalogue(packaged_entries("accelerators", "accelerator"), packaged_entries("models", "model"), facts)


def build_catalogue(
    accelerator_rows: Mapping[str, Fields], model_rows: Mapping[str, Fields], facts: Mapping[str, Fact]
) -> Catalogue:
    """Return the catalogue that these rows describe; ``facts`` are the sources they name.

    Raises
    ------
    FieldError
        A row is malformed, an alias names two entries, or two entries share labels without declaring it.
    """
    accelerators = {name: accelerator_from(name, row, facts) for name, row in accelerator_rows.items()}
    models = {name: model_from(name, model_rows) for name in model_rows}
    _check_sharing(accelerators)
    return Catalogue(
        accelerators=accelerators,
        models=models,
        accelerator_aliases=_aliases(accelerator_rows, name_key),
        model_aliases=_aliases(model_rows, model_key),
    )


def _aliases(rows: Mapping[str, Fields], key_of: Callable[[str], str]) -> dict[str, str]:
    """Return canonical names by spelling as ``key_of`` normalises it."""
    aliases: dict[str, str] = {}
    for name, row in rows.items():
        for spelling in (name, *row.texts("aliases")):
            other = aliases.setdefault(key_of(spelling), name)
            if other != name:
                raise row.refuse("aliases", spelling, f"it already names {other}; a spelling names one entry")
    return aliases


def _check_sharing(accelerators: Mapping[str, Accelerator]) -> None:
    """Refuse two entries with a common label value that neither of them declares."""
    owners: dict[tuple[tuple[str, str], ...], str] = {}
    for name, accelerator in accelerators.items():
        for labels in label_sets(accelerator):
            owner = owners.setdefault(labels, name)
            if owner != name and owner not in accelerator.shares_labels_with:
                shown = ", ".join(f"{key}={value}" for key, value in labels)
                raise FieldError(
                    f"accelerator {name}: selectors has {shown}, which names {owner} too; "
                    f"distinguish the labels or declare {owner} under shares_labels_with"
                )


def label_sets(accelerator: Accelerator) -> list[tuple[tuple[str, str], ...]]:
    """Return every single-valued label set that an accelerator's selectors accept, keys in order."""
    sets: list[tuple[tuple[str, str], ...]] = []
    for selector in accelerator.selectors:
        combined: list[tuple[tuple[str, str], ...]] = [()]
        for key in sorted(selector.labels):
            combined = [(*each, (key, value)) for each in combined for value in selector.labels[key]]
        sets.extend(combined)
    return sets


def _strength(accelerator: Accelerator) -> tuple[float, float]:
    """Return what orders accelerators from weak to strong."""
    return accelerator.bandwidth_bytes_per_s, accelerator.peak_flop_per_s["bf16"]


def _unknown(kind: str, name: str, key: str, aliases: Mapping[str, str]) -> str:
    """Return the message for a name that is not known, with the closest known ones."""
    close = difflib.get_close_matches(key, aliases, n=5, cutoff=0.5)
    canonical = list(dict.fromkeys(aliases[each] for each in close))
    hint = f"did you mean {', '.join(canonical)}?" if canonical else f"see `poolwright catalog {kind}s`"
    return f"unknown {kind} {name!r}; {hint}"
