"""The Kubernetes objects, given to a real API server: it takes them, drops nothing, and its selectors find the pods."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import api_server
from tests.cluster.api_server import ApiServer
from tests.cluster.kuberay_crds import custom_resource_definitions
from tests.cluster.kubernetes import (
    FOLDERS,
    ROOT,
    Object,
    Pod,
    labels_of,
    needs_kubectl,
    pods_of,
    ray_cluster,
    render,
    with_components,
)

pytestmark = [pytest.mark.nodes, needs_kubectl, pytest.mark.timeout(600)]

WITH_GPUS = ("overlays/gpu", "overlays/multi-tenant", "runs/cluster", "runs/job")
VARIANTS = [
    *((folder, ()) for folder in FOLDERS),
    *((folder, ("node-tls",)) for folder in ("overlays/cpu", "overlays/gpu", "runs/cluster", "runs/job")),
    *((folder, ("node-certificates", "image")) for folder in WITH_GPUS),
]
NAMESPACE = yaml.safe_load((ROOT / "cluster/kubernetes/overlays/multi-tenant/namespace.yaml").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    if reason := api_server.reason_to_skip():
        pytest.skip(reason)
    with ApiServer(tmp_path_factory.mktemp("server")) as started:
        kinds = custom_resource_definitions()
        started.answer("apply", "--server-side", "-f", "-", objects=kinds)
        names = [f"customresourcedefinition/{kind['metadata']['name']}" for kind in kinds]
        started.answer("wait", "--for=condition=Established", "--timeout=60s", *names)
        yield started


@pytest.fixture
def namespace(server: ApiServer, request: pytest.FixtureRequest) -> str:
    """One of the test's own, whose pods must keep the profile `restricted` (which Kubernetes knows from 1.23 on)."""
    name = re.sub(r"\W+|_", "-", request.node.name).strip("-")[-60:].strip("-").lower()
    labels = {**NAMESPACE["metadata"]["labels"], "pod-security.kubernetes.io/enforce": "restricted"}
    made = {**NAMESPACE, "metadata": {"name": name, "labels": labels}}
    server.answer("create", "-f", "-", objects=[made])
    return name


def _for(server: ApiServer, namespace: str, document: Object) -> Object:
    """An object for this namespace, as far as this server knows its kind: budgets are older than policy/v1."""
    document = {**document, "metadata": {**document["metadata"], "namespace": namespace}}
    if document["kind"] == "PodDisruptionBudget":
        if server.version < (1, 21):
            document["apiVersion"] = "policy/v1beta1"
        if server.version < (1, 26):
            document["spec"] = {k: v for k, v in document["spec"].items() if k != "unhealthyPodEvictionPolicy"}
    return document


def _pod(namespace: str, number: int, pod: Pod) -> Object:
    """As KubeRay or a StatefulSet makes it of a template; a head also gets the autoscaler."""
    spec = dict(pod.template["spec"])
    if pod.where.endswith(" head") and pod.cluster:
        options = pod.cluster["autoscalerOptions"]
        given = {key: options[key] for key in ("resources", "securityContext", "volumeMounts", "env") if key in options}
        autoscaler = {"name": "autoscaler", "image": spec["containers"][0]["image"], **given}
        spec["containers"] = [*spec["containers"], autoscaler]
    if pod.where.endswith("StatefulSet"):
        claimed = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        claimed -= {volume["name"] for volume in spec.get("volumes", [])}
        claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in sorted(claimed)]
        spec["volumes"] = [*spec.get("volumes", []), *claims]
    name = f"{re.sub('[^a-z]+', '-', pod.where.lower())}-{number}"
    metadata = {"name": name, "namespace": namespace, "labels": labels_of(pod)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _pods(namespace: str, folder: str, documents: Sequence[Object]) -> list[Object]:
    found = [pod for document in documents for pod in pods_of(folder, document)]
    return [_pod(namespace, number, pod) for number, pod in enumerate(found)]


def _dropped(sent: Any, kept: Any, where: str = "") -> Iterator[str]:
    """What was sent and is not there as it was sent.

    The server may append to a list (tolerations that every pod has) and leave out an empty one, which means nothing.
    """
    if isinstance(sent, dict) and isinstance(kept, dict):
        for key, value in sent.items():
            if key in kept:
                yield from _dropped(value, kept[key], f"{where}.{key}")
            elif value != []:
                yield f"{where}.{key}: {value} is gone"
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) <= len(kept):
        for index, (one, other) in enumerate(zip(sent, kept, strict=False)):
            yield from _dropped(one, other, f"{where}[{index}]")
    elif sent != kept:
        yield f"{where}: {sent} became {kept}"


def _kept(server: ApiServer, documents: list[Object]) -> list[Object]:
    back = json.loads(server.answer("get", "-f", "-", "-o", "json", objects=documents))
    kept: list[Object] = back["items"] if back["kind"] == "List" else [back]
    return kept


def _version(document: Object) -> str:
    version: str = document["metadata"]["resourceVersion"]
    return version


def _lost(documents: list[Object], kept: list[Object]) -> list[str]:
    return [lost for one, other in zip(documents, kept, strict=True) for lost in _dropped(one, other, one["kind"])]


