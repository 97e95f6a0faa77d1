"""Everything about a pool that its pods are made from, as plain values: the pure builders' view of the resource.

``workload_of`` is the only place in the builders that knows the custom resource's types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from poolwright.api.inference_pool import InferencePool
from poolwright.api.serving_spec import ModelSpec, PodSpec
from poolwright.api.translate import model_shape
from poolwright.controller.cluster.pod_state import PoolRef
from poolwright.hardware.catalogue import Catalogue
from poolwright.planner.policy import EngineKind

Json = dict[str, Any]

HUGGING_FACE: Final = "hf://"
CLAIM: Final = "pvc://"
"""Schemes of a model's source: a repository to download from, and a volume claim (with a path in it) to read."""

MODEL_FOLDER: Final = "/models"
"""Where a claim with weights is mounted, read-only."""


class ManifestError(ValueError):
    """The plan or the resource asks for pods that cannot be made: the user must edit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestOptions:
    """What the operator's settings add to every pool.

    Attributes
    ----------
    images
        Default image of each engine kind.
    operator_namespace
        Where scrapes come from.
    client_namespaces
        Namespaces besides the pool's own whose pods may call the engines.
    has_pod_monitor
        Whether to make PodMonitors (needs the Prometheus Operator's CRDs).
    """

    images: Mapping[EngineKind, str]
    operator_namespace: str = ""
    client_namespaces: tuple[str, ...] = ()
    has_pod_monitor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PodWishes:
    """The whitelisted pod fields of the resource."""

    tolerations: Sequence[Mapping[str, Any]] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    runtime_class_name: str = ""
    priority_class_name: str = ""
    image_pull_secrets: Sequence[str] = ()
    cpu: str = ""
    memory: str = ""
    cache_claim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the pods of a pool run.

    Attributes
    ----------
    pool, uid
        Identity of the owner.
    model, revision
        Hugging Face id (or catalogue name) and pinned revision, empty for the newest.
    claim, claim_path
        Volume claim that holds the weights and the folder in it; empty where they are downloaded.
    native_format
        Format of the checkpoint, which the engine finds by itself.
    engine, image, arguments
        Which engine, its image and the user's whitelisted arguments.
    pod
        Pod fields that the user set.
    """

    pool: PoolRef
    uid: str
    model: str
    native_format: str
    engine: EngineKind
    image: str
    revision: str = ""
    claim: str = ""
    claim_path: str = ""
    arguments: tuple[str, ...] = ()
    pod: PodWishes = field(default_factory=PodWishes)

    @property
    def is_downloaded(self) -> bool:
        """Return whether pods fetch the weights over https when they start."""
        return not self.claim

    @property
    def model_argument(self) -> str:
        """Return what the engine is told to load."""
        return f"{MODEL_FOLDER}/{self.claim_path}".rstrip("/") if self.claim else self.model

    @property
    def owner(self) -> Json:
        """Return the reference that ties an object to the pool and removes it with the pool."""
        return {
            "apiVersion": "poolwright.io/v1alpha1",
            "kind": "InferencePool",
            "name": self.pool.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def workload_of(pool: InferencePool, catalogue: Catalogue, options: ManifestOptions) -> Workload:
    """Return what the pods of a pool run.

    Raises
    ------
    ManifestError
        No image is known for the engine.
    SpecError
        The catalogue does not know the model.
    """
    engine = pool.spec.engine
    image = engine.image or options.images.get(engine.kind, "")
    if not image:
        raise ManifestError(f"spec.engine.image is empty, and the operator has no default image for {engine.kind}")
    claim, _, claim_path = pool.spec.model.source.removeprefix(CLAIM).partition("/")
    is_claimed = pool.spec.model.source.startswith(CLAIM)
    model, revision = _repository(pool.spec.model)
    return Workload(
        pool=PoolRef(namespace=pool.metadata.namespace, name=pool.metadata.name),
        uid=pool.metadata.uid,
        model=model,
        revision=revision,
        claim=claim if is_claimed else "",
        claim_path=claim_path if is_claimed else "",
        native_format=model_shape(pool.spec, catalogue).native_format,
        engine=engine.kind,
        image=image,
        arguments=engine.arguments,
        pod=pod_wishes(pool.spec.pod),
    )


def _repository(model: ModelSpec) -> tuple[str, str]:
    """Return the repository and its revision: of an ``hf://`` source, otherwise the model's name."""
    if not model.source.startswith(HUGGING_FACE):
        return model.name, ""
    name, _, revision = model.source.removeprefix(HUGGING_FACE).partition("@")
    return name, revision


def pod_wishes(spec: PodSpec) -> PodWishes:
    """Return the pod fields of a resource, without those that say nothing."""
    return PodWishes(
        tolerations=tuple(
            {key: value for key, value in each.model_dump().items() if value != ""} for each in spec.tolerations
        ),
        node_selector=spec.node_selector,
        runtime_class_name=spec.runtime_class_name,
        priority_class_name=spec.priority_class_name,
        image_pull_secrets=tuple(each.name for each in spec.image_pull_secrets),
        cpu=spec.cpu or "",
        memory=spec.memory or "",
        cache_claim=spec.model_cache_claim,
    )
