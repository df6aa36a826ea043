"""KubeRay's kinds as an API server knows them: CustomResourceDefinitions made of the schemas in kuberay-1.7.yaml.

A definition may say less than a schema does: no references, one type a value, no `additionalProperties: false`. The
server drops what a definition does not name, or refuses it where it is asked to be strict.
"""

from typing import Any

from tests.cluster.kubernetes import SPEC, Object, definitions

_KEPT = (
    "format", "minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "minProperties", "pattern",
    "required", "default", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
)  # fmt: skip


def custom_resource_definitions() -> list[Object]:
    """Those of RayCluster, RayJob, RayService and RayCronJob."""
    return [_definition(kind, spec) for kind, spec in SPEC.items()]


def _definition(kind: str, spec: str) -> Object:
    plural = f"{kind.lower()}s"
    named = definitions()
    schema = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(named[spec], named),
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.ray.io"},
        "spec": {
            "group": "ray.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


def structural(schema: Object, named: Object) -> Object:
    """A schema as a definition may hold it. named: what references lead to."""
    if reference := schema.get("$ref"):
        return structural(named[reference.rpartition("/")[2]], named)
    if "oneOf" in schema:  # a quantity, or a port's number or name
        return {"x-kubernetes-int-or-string": True}
    types = schema.get("type", "string" if "enum" in schema else "object")
    kept: Object = {"type": types if isinstance(types, str) else next(one for one in types if one != "null")}
    kept |= {key: schema[key] for key in _KEPT if key in schema}
    if "enum" in schema:
        kept["enum"] = [value for value in schema["enum"] if value is not None]
    if "items" in schema:
        kept["items"] = _with_keys(structural(schema["items"], named), schema)
    if "properties" in schema:
        kept["properties"] = {name: structural(value, named) for name, value in schema["properties"].items()}
    elif isinstance(values := schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = structural(values, named)
    elif kept["type"] == "object":
        kept["x-kubernetes-preserve-unknown-fields"] = True
    return kept


def _with_keys(items: Object, schema: Object) -> Object:
    """Items of a list that keys identify: a key is required or has a default."""
    for key in schema.get("x-kubernetes-list-map-keys", []):
        value: dict[str, Any] = items["properties"][key]
        if key not in items.get("required", []) and "default" not in value:
            value["default"] = "TCP" if key == "protocol" else ""
    return items
