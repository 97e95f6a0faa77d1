"""The field reference: one table per resource, from the same schema that the API server enforces."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]


def reference(kind: str, schema: Schema, summary: str) -> str:
    """Return the Markdown page of a kind."""
    rows = "".join(f"| `{path}` | {type_} | {default} | {text} |\n" for path, type_, default, text in _rows(schema, ""))
    rules = "".join(f"- {message}\n" for message in _rules(schema))
    enforced = f"\n## What the API server refuses\n\n{rules}" if rules else ""
    return (
        f"# {kind}\n\n<!-- Generated from operator/poolwright/api by `make generate`: edit the types instead. -->\n\n"
        f"{summary}\n\n| field | type | default | meaning |\n|---|---|---|---|\n{rows}{enforced}"
    )


def _rows(schema: Schema, path: str) -> Iterator[tuple[str, str, str, str]]:
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        default = _default(field, is_required=name in required)
        yield here, _type(field), default, str(field.get("description", "")).replace("|", "\\|")
        item = field.get("items", {})
        yield from _rows(item, f"{here}[]") if item.get("properties") else _rows(field, here)


def _type(field: Schema) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "enum" in field:
        return " \\| ".join(str(value) for value in field["enum"])
    kind = str(field.get("type", "object"))
    if kind == "array":
        return f"list of {_type(field['items'])}"
    bounds = [f"{word} {field[key]}" for key, word in (("minimum", ">="), ("maximum", "<=")) if key in field]
    return f"{kind}, {', '.join(bounds)}" if bounds else kind


def _default(field: Schema, *, is_required: bool) -> str:
    if is_required:
        return "required"
    if field.get("type") == "object" or "default" not in field:
        return ""
    return f"`{field['default']}`"


def _rules(schema: Schema) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield str(rule.get("message") or f"unless `{rule['rule']}`")
    for field in schema.get("properties", {}).values():
        yield from _rules(field)
        yield from _rules(field.get("items", {}))
