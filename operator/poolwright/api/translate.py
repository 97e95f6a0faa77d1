"""From custom resources to the core's frozen policies: the one place where milliseconds become seconds.

Refuses what the API server cannot know (names that the catalogue lacks, two governing policies) with the field, its
value and what would be right.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from poolwright.api.accelerator_profile import AcceleratorProfile
from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.inference_pool import InferencePool
from poolwright.api.pool_spec import BudgetSpec, InferencePoolSpec
from poolwright.api.serving_spec import AccuracySpec
from poolwright.api.translate_tier import task_class, tier_policy
from poolwright.hardware.accelerator import Accelerator, Fact, NodeSelector
from poolwright.hardware.catalogue import Catalogue
from poolwright.hardware.hf_config import model_shape_from_config
from poolwright.hardware.model_shape import ModelShape
from poolwright.planner.policy import (
    AcceleratorChoice,
    Budget,
    PoolPolicy,
    RatedModel,
    Scaling,
)
from poolwright.units import (
    BYTES_PER_GB,
    BYTES_PER_GIB,
    FLOP_PER_TFLOP,
    ratio_from_percent,
    usd_per_s_from_usd_per_h,
)

IDLE_RATIO: Final = 0.15
"""Idle power over TDP where a profile states none [ratio]: between the 0.1 of an A100 and the 0.2 of an H100 as
``nvidia-smi`` shows them idle; errs by some ten watts."""


Resource = TypeVar("Resource", bound=BaseModel)


class SpecError(ValueError):
    """A resource that cannot be acted on: the user must edit the named field."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field} is {value!r}, {expected}")
        self.field = field
        self.value = value
        self.expected = expected


def parsed(model: type[Resource], document: Mapping[str, Any]) -> Resource:
    """Return a resource from its JSON form.

    Raises
    ------
    SpecError
        Naming the first field that is wrong, its value, and what it must be.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or model.__name__
        message = first["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
        raise SpecError(field, first.get("input"), message[:1].lower() + message[1:]) from error


def pool_policy(pool: InferencePool, fleet: FleetPolicy | None, catalogue: Catalogue) -> PoolPolicy:
    """Return what planning needs to know of a pool.

    Parameters
    ----------
    pool, fleet
        The resource, and the policy that governs its namespace, if any.
    catalogue
        Models and accelerators, profiles included.

    Raises
    ------
    SpecError
        The spec names what the catalogue does not know, or what the policy does not allow.
    """
    spec = pool.spec
    allowed = {each.accelerator: each for each in fleet.spec.accelerators} if fleet else {}
    return PoolPolicy(
        namespace=pool.metadata.namespace,
        name=pool.metadata.name,
        model=model_shape(spec, catalogue),
        tiers=tuple(tier_policy(each, spec) for each in spec.tiers),
        mode=spec.mode,
        engine=spec.engine.kind,
        engine_arguments=spec.engine.arguments,
        accelerators=_menu(spec, tuple(allowed), catalogue),
        weight_formats=spec.engine.weight_formats,
        kv_formats=spec.engine.kv_formats,
        scaling=_scaling(spec, fleet),
        budget=_budget(spec.budget, fleet.spec.budget if fleet else None),
        max_accelerators=tuple(
            (name, each.max_accelerators) for name, each in allowed.items() if each.max_accelerators is not None
        ),
        prices_usd_per_s=tuple(
            (name, usd_per_s_from_usd_per_h(float(each.usd_per_hour)))
            for name, each in allowed.items()
            if each.usd_per_hour is not None
        ),
        task_classes=tuple(task_class(each) for each in spec.task_classes),
        rated_models=_rated_models(spec, catalogue),
    )


def accelerator(profile: AcceleratorProfile) -> Accelerator:
    """Return the catalogue entry that a profile describes."""
    spec = profile.spec
    peaks = spec.peak_teraflops.model_dump(exclude_none=True)
    return Accelerator(
        name=profile.metadata.name,
        vendor=spec.vendor,
        title=profile.metadata.name,
        memory_bytes=spec.memory_gibibytes * BYTES_PER_GIB,
        bandwidth_bytes_per_s=spec.bandwidth_gigabytes_per_second * BYTES_PER_GB,
        peak_flop_per_s={name: peak * FLOP_PER_TFLOP for name, peak in peaks.items()},
        scale_up_bytes_per_s=spec.scale_up_gigabytes_per_second * BYTES_PER_GB,
        scale_up_domain=spec.scale_up_domain,
        scale_out_bytes_per_s=spec.scale_out_gigabytes_per_second * BYTES_PER_GB,
        node_accelerators=spec.accelerators_per_node,
        tdp_w=float(spec.tdp_watts),
        idle_w=float(spec.idle_watts) if spec.idle_watts is not None else IDLE_RATIO * spec.tdp_watts,
        price_usd_per_s=usd_per_s_from_usd_per_h(float(spec.usd_per_hour)) if spec.usd_per_hour else None,
        resource_name=spec.resource_name,
        selectors=tuple(NodeSelector(labels=dict(each.labels)) for each in spec.selectors),
        fact=Fact(source=f"AcceleratorProfile {profile.metadata.name}", date="", status="profile"),
    )


def governing_policy(namespace_labels: Mapping[str, str], policies: Iterable[FleetPolicy]) -> FleetPolicy | None:
    """Return the policy that governs a namespace with these labels: the one whose selector names most of them.

    Raises
    ------
    SpecError
        Two policies are equally specific.
    """
    matching = [
        each
        for each in policies
        if all(namespace_labels.get(key) == value for key, value in each.spec.namespace_selector.items())
    ]
    if not matching:
        return None
    most = max(len(each.spec.namespace_selector) for each in matching)
    winners = sorted(each.metadata.name for each in matching if len(each.spec.namespace_selector) == most)
    if len(winners) > 1:
        field = "FleetPolicy.spec.namespaceSelector"
        raise SpecError(field, ", ".join(winners), "and they are equally specific: only one may govern a namespace")
    return next(each for each in matching if each.metadata.name == winners[0])


def model_shape(spec: InferencePoolSpec, catalogue: Catalogue) -> ModelShape:
    """Return the model of a pool: what its ``architecture`` says, otherwise the catalogue's.

    Raises
    ------
    SpecError
        The architecture cannot be read, or the name is unknown.
    """
    try:
        if spec.model.architecture is not None:
            return model_shape_from_config(spec.model.architecture, spec.model.name)
        return catalogue.model(spec.model.name)
    except ValueError as error:
        if spec.model.architecture is not None:
            raise SpecError("spec.model.architecture", spec.model.name, f"cannot be read: {error}") from error
        raise SpecError("spec.model.name", spec.model.name, f"which is unknown: {error}") from error


def _rated_models(spec: InferencePoolSpec, catalogue: Catalogue) -> tuple[RatedModel, ...]:
    """Return the pool's own model and its alternatives; none where the pool has no classes of tasks."""
    if not spec.task_classes:
        return ()
    known = {each.name for each in spec.task_classes}
    own = RatedModel(
        model=model_shape(spec, catalogue), accuracy_ratios=_accuracies(spec.model.accuracies, known, "spec.model")
    )
    rated = [own]
    for index, each in enumerate(spec.model.alternatives):
        field = f"spec.model.alternatives[{index}]"
        try:
            shape = catalogue.model(each.name)
        except ValueError as error:
            raise SpecError(f"{field}.name", each.name, f"which is unknown: {error}") from error
        rated.append(RatedModel(model=shape, accuracy_ratios=_accuracies(each.accuracies, known, field)))
    return tuple(rated)


