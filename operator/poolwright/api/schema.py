"""From pydantic types to CRD YAML: types are written once, everything else is generated.

``python -m poolwright.api.schema --write`` writes ``crds/``, the chart's copy and ``docs/reference/``; ``--check``
fails with a diff when they are not what the types say. The field reference is made by ``reference``.
"""

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

from poolwright.api.accelerator_profile import AcceleratorProfile
from poolwright.api.fleet_policy import FleetPolicy
from poolwright.api.inference_pool import InferencePool
from poolwright.api.reference import reference
from poolwright.api.resource import GROUP, VERSION

HEADER: Final = "# Generated from operator/poolwright/api by `make generate`; edit the types, not this file.\n"
DROPPED: Final = {"title", "discriminator", "const", "additionalProperties"}
"""Keywords of JSON schema that a structural schema does not have, or that the API server's own checks replace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crd:
    """A custom resource definition to be."""

    model: type[BaseModel]
    plural: str
    short_names: tuple[str, ...]
    is_namespaced: bool
    columns: tuple[tuple[str, str, str, str], ...]
    has_status: bool = False
    has_scale: bool = False


CRDS: Final = (
    Crd(
        model=InferencePool,
        plural="inferencepools",
        short_names=("ipool",),
        is_namespaced=True,
        has_status=True,
        has_scale=True,
        columns=(
            ("Mode", "string", ".spec.mode", "Whether the controller acts"),
            ("Desired", "integer", ".status.replicas", "Replicas wanted"),
            ("Ready", "integer", ".status.readyReplicas", "Replicas that serve"),
            ("$/h", "string", ".status.usdPerHour", "Cost of what is wanted"),
            (
                "Objectives",
                "string",
                '.status.conditions[?(@.type=="ObjectivesMet")].status',
                "Whether they are expected to be met",
            ),
            ("Binding", "string", ".status.binding", "What keeps the plan from being cheaper"),
            ("Age", "date", ".metadata.creationTimestamp", "Since creation"),
        ),
    ),
    Crd(
        model=AcceleratorProfile,
        plural="acceleratorprofiles",
        short_names=("accel",),
        is_namespaced=False,
        columns=(
            ("Memory GiB", "integer", ".spec.memoryGibibytes", "Device memory"),
            ("Bandwidth GB/s", "integer", ".spec.bandwidthGigabytesPerSecond", "Memory bandwidth"),
            ("$/h", "string", ".spec.usdPerHour", "Price of one"),
        ),
    ),
    Crd(
        model=FleetPolicy,
        plural="fleetpolicies",
        short_names=("fleet",),
        is_namespaced=False,
        columns=(("Max replicas", "integer", ".spec.maxReplicas", "Most replicas of one pool"),),
    ),
)


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """Return the structural OpenAPI schema of a resource type."""
    schema = model.model_json_schema(by_alias=True)
    whole: dict[str, Any] = _structural(schema, schema.get("$defs", {}))
    for standard in ("apiVersion", "kind", "metadata"):
        whole["properties"].pop(standard)
    whole["properties"].get("status", {}).pop("default", None)
    whole["required"] = [name for name in whole.get("required", ()) if name in whole["properties"]]
    return {key: value for key, value in whole.items() if value != []}


def _structural(node: Any, definitions: dict[str, Any]) -> Any:
    """Inline references, drop what a structural schema has not, and turn optional values into absent ones."""
    if isinstance(node, list):
        return [_structural(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        present = [each for each in node["anyOf"] if each != {"type": "null"}]
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _structural({**present[0], **rest}, definitions)
    if node.get("type") == "object" and isinstance(node.get("additionalProperties"), dict):
        return _map(node, definitions)
    done = {
        key: _structural(value, definitions) for key, value in node.items() if key not in DROPPED and key != "$defs"
    }
    if "properties" in node:
        done["properties"] = {name: _structural(value, definitions) for name, value in node["properties"].items()}
    return _with_default(done)


def _map(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    done = {key: value for key, value in node.items() if key not in DROPPED}
    values = _structural(node["additionalProperties"], definitions)
    return _with_default(
        {**done, "additionalProperties": {**values, "maxLength": 253} if values == {"type": "string"} else values}
    )


def _with_default(node: dict[str, Any]) -> dict[str, Any]:
    """Keep a default without its empty parts: absent says the same, and rules ask with ``has``."""
    if "default" not in node:
        return node
    default = _without_empty(node["default"])
    rest = {key: value for key, value in node.items() if key != "default"}
    is_needed = default not in (None, "", []) and not (default == {} and node.get("type") != "object")
    return {**rest, "default": default} if is_needed and not _is_plain_map(node) else rest


def _is_plain_map(node: dict[str, Any]) -> bool:
    return node.get("type") == "object" and "properties" not in node


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kept for key, each in value.items() if (kept := _without_empty(each)) not in (None, "", [], {})}
    return value


def manifest(crd: Crd) -> dict[str, Any]:
    """Return the CustomResourceDefinition."""
    kind = crd.model.__name__
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": name, "type": type_, "jsonPath": path, "description": text}
            for name, type_, path, text in crd.columns
        ],
        "schema": {"openAPIV3Schema": structural(crd.model)},
    }
    if crd.has_status:
        version["subresources"] = {"status": {}}
    if crd.has_scale:
        version["subresources"]["scale"] = {
            "specReplicasPath": ".spec.scaling.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{crd.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": crd.plural,
                "singular": kind.lower(),
                "shortNames": list(crd.short_names),
                "categories": ["poolwright"],
            },
            "scope": "Namespaced" if crd.is_namespaced else "Cluster",
            "versions": [version],
        },
    }


def generated() -> dict[str, str]:
    """Return the text of every generated file by its path from the project's root."""
    texts: dict[str, str] = {}
    for crd in CRDS:
        text = HEADER + yaml.safe_dump(manifest(crd), sort_keys=False, width=120, allow_unicode=True)
        name = f"{GROUP}_{crd.plural}.yaml"
        texts[f"crds/{name}"] = texts[f"charts/poolwright/crds/{name}"] = text
        texts[f"docs/reference/{crd.model.__name__}.md"] = reference(
            crd.model.__name__, structural(crd.model), (crd.model.__doc__ or "").strip()
        )
    return texts


def main(arguments: list[str], root: Path) -> int:
    """Write the files, or print how they differ; return the exit status."""
    if arguments not in (["--write"], ["--check"]):
        sys.stderr.write("usage: python -m poolwright.api.schema --write | --check\n")
        return 2
    status = 0
    for name, text in generated().items():
        path = root / name
        before = path.read_text() if path.exists() else ""
        if before == text:
            continue
        if arguments == ["--write"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            status = 1
            lines = difflib.unified_diff(before.splitlines(True), text.splitlines(True), name, f"{name} (generated)")
            sys.stdout.writelines(lines)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parents[3]))
