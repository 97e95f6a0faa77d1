"""The calibration that ships with the product: factors of deployments that published measurements cover.

A data file holds one line per deployment (model, accelerator, weight format, engine). Whatever it does not hold gets
the sourced constants: factors of one deployment say nothing about another (docs/validation.md). It is fitted by
``deployment_fit``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from poolwright.hardware.model_names import model_key, split_format
from poolwright.perf.efficiency import DATASHEET, Efficiencies
from poolwright.perf.replica import ReplicaConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentKey:
    """What identifies a deployment: software and hardware whose bias is shared by all batches and lengths."""

    model: str
    accelerator: str
    weight_format: str
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentBias:
    """Factors of one deployment: on its step time and on its TTFT, from ``rows`` measurements of ``sources``."""

    step: float
    first_token: float
    rows: int
    sources: tuple[str, ...]


def deployment_key(config: ReplicaConfig) -> DeploymentKey:
    """Return the deployment that a replica belongs to; parallelism is physics and not part of it."""
    bare, _ = split_format(model_key(config.model.name))
    return DeploymentKey(
        model=bare,
        accelerator=config.accelerator.name,
        weight_format=config.weight_format,
        engine=config.engine.name,
    )


@cache
def packaged_biases() -> dict[DeploymentKey, DeploymentBias]:
    """Return the lines of the package's data file."""
    text = files(__package__).joinpath("data", "shipped.yaml").read_text(encoding="utf-8")
    return {
        DeploymentKey(
            model=row["model"],
            accelerator=row["accelerator"],
            weight_format=row["weight_format"],
            engine=row["engine"],
        ): DeploymentBias(
            step=row["step"], first_token=row["first_token"], rows=row["rows"], sources=tuple(row["sources"])
        )
        for row in yaml.safe_load(text)
    }


def shipped_bias(config: ReplicaConfig) -> DeploymentBias | None:
    """Return what is known of a replica's deployment, or None."""
    return packaged_biases().get(deployment_key(config))


def efficiencies_for(configs: Sequence[ReplicaConfig], *, is_calibrated: bool = True) -> Efficiencies:
    """Return factors for replicas, an array of one factor each; the sourced constants where not calibrated."""
    if not is_calibrated:
        return DATASHEET
    biases = [shipped_bias(each) for each in configs]
    step = np.array([1.0 if each is None else each.step for each in biases])
    first_token = np.array([1.0 if each is None else each.first_token for each in biases])
    if len(configs) == 1:
        return Efficiencies(step=float(step[0]), first_token=float(first_token[0]))
    return Efficiencies(step=step, first_token=first_token)