def _accuracies(specs: tuple[AccuracySpec, ...], known: set[str], field: str) -> tuple[tuple[str, float], ...]:
    for each in specs:
        if each.task_class not in known:
            names = ", ".join(sorted(known))
            raise SpecError(f"{field}.accuracies", each.task_class, f"spec.taskClasses has {names}")
    return tuple((each.task_class, ratio_from_percent(each.percent)) for each in specs)


def _menu(spec: InferencePoolSpec, allowed: tuple[str, ...], catalogue: Catalogue) -> tuple[AcceleratorChoice, ...]:
    for index, each in enumerate(spec.accelerators):
        field = f"spec.accelerators[{index}].name"
        try:
            catalogue.accelerator(each.name)
        except ValueError as error:
            raise SpecError(field, each.name, f"which is unknown: {error}") from error
        if allowed and each.name not in allowed:
            raise SpecError(field, each.name, f"the FleetPolicy allows {', '.join(allowed)}")
    if spec.accelerators:
        return tuple(AcceleratorChoice(name=each.name, max_replicas=each.max_replicas) for each in spec.accelerators)
    return tuple(AcceleratorChoice(name=name) for name in allowed)


def _scaling(spec: InferencePoolSpec, fleet: FleetPolicy | None) -> Scaling:
    scaling = spec.scaling
    made = Scaling(
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        pinned_replicas=scaling.replicas,
        headroom_ratio=ratio_from_percent(scaling.headroom_percent),
        scale_down_stabilisation_s=float(scaling.scale_down_stabilization_seconds),
        max_change_per_minute=scaling.max_change_per_minute,
        scale_to_zero_after_s=(
            None if scaling.scale_to_zero_after_seconds is None else float(scaling.scale_to_zero_after_seconds)
        ),
    )
    ceiling = fleet.spec.max_replicas if fleet else None
    if ceiling is None or ceiling >= made.max_replicas:
        return made
    pinned = None if made.pinned_replicas is None else min(made.pinned_replicas, ceiling)
    least = min(made.min_replicas, ceiling)
    return replace(made, max_replicas=ceiling, min_replicas=least, pinned_replicas=pinned)


def _budget(own: BudgetSpec, fleet: BudgetSpec | None) -> Budget:
    """Return the lower of both ceilings, where there are any."""
    both = [own] if fleet is None else [own, fleet]
    dollars = [float(each.usd_per_hour) for each in both if each.usd_per_hour is not None]
    watts = [float(each.watts) for each in both if each.watts is not None]
    return Budget(
        usd_per_s=usd_per_s_from_usd_per_h(min(dollars)) if dollars else None, watts=min(watts) if watts else None
    )
