"""Launch arguments of published benchmarks: engines' flags that their tables leave out, from a data file with origins.

Measured numbers are not in it. The arguments are read by ``engine_arguments`` like those of a pod.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What identifies one published run: where it was published and what was served how."""

    source: str
    engine: str
    model: str
    accelerator: str
    weight: str
    tensor_parallel: int
    input_tokens: float
    output_tokens: float
    concurrency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Arguments of the runs that match; an absent condition matches all. Lengths are nominal ones."""

    source: str
    engine: str
    arguments: tuple[str, ...]
    origin: str
    model: tuple[str, ...] = ()
    accelerator: tuple[str, ...] = ()
    weight: tuple[str, ...] = ()
    tensor_parallel: tuple[int, ...] = ()
    input_tokens: tuple[float, ...] = ()
    output_tokens: tuple[float, ...] = ()
    concurrency_from: float = 0.0
    concurrency_to: float = float("inf")

    def matches(self, launch: Launch) -> bool:
        """Return whether a run was launched this way."""
        names = ("model", "accelerator", "weight", "tensor_parallel", "input_tokens", "output_tokens")
        return (
            self.source in launch.source
            and self.engine == launch.engine
            and self.concurrency_from <= launch.concurrency <= self.concurrency_to
            and all(not getattr(self, name) or getattr(launch, name) in getattr(self, name) for name in names)
        )


@cache
def packaged_recipes() -> tuple[Recipe, ...]:
    """Return the rows of the package's data file."""
    text = files(__package__).joinpath("data", "recipes.yaml").read_text(encoding="utf-8")
    return tuple(_recipe(row) for row in yaml.safe_load(text))


def _recipe(row: Mapping[str, object]) -> Recipe:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Recipe(**values)  # type: ignore[arg-type] # the file's keys are the fields; a wrong one raises


def recipe_of(launch: Launch, recipes: Sequence[Recipe] | None = None) -> Recipe | None:
    """Return the first recipe that matches a run, or None."""
    known = packaged_recipes() if recipes is None else recipes
    return next((each for each in known if each.matches(launch)), None)
