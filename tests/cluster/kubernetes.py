"""The Kubernetes objects as they are applied (`kubectl kustomize`), the schemas they must keep, and their pods."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource

ROOT = Path(__file__).parents[2]
FOLDERS = ("platform", "overlays/cpu", "overlays/gpu", "overlays/multi-tenant", "runs/cluster", "runs/job")
KUBERNETES = "1.33.0"
"""Whose schemas the objects must keep; an older one than the newest, so that nothing rests on the newest."""
SPEC = {"RayCluster": "clusterSpec", "RayJob": "jobSpec", "RayService": "serviceSpec", "RayCronJob": "cronJobSpec"}

Object = dict[str, Any]

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which renders the overlays, is missing"
)


class Pod(NamedTuple):
    """A pod template. where: for messages. cluster: of the Ray cluster that it belongs to; None: of none."""

    where: str
    template: Object
    cluster: Object | None


@cache
def render(folder: str) -> list[Object]:
    """What `kubectl apply -k` would send."""
    path = ROOT / "cluster" / "kubernetes" / folder
    done = subprocess.run(["kubectl", "kustomize", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, yaml.CSafeLoader) if document]


def with_components(folder: str, names: Sequence[str], scratch: Path) -> list[Object]:
    """The same with further components, as its kustomization.yaml would name them. scratch: an empty folder."""
    root = os.path.relpath(ROOT / "cluster" / "kubernetes", scratch.resolve())
    own = {"resources": [f"{root}/{folder}"], "components": [f"{root}/components/{name}" for name in names]}
    kind = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    (scratch / "kustomization.yaml").write_text(yaml.safe_dump({**kind, **own}))
    return render(str(scratch.resolve()))


def everything() -> Iterator[tuple[str, Object]]:
    """All objects, with their folder."""
    for folder in FOLDERS:
        for document in render(folder):
            yield folder, document


def one(folder: str, kind: str, name: str | None = None) -> Object:
    """The only object of this kind (and name)."""
    (found,) = [o for o in render(folder) if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    return found


def ray_cluster(document: Object) -> Object:
    """The spec of the Ray cluster in one of KubeRay's objects."""
    spec = document["spec"]
    return {
        "RayCluster": lambda: spec,
        "RayJob": lambda: spec["rayClusterSpec"],
        "RayCronJob": lambda: spec["jobTemplate"]["rayClusterSpec"],
        "RayService": lambda: spec["rayClusterConfig"],
    }[document["kind"]]()


def job(document: Object) -> Object:
    """The job of a RayJob or RayCronJob."""
    return document["spec"]["jobTemplate"] if document["kind"] == "RayCronJob" else document["spec"]


def clusters() -> Iterator[tuple[str, Object]]:
    """Every Ray cluster, under folder and kind."""
    for folder, document in everything():
        if document["kind"] in SPEC:
            yield f"{folder} {document['kind']}", ray_cluster(document)


def pods() -> Iterator[Pod]:
    """Every pod template."""
    for folder, document in everything():
        yield from pods_of(folder, document)


def pods_of(folder: str, document: Object) -> Iterator[Pod]:
    """The pod templates of an object."""
    where = f"{folder} {document['kind']}"
    if document["kind"] in SPEC:
        cluster = ray_cluster(document)
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            yield Pod(f"{where} {group.get('groupName', 'head')}", group["template"], cluster)
        submitter = job(document).get("submitterPodTemplate") if "Job" in document["kind"] else None
        if submitter:
            yield Pod(f"{where} submitter", submitter, None)
    elif document["kind"] == "StatefulSet":
        yield Pod(where, document["spec"]["template"], None)


def labels_of(pod: Pod) -> Object:
    """A pod's labels, with those that KubeRay adds."""
    own = dict(pod.template["metadata"]["labels"])
    if pod.cluster is None:
        return own
    group = pod.where.split()[-1]
    kind = "head" if group == "head" else "worker"
    return {**own, "ray.io/cluster": "x", "ray.io/node-type": kind, "ray.io/group": group}


@cache
def _documents() -> tuple[Object, Object]:
    """Kubernetes' own schemas and KubeRay's, whose references lead from the one document to the other."""
    from kubernetes_validate.utils import schema_contents

    kubernetes = schema_contents(f"kubernetes-json-schema/v{KUBERNETES}-local-strict/_definitions.json", KUBERNETES)
    text = json.dumps(yaml.safe_load((Path(__file__).parent / "kuberay-1.7.yaml").read_text()))
    return kubernetes, json.loads(text.replace('"k8s:', '"/api/_definitions.json#/$defs/'))


def definitions() -> Object:
    """The named schemas, Kubernetes' own and KubeRay's."""
    return {name: schema for document in _documents() for name, schema in document["$defs"].items()}


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resources([
        (document["$id"], Resource.from_contents(document)) for document in _documents()
    ])  # fmt: skip


def mistakes(document: Object) -> list[str]:
    """What the schemas find: Kubernetes' own, and KubeRay's for its kinds. Unknown fields are mistakes."""
    from kubernetes_validate.utils import schema_contents

    if document["kind"] in SPEC:
        metadata = {"$ref": "/api/_definitions.json#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
        schema: Object = {
            "$id": "https://kubernetes.io/object.json",
            "type": "object",
            "additionalProperties": False,
            "required": ["metadata", "spec"],
            "properties": {
                "apiVersion": {"const": "ray.io/v1"},
                "kind": {},
                "metadata": metadata,
                "spec": {"$ref": f"/kuberay.json#/$defs/{SPEC[document['kind']]}"},
            },
        }
    else:
        group, _, version = document["apiVersion"].rpartition("/")
        name = "-".join(part for part in (document["kind"].lower(), group.split(".")[0], version) if part)
        schema = schema_contents(f"kubernetes-json-schema/v{KUBERNETES}-local-strict/{name}.json", KUBERNETES)
    validator = jsonschema.Draft202012Validator(schema, registry=_registry())
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(document)]
