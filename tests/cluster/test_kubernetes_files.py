"""The Kubernetes objects as rendered: they keep the schemas, their pods are confined, what one names another has."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubernetes import FOLDERS, Object, everything, labels_of, mistakes, needs_kubectl, one, pods, render

pytestmark = needs_kubectl

PLATFORM = ("overlays/cpu", "overlays/gpu", "overlays/multi-tenant", "runs/cluster", "runs/job")
"""Folders that stand on the platform."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_keeps_its_schema(folder: str) -> None:
    for document in render(folder):
        assert not mistakes(document), document["metadata"]["name"]
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", document["metadata"]["name"])


def test_the_schemas_find_mistakes() -> None:
    service = one("overlays/cpu", "RayService")
    spec = {**service["spec"], "serveConfig": ""}
    assert mistakes({**service, "spec": spec}) == [
        "$.spec: Additional properties are not allowed ('serveConfig' was unexpected)"
    ]
    cluster = {**spec["rayClusterConfig"], "headGroupSpec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}
    (found,) = mistakes({**service, "spec": {**service["spec"], "rayClusterConfig": cluster}})
    assert "'name' is a required property" in found


def test_every_overlay_is_rendered_here() -> None:
    root = Path(__file__).parents[2] / "cluster" / "kubernetes"
    folders = {str(path.parent.relative_to(root)) for path in root.rglob("kustomization.yaml")}
    assert {name for name in folders if not name.startswith(("base", "components"))} == set(FOLDERS)


def test_every_container_is_confined() -> None:
    """The profile `restricted` of Kubernetes' pod security standards, and a root file system that is read-only."""
    for where, template, _ in pods():
        pod = template["spec"]
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, where
        assert context["runAsUser"] > 0, where
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), where
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, where
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), where
            assert "memory" in container["resources"]["limits"], where
        for volume in pod.get("volumes", []):
            assert set(volume) - {"name"} <= {"persistentVolumeClaim", "emptyDir", "configMap", "secret"}, where


def test_no_pod_but_a_head_gets_a_token_of_the_api_server() -> None:
    for where, template, _ in pods():
        assert where.endswith("head") or template["spec"]["automountServiceAccountToken"] is False, where


def test_autoscalers_are_confined_too() -> None:
    for where, template, cluster in pods():
        if cluster:
            options = cluster["autoscalerOptions"]
            assert options["securityContext"] == template["spec"]["containers"][0]["securityContext"], where
            assert options["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}], where


def test_mounts_volumes_and_claims_fit_together() -> None:
    claims = {o["metadata"]["name"]: o for o in render("platform") if o["kind"] == "PersistentVolumeClaim"}
    assert all(claim["spec"]["accessModes"] == ["ReadWriteMany"] for claim in claims.values())
    for where, template, cluster in pods():
        pod = template["spec"]
        mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        if "StatefulSet" in where:
            continue
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert set(mounts.values()) == set(volumes), where
        # What a process writes, where the root is read-only.
        assert volumes[mounts["/tmp"]]["emptyDir"] == {}, where
        assert volumes[mounts["/home/ray"]]["emptyDir"] == {}, where
        if cluster:
            env = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
            assert volumes[mounts["/shared"]]["persistentVolumeClaim"]["claimName"] in claims, where
            assert volumes[mounts[env["HF_HOME"]["value"]]]["persistentVolumeClaim"]["claimName"] in claims, where


def _references(value: Any, key: str) -> set[str]:
    if isinstance(value, dict):
        found = {value[key]["name"]} if isinstance(value.get(key), dict) and "name" in value[key] else set()
        return found.union(*(_references(one, key) for one in value.values()))
    return set().union(*(_references(one, key) for one in value)) if isinstance(value, list) else set()


def test_every_secret_is_made_by_a_command_of_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "cluster" / "README.md").read_text()
    made = set(re.findall(r"create secret (?:generic|tls) ([\w-]+)", readme))
    used: set[str] = set()
    for _, document in everything():
        used |= _references(document, "secretKeyRef")
        used |= set(re.findall(r"'secretName': '([\w-]+)'", str(document)))
    # That of components/node-certificates, which no folder has by itself.
    assert used == made - {"hydra-ray-authority"}


def test_every_config_map_is_generated() -> None:
    for folder in PLATFORM:
        made = {o["metadata"]["name"] for o in render(folder) if o["kind"] == "ConfigMap"}
        assert set().union(*(_references(o, "configMap") for o in render(folder))) == made, folder


def test_images_are_set_in_one_place() -> None:
    images = {container["image"] for _, template, _ in pods() for container in template["spec"]["containers"]}
    registries = {image.partition(":")[0] for image in images}
    assert registries == {"registry.example.com/hydra-ray", "redis"}
    assert not any(image.endswith(":latest") or ":" not in image for image in images)