@pytest.mark.parametrize(
    ("folder", "components"), VARIANTS, ids=["+".join((folder, *parts)) for folder, parts in VARIANTS]
)
def test_objects_and_their_pods_are_taken_whole(
    server: ApiServer, namespace: str, folder: str, components: Sequence[str], tmp_path: Path
) -> None:
    rendered = with_components(folder, components, tmp_path) if components else render(folder)
    documents = [_for(server, namespace, document) for document in rendered]
    server.answer("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", objects=documents)
    printed = server.answer("apply", "--validate=strict", "-f", "-", objects=documents).splitlines()
    assert [line.split()[-1] for line in printed] == ["created"] * len(documents)
    kept = _kept(server, documents)
    assert _lost(documents, kept) == []
    server.answer("apply", "--validate=strict", "-f", "-", objects=documents)
    # A second time, nothing is written.
    assert [_version(document) for document in _kept(server, documents)] == [_version(document) for document in kept]

    pods = _pods(namespace, folder, rendered)
    if pods:
        server.answer("create", "--validate=strict", "-f", "-", objects=pods)
        kept = _kept(server, pods)
        assert _lost(pods, kept) == []
        # By default every Service of the namespace sets variables in it: one called `vllm` sets VLLM_PORT.
        assert not any(pod["spec"]["enableServiceLinks"] for pod in kept)


def _selectors(document: Object) -> Iterator[tuple[str, str]]:
    """An object's selectors of pods in its own namespace, as `kubectl get --selector` takes them."""
    name, spec = f"{document['kind']} {document['metadata']['name']}", document.get("spec", {})
    found = {
        "NetworkPolicy": lambda: [spec["podSelector"], *_peers(spec)],
        "PodDisruptionBudget": lambda: [spec["selector"]],
        "StatefulSet": lambda: [spec["selector"]],
        "Service": lambda: [{"matchLabels": spec["selector"]}],
    }.get(document["kind"], list)()
    for selector in found:
        parts = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
        for wanted in selector.get("matchExpressions", []):
            values = f" in ({','.join(wanted['values'])})" if wanted["operator"] == "In" else ""
            parts.append(wanted["key"] + values)
        yield name, ",".join(parts)


def _peers(spec: Object) -> Iterator[Object]:
    for rule in (*spec.get("ingress", []), *spec.get("egress", [])):
        for peer in (*rule.get("from", []), *rule.get("to", [])):
            if set(peer) == {"podSelector"}:
                yield peer["podSelector"]


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "platform"])
def test_selectors_find_pods(server: ApiServer, namespace: str, folder: str) -> None:
    documents = [*render("platform"), *render(folder)]
    server.answer("create", "-f", "-", objects=_pods(namespace, folder, documents))
    seen = set()
    for document in documents:
        for name, selector in _selectors(document):
            assert server.answer("get", "pods", "-n", namespace, "-o", "name", "-l", selector), f"{name}: {selector}"
            seen.add(name.split()[0])
    assert seen >= {"NetworkPolicy", "StatefulSet", "Service"}
    nothing = server.kubectl("get", "pods", "-n", namespace, "-o", "name", "-l", "app.kubernetes.io/component=x")
    assert nothing.stdout == ""


def test_the_nightly_fit_is_switched_on_by_the_command_of_its_file(server: ApiServer, namespace: str) -> None:
    documents = [_for(server, namespace, document) for document in render("overlays/cpu")]
    server.answer("apply", "-f", "-", objects=documents)
    text = (ROOT / "cluster/kubernetes/base/nightly.yaml").read_text()
    command = re.search(r"^ *# +kubectl (patch .*)$", text, re.MULTILINE)
    assert command
    server.answer(*shlex.split(command.group(1)), "-n", namespace)
    (fit,) = [document for document in documents if document["kind"] == "RayCronJob"]
    assert _lost([fit], _kept(server, [fit])) == ["RayCronJob.spec.suspend: True became False"]


@pytest.mark.parametrize("folder", ["overlays/gpu", "runs/cluster"])
def test_a_folder_is_removed_without_its_data(server: ApiServer, namespace: str, folder: str) -> None:
    platform, own = ([_for(server, namespace, one) for one in render(each)] for each in ("platform", folder))
    server.answer("apply", "-f", "-", objects=[*platform, *own])
    server.answer("delete", "--wait=false", "-f", "-", objects=own)
    assert len(_kept(server, platform)) == len(platform)
    assert server.kubectl("get", "-f", "-", objects=own).stdout == ""


def test_mistakes_are_refused(server: ApiServer, namespace: str) -> None:
    (service,) = [_for(server, namespace, one) for one in render("overlays/cpu") if one["kind"] == "RayService"]

    def refused(document: Object) -> str:
        done = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", objects=[document])
        assert done.returncode == 1, done.stdout
        return done.stderr

    assert "serveConfig" in refused({**service, "spec": {**service["spec"], "serveConfig": ""}})
    cluster = {**ray_cluster(service), "authOptions": {"mode": "none"}}
    assert "spec.rayClusterConfig.authOptions.mode" in refused(
        {**service, "spec": {**service["spec"], "rayClusterConfig": cluster}}
    )
    head = _pods(namespace, "overlays/cpu", [service])[0]
    assert "volumeMounts" in refused({**head, "spec": {**head["spec"], "volumes": []}})
