"""What KubeRay 1.7 checks beyond the schemas, and what the clusters must have for the work that they are given."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from hydra_ray.cli import STAGES, _parse
from hydra_ray.config import load_config
from hydra_ray.serve.config import ServeConfig
from hydra_ray.serve.deploy.config_file import check_file, check_text
from tests.cluster.kubernetes import Object, clusters, everything, job, needs_kubectl, one, ray_cluster, render

pytestmark = needs_kubectl

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
RAY = re.search(r'"ray\[[^\]]*\]==([0-9.]+)"', PYPROJECT).group(1)  # type: ignore[union-attr]
SERVICES = ("overlays/cpu", "overlays/gpu", "overlays/multi-tenant")
JOBS = [("runs/job", "RayJob"), *((folder, "RayCronJob") for folder in SERVICES)]
BY_TLS = {"RAY_USE_TLS", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT"}
OPERATORS = {"RAY_enable_autoscaler_v2", "RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME", "RAY_AUTH_TOKEN"}

every_job = pytest.mark.parametrize(("folder", "kind"), JOBS, ids=[f"{folder} {kind}" for folder, kind in JOBS])
every_service = pytest.mark.parametrize("folder", SERVICES)


def _groups(cluster: Object) -> list[Object]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def _container(group: Object) -> Object:
    container: Object = group["template"]["spec"]["containers"][0]
    return container


def test_ray_is_the_pinned_one_everywhere() -> None:
    for where, cluster in clusters():
        assert cluster["rayVersion"] == RAY, where
        assert all(f"-ray{RAY}-" in _container(group)["image"] for group in _groups(cluster)), where


def test_rules_for_clusters() -> None:
    """Autoscaler v2, token authentication, TLS, fault tolerance."""
    for where, cluster in clusters():
        assert cluster["enableInTreeAutoscaling"] is True, where
        assert cluster["autoscalerOptions"]["version"] == "v2", where
        assert cluster["authOptions"]["mode"] == "token", where
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", where
        assert "headService" not in cluster["headGroupSpec"], where
        for group in _groups(cluster):
            assert group["template"]["spec"]["restartPolicy"] == "Never", where
            names = {variable["name"] for variable in _container(group)["env"]}
            assert not names & (OPERATORS | BY_TLS), where
            assert "/etc/ray/tls" not in {mount["mountPath"] for mount in _container(group)["volumeMounts"]}, where
            assert not {"labels", "redis-password"} & set(group.get("rayStartParams", {})), where
        for group in cluster["workerGroupSpecs"]:
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"], where


def test_images_fit_their_machines() -> None:
    for where, cluster in clusters():
        for group in _groups(cluster):
            container = _container(group)
            gpu = "nvidia.com/gpu" in container["resources"]["limits"]
            assert container["image"].endswith("-gpu" if gpu else "-cpu"), where
            # Ray sizes a node by its limits and Kubernetes places it by its requests.
            assert container["resources"]["limits"] == container["resources"]["requests"], where


def test_only_the_overlay_for_tenants_needs_tls_of_the_operator() -> None:
    for where, cluster in clusters():
        encrypted = where.startswith("overlays/multi-tenant")
        assert cluster.get("tlsOptions") == ({"enabled": True} if encrypted else None), where


def test_names_leave_room_for_what_is_appended() -> None:
    """KubeRay appends to them, and Kubernetes ends names at 63 characters."""
    for _, document in everything():
        if document["kind"].startswith("Ray"):
            assert len(document["metadata"]["name"]) <= 41


@every_job
def test_deletion_rules(folder: str, kind: str) -> None:
    """One condition each, no rule twice, cluster before self, no DeleteWorkers along with the autoscaler."""
    spec = job(one(folder, kind))
    assert not {"shutdownAfterJobFinishes", "ttlSecondsAfterFinished"} & set(spec)
    seen: dict[tuple[str, str], dict[str, int]] = {}
    for rule in spec["deletionStrategy"]["deletionRules"]:
        condition = dict(rule["condition"])
        ttl = condition.pop("ttlSeconds")
        ((name, value),) = condition.items()
        policies = seen.setdefault((name, value), {})
        assert rule["policy"] not in policies
        policies[rule["policy"]] = ttl
    for policies in seen.values():
        assert set(policies) <= {"DeleteCluster", "DeleteSelf"}
        assert policies["DeleteCluster"] <= policies.get("DeleteSelf", policies["DeleteCluster"])
    assert set(seen) == {("jobStatus", "SUCCEEDED"), ("jobStatus", "FAILED"), ("jobDeploymentStatus", "Failed")}


@every_job
def test_a_jobs_entrypoint_and_its_config(folder: str, kind: str, tmp_path: Path) -> None:
    document = one(folder, kind)
    spec, cluster = job(document), ray_cluster(document)
    assert "entrypointNumCpus" not in spec
    (submitter,) = spec["submitterPodTemplate"]["spec"]["containers"]
    assert submitter["image"] == _container(cluster["headGroupSpec"])["image"]
    program, stage, flag, path, *rest = shlex.split(spec["entrypoint"])
    assert (program, flag) == ("hydra-ray", "--config")
    assert stage in ("refit", *STAGES)
    assert not set(spec["entrypoint"]) & set("&|;<>()$`\\\"'*?[]#~!"), "it goes through a shell"
    mounts = {mount["mountPath"]: mount["name"] for mount in _container(cluster["headGroupSpec"])["volumeMounts"]}
    volumes = cluster["headGroupSpec"]["template"]["spec"]["volumes"]
    volume = next(v for v in volumes if v["name"] == mounts[str(Path(path).parent)])
    config_map = one(folder, "ConfigMap", volume["configMap"]["name"])
    (tmp_path / "run.yaml").write_text(config_map["data"][Path(path).name])
    config = load_config(tmp_path / "run.yaml", [])
    assert config.root.startswith("/shared/")
    assert str(config.data.root).startswith("/shared/")
    assert config.ray.address == "auto"
    # As many GPU pods as the run's workers ask for.
    gpus = sum(group["maxReplicas"] for group in cluster["workerGroupSpecs"] if group["groupName"] == "gpu")
    wanted = config.resources.train.fewest * config.resources.train.num_gpus if stage == "run" else 0
    if config.llm.serve.source:
        wanted = max(wanted, config.resources.llm.fewest * config.resources.llm.num_gpus)
    assert gpus >= wanted
    assert config.ray.autoscaling or not wanted, "they are scaled to zero"
    assert bool(rest) == (kind == "RayCronJob")


@every_service
def test_the_nightly_fit_takes_up_the_run_that_the_job_makes(folder: str, tmp_path: Path) -> None:
    spec = job(one(folder, "RayCronJob"))
    run = yaml.safe_load(one("runs/job", "ConfigMap")["data"]["run.yaml"])
    nightly = yaml.safe_load(one(folder, "ConfigMap")["data"]["nightly.yaml"])
    asked = _parse(shlex.split(spec["entrypoint"])[1:])
    served = _serve_config(folder)["applications"][-1]["args"]
    assert (asked.command, asked.base_run, served["run"]) == ("refit", run["name"], run["name"])
    assert str(asked.state) == served["state"]
    assert not asked.add_users
    assert nightly["name"] != run["name"]
    assert (nightly["root"], nightly["data"], nightly["protocol"]) == (run["root"], run["data"], run["protocol"])
    assert len(one(folder, "RayCronJob")["spec"]["schedule"].split()) == 5


def _serve_config(folder: str) -> Any:
    return yaml.safe_load(one(folder, "RayService")["spec"]["serveConfigV2"])


@every_service
def test_what_is_served_is_valid(folder: str) -> None:
    check_text(one(folder, "RayService")["spec"]["serveConfigV2"], "serveConfigV2")
    annotations = one(folder, "RayService")["metadata"]["annotations"]
    assert re.fullmatch(r"\d+[smh]", annotations["ray.io/initializing-timeout"])


def test_the_overlay_gpu_serves_what_the_shipped_file_says() -> None:
    text = one("overlays/gpu", "RayService")["spec"]["serveConfigV2"]
    assert check_text(text, "serveConfigV2") == check_file(ROOT / "configs" / "serve" / "cluster.yaml")


def test_several_tenants_are_served_the_same_from_a_database() -> None:
    several, alone = _serve_config("overlays/multi-tenant"), _serve_config("overlays/gpu")
    arguments = several["applications"][-1]["args"]
    database = arguments.pop("database")
    assert arguments["fitter"].pop("replicas") == [1, 4]
    assert several == alone
    assert database.startswith("postgresql://")
    assert "sslmode=verify-full" in database
    certificate = Path(re.search(r"sslrootcert=([^&]+)", database)[1])  # type: ignore[index]
    for group in _groups(ray_cluster(one("overlays/multi-tenant", "RayService"))):
        assert "PGPASSWORD" in {variable["name"] for variable in _container(group)["env"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in _container(group)["volumeMounts"]}
        (volume,) = [v for v in group["template"]["spec"]["volumes"] if v["name"] == mounts[str(certificate.parent)]]
        assert volume["secret"]["items"] == [{"key": certificate.name, "path": certificate.name}]


def test_the_nightly_fit_of_several_tenants_reaches_the_services_database() -> None:
    cron = one("overlays/multi-tenant", "RayCronJob")
    asked = _parse(shlex.split(job(cron)["entrypoint"])[1:])
    (served, _, options) = _serve_config("overlays/multi-tenant")["applications"][-1]["args"]["database"].partition("?")
    assert asked.database == served
    head, *workers = _groups(ray_cluster(cron))
    variables = {variable["name"]: variable for variable in _container(head)["env"]}
    assert variables["PGPASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "hydra-ray-database", "key": "password"}
    said = dict(option.split("=") for option in options.split("&"))
    assert said == {name[2:].lower(): v["value"] for name, v in variables.items() if name.startswith("PGSSL")}
    mounts = {mount["mountPath"]: mount["name"] for mount in _container(head)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in head["template"]["spec"]["volumes"]}
    certificate = volumes[mounts[str(Path(said["sslrootcert"]).parent)]]["secret"]
    assert certificate == {"secretName": "hydra-ray-database", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    for group in workers:  # the driver alone needs it
        assert not {v["name"] for v in _container(group)["env"] if v["name"].startswith("PG")}
        assert "database" not in {volume["name"] for volume in group["template"]["spec"]["volumes"]}
    for folder in ("overlays/cpu", "overlays/gpu"):
        assert _parse(shlex.split(job(one(folder, "RayCronJob"))["entrypoint"])[1:]).database is None


@every_service
def test_the_pods_of_the_service_fit_what_it_serves(folder: str) -> None:
    config = _serve_config(folder)
    *llm, hydra = (application["args"] for application in config["applications"])
    cluster = ray_cluster(one(folder, "RayService"))
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    # Every replica of the black box finds a GPU; replicas of everything else find CPUs, at first and at most.
    if llm:
        bounds = (groups["gpu"]["minReplicas"], groups["gpu"]["maxReplicas"])
        assert bounds == tuple(llm[0]["resources"]["num_workers"])
    else:
        assert set(groups) == {"cpu"}
        assert not hydra["llm_url"].startswith("http://127.0.0.1")
    cores = int(_container(groups["cpu"])["resources"]["limits"]["cpu"])
    args = ServeConfig.model_validate(hydra)
    for bound, pods in enumerate(("minReplicas", "maxReplicas")):
        parts = (args.gateway, args.history_server, args.scorer, args.fitter)
        assert sum(part.replicas[bound] * part.num_cpus for part in parts) <= groups["cpu"][pods] * cores
    for group in _groups(cluster):
        container = _container(group)
        assert config["http_options"]["port"] in {port["containerPort"] for port in container["ports"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert hydra["root"].startswith("/shared/")
        assert hydra["state"].startswith("/shared/")
        volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
        keys = volumes[mounts[str(Path(hydra["keys"]).parent)]]["secret"]
        assert keys["defaultMode"] & 0o007 == 0  # a key file that others can read is refused


def test_objects_of_kuberay_are_where_they_are_looked_for() -> None:
    found = {(folder, o["kind"]) for folder, o in everything() if o["kind"].startswith("Ray")}
    expected = {(folder, kind) for folder in SERVICES for kind in ("RayService", "RayCronJob")}
    assert found == expected | {("runs/cluster", "RayCluster"), ("runs/job", "RayJob")}
    assert all(o["metadata"].get("namespace") is None for o in render("platform"))