def _selected(selector: Object, labels: Object) -> bool:
    for wanted in selector.get("matchExpressions", []):
        here = labels.get(wanted["key"])
        if wanted["operator"] == "In" and here not in wanted["values"]:
            return False
        if wanted["operator"] == "Exists" and here is None:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def test_every_pod_is_shut_and_opened_to_whom_it_needs() -> None:
    policies = {o["metadata"]["name"]: o["spec"] for o in render("platform") if o["kind"] == "NetworkPolicy"}
    assert policies["hydra-ray"] == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "hydra-ray"}},
        "policyTypes": ["Ingress"],
    }
    for pod in pods():
        where, template, cluster = pod
        labels = labels_of(pod)
        assert _selected(policies["hydra-ray"]["podSelector"], labels), where
        assert _selected(policies["hydra-ray-nodes"]["podSelector"], labels) == (cluster is not None), where
        assert _selected(policies["hydra-ray-redis"]["podSelector"], labels) == ("StatefulSet" in where), where
        to_redis = policies["hydra-ray-redis"]["ingress"][0]["from"][0]["podSelector"]
        assert _selected(to_redis, labels) == (cluster is not None), where
        among = policies["hydra-ray-nodes"]["ingress"][0]["from"][0]["podSelector"]
        assert _selected(among, labels), where
        ports = {port["containerPort"] for port in template["spec"]["containers"][0].get("ports", [])}
        if labels.get("app.kubernetes.io/component") == "service":
            opened = {port["port"] for rule in policies["hydra-ray-nodes"]["ingress"] for port in rule.get("ports", [])}
            assert {8000, 8080} <= ports & opened, where


def test_disruption_budgets_protect_the_pods_they_are_meant_for() -> None:
    budgets = {f"{folder} {o['metadata']['name']}": o["spec"] for folder, o in everything() if "Budget" in o["kind"]}
    protected = {}
    for name, spec in budgets.items():
        # Shares and maxUnavailable are refused for pods whose owner has no scale.
        assert spec["minAvailable"] == 1
        assert "maxUnavailable" not in spec
        folder = name.split()[0]
        protected[name] = [
            " ".join(pod.where.split()[1:])
            for pod in pods()
            if pod.where.split()[0] == folder and _selected(spec["selector"], labels_of(pod))
        ]
    service = {"hydra-ray-service-workers": ["RayService cpu"], "hydra-ray-nightly-driver": ["RayCronJob head"]}
    with_llm = {**service, "hydra-ray-service-llm": ["RayService gpu"]}
    assert protected == {
        **{f"overlays/cpu {name}": pods for name, pods in service.items()},
        **{f"overlays/gpu {name}": pods for name, pods in with_llm.items()},
        **{f"overlays/multi-tenant {name}": pods for name, pods in with_llm.items()},
        "runs/job hydra-ray-run-driver": ["RayJob head"],
    }


def test_redis_is_what_the_clusters_are_pointed_at() -> None:
    service, redis = one("platform", "Service"), one("platform", "StatefulSet")["spec"]["template"]
    assert service["spec"]["selector"] == redis["metadata"]["labels"]
    (container,) = redis["spec"]["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    address = f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    password = container["env"][0]["valueFrom"]
    for where, _, cluster in pods():
        if cluster and (options := cluster.get("gcsFaultToleranceOptions")):
            assert options["redisAddress"] == address, where
            assert options["redisPassword"]["valueFrom"] == password, where
            # An upgrade's two clusters must not take each other's state: KubeRay gives each its own namespace.
            assert "externalStorageNamespace" not in options, where


def test_several_tenants_have_a_namespace_tls_and_few_ways_out() -> None:
    documents = render("overlays/multi-tenant")
    assert {o["metadata"]["namespace"] for o in documents} == {"hydra-ray"}
    ingress = one("overlays/multi-tenant", "Ingress")["spec"]
    (rule,) = ingress["rules"]
    assert ingress["tls"] == [{"hosts": [rule["host"]], "secretName": "hydra-ray-tls"}]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/v1", "/readyz"]
    service = one("overlays/multi-tenant", "RayService")
    for path in rule["http"]["paths"]:
        # The name that KubeRay gives.
        assert path["backend"]["service"] == {
            "name": f"{service['metadata']['name']}-serve-svc",
            "port": {"number": 8000},
        }
    egress = one("overlays/multi-tenant", "NetworkPolicy", "hydra-ray-egress")["spec"]
    assert egress["policyTypes"] == ["Egress"]
    assert [{port["port"] for port in rule.get("ports", [])} for rule in egress["egress"]] == [
        set(),
        {53},
        {443, 6443, 5432},
    ]
