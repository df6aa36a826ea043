"""The files under cluster/ parse, agree with pyproject.toml, and keep the rules that KubeRay and Ray check."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hydra_ray import env
from hydra_ray.cli import STAGES
from hydra_ray.config import load_config
from hydra_ray.serve.config import ServeConfig
from hydra_ray.serve.deploy.config_file import check_file, check_text

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
KUBERNETES = ("storage.yaml", "redis.yaml", "raycluster.yaml", "rayjob.yaml", "rayservice.yaml")
PYPROJECT = (ROOT / "pyproject.toml").read_text()
RAY = re.search(r'"ray\[[^\]]*\]==([0-9.]+)"', PYPROJECT).group(1)  # type: ignore[union-attr]


def _documents(name: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((CLUSTER / name).read_text()) if document]


def _one(name: str, kind: str) -> dict[str, Any]:
    (document,) = [document for document in _documents(name) if document["kind"] == kind]
    return document


CLUSTERS = {
    "raycluster.yaml": _one("raycluster.yaml", "RayCluster")["spec"],
    "rayjob.yaml": _one("rayjob.yaml", "RayJob")["spec"]["rayClusterSpec"],
    "rayservice.yaml": _one("rayservice.yaml", "RayService")["spec"]["rayClusterConfig"],
}
every_cluster = pytest.mark.parametrize("spec", CLUSTERS.values(), ids=CLUSTERS)


def _pods(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        yield group["template"]["spec"]


@pytest.mark.parametrize("name", KUBERNETES)
def test_documents_are_kubernetes_objects(name: str) -> None:
    for document in _documents(name):
        assert {"apiVersion", "kind", "metadata"} <= set(document)
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", document["metadata"]["name"])
        if document["kind"].startswith("Ray"):
            assert document["apiVersion"] == "ray.io/v1"


@every_cluster
def test_ray_is_the_pinned_one_everywhere(spec: dict[str, Any]) -> None:
    assert spec["rayVersion"] == RAY
    for pod in _pods(spec):
        assert f"-ray{RAY}-" in pod["containers"][0]["image"]


def test_the_image_sets_what_every_process_needs() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    for variable in (env.PROXY_LAYERS, env.PROXY_HEALTH, *env.DRIVER[:2]):
        assert f"{variable.name}={variable.value} \\\n" in text


@every_cluster
def test_images_fit_their_machines(spec: dict[str, Any]) -> None:
    for pod in _pods(spec):
        container = pod["containers"][0]
        assert container["image"].endswith("-gpu" if "nvidia.com/gpu" in container["resources"]["limits"] else "-cpu")
        # Ray sizes a node by its limits and Kubernetes places it by its requests.
        assert container["resources"]["limits"] == container["resources"]["requests"]


@every_cluster
def test_rules_that_the_operator_checks(spec: dict[str, Any]) -> None:
    """KubeRay's validation of a cluster with autoscaler v2 and token authentication."""
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["authOptions"]["mode"] == "token"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    for pod in _pods(spec):
        assert pod["restartPolicy"] == "Never"
        names = {variable["name"] for variable in pod["containers"][0]["env"]}
        assert not names & {"RAY_enable_autoscaler_v2", "RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "RAY_AUTH_TOKEN"}
    for group in spec["workerGroupSpecs"]:
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@every_cluster
def test_every_mount_has_its_volume_and_everyone_shares_one(spec: dict[str, Any]) -> None:
    claim = _one("storage.yaml", "PersistentVolumeClaim")["metadata"]["name"]
    for pod in _pods(spec):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert set(mounts) == set(volumes)
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim
        assert mounts["shared"] == "/shared"


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayservice.yaml"])
def test_fault_tolerance_points_at_the_redis_of_the_file(name: str) -> None:
    options = CLUSTERS[name]["gcsFaultToleranceOptions"]
    service = _one("redis.yaml", "Service")
    assert options["redisAddress"] == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    redis = _one("redis.yaml", "StatefulSet")["spec"]["template"]
    assert service["spec"]["selector"] == redis["metadata"]["labels"]
    password = redis["spec"]["containers"][0]["env"][0]["valueFrom"]
    assert password == options["redisPassword"]["valueFrom"]
    # An upgrade's two clusters must not take each other's state: KubeRay gives each its own namespace.
    assert "externalStorageNamespace" not in options


def test_the_service_serves_what_the_shipped_file_says() -> None:
    text = _one("rayservice.yaml", "RayService")["spec"]["serveConfigV2"]
    assert check_text(text, "serveConfigV2") == check_file(ROOT / "configs" / "serve" / "cluster.yaml")


def test_rules_of_the_service_that_the_operator_checks() -> None:
    document = _one("rayservice.yaml", "RayService")
    spec = document["spec"]
    assert len(document["metadata"]["name"]) <= 41  # KubeRay appends to it, and Kubernetes ends names at 63
    assert spec["upgradeStrategy"]["type"] in {"None", "NewCluster"}
    assert spec["rayClusterDeletionDelaySeconds"] >= 0
    assert re.fullmatch(r"\d+[smh]?", document["metadata"]["annotations"]["ray.io/initializing-timeout"])
    assert "headService" not in spec["rayClusterConfig"]["headGroupSpec"]


def test_the_pods_of_the_service_fit_what_it_serves() -> None:
    spec = _one("rayservice.yaml", "RayService")["spec"]
    config = yaml.safe_load(spec["serveConfigV2"])
    llm, hydra = (application["args"] for application in config["applications"])
    cluster = spec["rayClusterConfig"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    # Every replica of the black box finds a GPU; replicas of everything else find CPUs, at first and at most.
    assert (groups["gpu"]["minReplicas"], groups["gpu"]["maxReplicas"]) == tuple(llm["resources"]["num_workers"])
    cores = int(groups["cpu"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    args = ServeConfig.model_validate(hydra)
    for bound, pods in enumerate(("minReplicas", "maxReplicas")):
        parts = (args.gateway, args.history_server, args.scorer, args.fitter)
        assert sum(part.replicas[bound] * part.num_cpus for part in parts) <= groups["cpu"][pods] * cores
    for pod in _pods(cluster):
        container = pod["containers"][0]
        assert config["http_options"]["port"] in {port["containerPort"] for port in container["ports"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert hydra["root"].startswith("/shared/")
        assert hydra["state"].startswith("/shared/")
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        keys = volumes[mounts[str(Path(hydra["keys"]).parent)]]["secret"]
        assert keys["defaultMode"] & 0o007 == 0  # a key file that others can read is refused


def test_deletion_rules_of_the_job() -> None:
    """KubeRay: one condition each, no rule twice, cluster before self, no DeleteWorkers along with the autoscaler."""
    spec = _one("rayjob.yaml", "RayJob")["spec"]
    assert not {"shutdownAfterJobFinishes", "ttlSecondsAfterFinished"} & set(spec)
    allowed = {"jobStatus": {"SUCCEEDED", "FAILED"}, "jobDeploymentStatus": {"Failed"}}
    seen: dict[tuple[str, str], dict[str, int]] = {}
    for rule in spec["deletionStrategy"]["deletionRules"]:
        condition = dict(rule["condition"])
        ttl = condition.pop("ttlSeconds")
        ((kind, value),) = condition.items()
        assert value in allowed[kind]
        assert ttl >= 0
        policies = seen.setdefault((kind, value), {})
        assert rule["policy"] not in policies
        policies[rule["policy"]] = ttl
    for policies in seen.values():
        assert set(policies) <= {"DeleteCluster", "DeleteSelf"}
        assert policies["DeleteCluster"] <= policies.get("DeleteSelf", policies["DeleteCluster"])
    assert set(seen) == {("jobStatus", "SUCCEEDED"), ("jobStatus", "FAILED"), ("jobDeploymentStatus", "Failed")}


def test_the_jobs_entrypoint_and_its_config(tmp_path: Path) -> None:
    spec = _one("rayjob.yaml", "RayJob")["spec"]
    assert "entrypointNumCpus" not in spec
    program, stage, flag, path = shlex.split(spec["entrypoint"])
    assert (program, flag) == ("hydra-ray", "--config")
    assert stage in STAGES
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in head["containers"][0]["volumeMounts"]}
    volume = next(v for v in head["volumes"] if v["name"] == mounts[str(Path(path).parent)])
    config_map = _one("rayjob.yaml", "ConfigMap")
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    (tmp_path / "run.yaml").write_text(config_map["data"][Path(path).name])
    config = load_config(tmp_path / "run.yaml", [])
    assert config.root.startswith("/shared/")
    assert str(config.data.root).startswith("/shared/")
    assert config.ray.address == "auto"
    # As many GPU pods as training workers ask for.
    gpu = next(group for group in spec["rayClusterSpec"]["workerGroupSpecs"] if group["groupName"] == "gpu")
    training = config.resources.train
    assert gpu["maxReplicas"] >= training.fewest * training.num_gpus > 0
    assert config.ray.autoscaling, "they are scaled to zero"


@pytest.mark.parametrize("name", [*KUBERNETES, "launcher.yaml", "README.md", "Dockerfile"])
def test_what_comments_name_exists(name: str) -> None:
    text = (CLUSTER / name).read_text()
    for path in re.findall(r"(?<![\w/.-])((?:cluster|configs|jobs)/(?:[\w-]+/)*[\w.-]+\.(?:yaml|py))", text):
        assert (ROOT / path).exists(), path
    for command in re.findall(r"hydra-ray ([a-z][a-z-]+) (?:--|`)", text):
        assert command in {*STAGES, "submit", "deploy"}, command


def test_the_launcher_file_is_valid_for_the_pinned_ray() -> None:
    import ray.autoscaler
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((CLUSTER / "launcher.yaml").read_text())
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    prepared = prepare_config(config)  # what `ray up` does first
    validate_config(prepared)
    workers = prepared["available_node_types"]["local.cluster.node"]
    assert workers["min_workers"] == workers["max_workers"] == len(config["provider"]["worker_ips"])
    assert f"-ray{RAY}-" in config["docker"]["image"]


def test_dockerfile() -> None:
    lines = (CLUSTER / "Dockerfile").read_text().splitlines()
    assert f"ARG RAY_VERSION={RAY}" in lines
    assert "FROM rayproject/ray:${RAY_VERSION}-${PYTHON}-${DEVICE}" in lines
    for line in lines:
        if line.startswith("COPY"):
            *sources, _ = [word for word in line.split()[1:] if not word.startswith("--")]
            assert all((ROOT / source).exists() for source in sources), line
    extras = re.findall(r"^(cpu|gpu) = ", PYPROJECT, re.MULTILINE)
    assert set(extras) == {"cpu", "gpu"}
    assert 'pip install --no-cache-dir ${PIP_ARGS} ".[${DEVICE}]"' in "\n".join(lines)


def test_nothing_secret_and_no_registry_host_in_the_files() -> None:
    for path in (file for file in CLUSTER.rglob("*") if file.is_file()):
        text = path.read_text()
        assert not re.search(r"(?m)^\s*(stringData|password|token):\s*\S", text), path
        for image in re.findall(r"(?m)^\s*image:\s*(\S+)", text):
            assert not re.match(r"[\w-]+\.[\w.-]+/", image), image
