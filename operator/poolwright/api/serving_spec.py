"""What is served and on what: model, engine, menu of accelerators, and the whitelisted fields of its pods."""

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic.json_schema import WithJsonSchema

from poolwright.api.resource import CPU_PATTERN, MEMORY_PATTERN, NAME_PATTERN, Strict, list_map, rules
from poolwright.hardware.number_format import FORMATS
from poolwright.planner.policy import EngineKind

FormatName = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(FORMATS)})]


class AccuracySpec(Strict):
    """How often a model is right in one class of tasks."""

    task_class: str = Field(
        min_length=1, max_length=40, pattern=NAME_PATTERN, description="Name of a taskClasses entry."
    )
    percent: int = Field(ge=0, le=100, description="Percent of its tasks that succeed, as you measured.")


Accuracies = Annotated[tuple[AccuracySpec, ...], Field(max_length=16, json_schema_extra=list_map("taskClass"))]


class AlternativeSpec(Strict):
    """Another model that could serve some of the requests."""

    name: str = Field(min_length=1, max_length=200, description="Catalogue name or Hugging Face id.")
    accuracies: Accuracies = Field(default=(), description="How often it is right, by class of tasks.")


class ModelSpec(Strict):
    """Which model is served, and where its weights come from."""

    model_config = Strict.model_config | {
        "json_schema_extra": rules(
            (
                "self.name == oldSelf.name || (has(self.allowChange) && self.allowChange)",
                (
                    "='model.name is ' + oldSelf.name + ' and cannot become ' + self.name + "
                    "' on a live pool without model.allowChange: true'"
                ),
            )
        )
    }

    name: str = Field(
        min_length=1, max_length=200, description="Catalogue name or Hugging Face id, such as meta-llama/Llama-3.1-8B."
    )
    source: str = Field(
        default="",
        max_length=400,
        pattern=r"^(hf://.+|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/.*)?)?$",
        description="Where pods load the weights from: hf://owner/name[@revision] or pvc://claim[/path]. "
        "Empty: the hub, by the model's name.",
    )
    architecture: dict[str, Any] | None = Field(
        default=None,
        description="Fields of the model's config.json, for a model that the catalogue does not know.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    accuracies: Accuracies = Field(default=(), description="How often this model is right, by class of tasks.")
    alternatives: tuple[AlternativeSpec, ...] = Field(
        default=(),
        max_length=8,
        description="Smaller or larger models to compare. Advice only: `poolwright plan` says which class of tasks "
        "should go to which; the pool deploys model.name.",
        json_schema_extra=list_map("name"),
    )
    allow_change: bool = Field(default=False, description="Allow model.name to change: all replicas are replaced.")

    @model_validator(mode="after")
    def _alternatives_differ(self) -> "ModelSpec":
        names = [self.name, *(each.name for each in self.alternatives)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"alternatives must differ from each other and from name, {', '.join(twice)} occurs twice")
        return self


class EngineSpec(Strict):
    """Which engine serves the tokens."""

    kind: EngineKind = Field(default=EngineKind.POOLWRIGHT, description="Engine that the pods run.")
    image: str = Field(
        default="", max_length=400, description="Engine image, best pinned by digest. Empty: the operator's default."
    )
    weight_formats: tuple[FormatName, ...] = Field(
        default=(),
        max_length=9,
        description="Number formats that weights may have, in order of preference. Empty: the checkpoint's.",
    )
    kv_formats: tuple[FormatName, ...] = Field(
        default=(), max_length=9, description="Number formats that the KV cache may have. Empty: bf16."
    )
    arguments: tuple[Annotated[str, Field(pattern=r"^--[a-z0-9][a-z0-9-]*(=.*)?$", max_length=200)], ...] = Field(
        default=(), max_length=32, description="Further arguments of the engine, each as --name or --name=value."
    )


class AcceleratorSpec(Strict):
    """One line of the menu."""

    name: str = Field(min_length=1, max_length=63, pattern=NAME_PATTERN, description="Catalogue or profile name.")
    max_replicas: int | None = Field(default=None, ge=0, le=10_000, description="Most replicas on this accelerator.")


class TolerationSpec(Strict):
    """A taint that engine pods tolerate, as in a pod."""

    key: str = Field(default="", max_length=317, description="Taint key; empty with operator Exists: every taint.")
    operator: Annotated[str, Field(pattern="^(Exists|Equal)$")] = Field(default="Equal", description="Exists or Equal.")
    value: str = Field(default="", max_length=63, description="Taint value for operator Equal.")
    effect: Annotated[str, Field(pattern="^(NoSchedule|PreferNoSchedule|NoExecute)?$")] = Field(
        default="", description="Taint effect; empty: every effect."
    )


class SecretName(Strict):
    """A Secret in the pool's namespace."""

    name: str = Field(min_length=1, max_length=253, description="Name of the Secret.")


class PodSpec(Strict):
    """The fields of an engine pod that a user may set."""

    tolerations: tuple[TolerationSpec, ...] = Field(default=(), max_length=16, description="Further tolerations.")
    node_selector: dict[str, str] = Field(default={}, max_length=16, description="Further node labels required.")
    runtime_class_name: str = Field(default="", max_length=253, description="RuntimeClass of the pods.")
    priority_class_name: str = Field(default="", max_length=253, description="PriorityClass of the pods.")
    image_pull_secrets: tuple[SecretName, ...] = Field(
        default=(), max_length=8, description="Secrets for the image registry."
    )
    cpu: Annotated[str, Field(pattern=CPU_PATTERN, max_length=16)] | None = Field(
        default=None, description="CPU request, such as 8 or 500m."
    )
    memory: Annotated[str, Field(pattern=MEMORY_PATTERN, max_length=16)] | None = Field(
        default=None, description="Memory request and limit with its unit, such as 64Gi."
    )
    model_cache_claim: str = Field(
        default="", max_length=253, description="PersistentVolumeClaim that keeps downloaded weights."
    )
