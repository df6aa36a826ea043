"""TLS between Ray's nodes on Kubernetes: by the operator, or with certificates that each pod issues for itself."""

from pathlib import Path

import pytest

from tests.certificates import SCRIPT, variables
from tests.cluster.kubernetes import ROOT, SPEC, Object, mistakes, needs_kubectl, ray_cluster, with_components

pytestmark = needs_kubectl

FOLDER = Path("/etc/ray/tls")
WITH_GPUS = ("overlays/gpu", "overlays/multi-tenant", "runs/cluster", "runs/job")


@pytest.mark.parametrize("folder", ["overlays/cpu", *WITH_GPUS])
def test_the_operator_is_asked_for_it_everywhere(folder: str, tmp_path: Path) -> None:
    clusters = [o for o in with_components(folder, ["node-tls"], tmp_path) if o["kind"] in SPEC]
    assert clusters
    for document in clusters:
        assert not mistakes(document)
        assert ray_cluster(document)["tlsOptions"] == {"enabled": True}


@pytest.fixture(params=WITH_GPUS)
def clusters(request: pytest.FixtureRequest, tmp_path: Path) -> list[Object]:
    """KubeRay's objects of a folder whose pods have certificates."""
    rendered = with_components(request.param, ["node-certificates", "image"], tmp_path)
    return [document for document in rendered if document["kind"] in SPEC]


def test_every_container_of_ray_has_a_certificate(clusters: list[Object]) -> None:
    wanted = variables(FOLDER)
    for document in clusters:
        assert not mistakes(document)
        cluster = ray_cluster(document)
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        assert len(groups) == 3
        for group in groups:
            pod = group["template"]["spec"]
            (container,) = pod["containers"]
            env = {variable["name"]: variable.get("value") for variable in container["env"]}
            assert wanted.items() <= env.items()
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            assert volumes["node-tls"]["emptyDir"]["medium"] == "Memory"  # the key is on no disk
            (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == str(FOLDER)]
            assert mount == {"name": "node-tls", "mountPath": str(FOLDER), "readOnly": True}
        options = cluster["autoscalerOptions"]
        assert {variable["name"]: variable["value"] for variable in options["env"]} == wanted
        assert mount in options["volumeMounts"]


def test_the_authority_is_for_the_container_that_issues_alone(clusters: list[Object]) -> None:
    for document in clusters:
        cluster = ray_cluster(document)
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            (issuing,) = pod["initContainers"]
            (container,) = pod["containers"]
            assert issuing["image"].partition(":")[0] == container["image"].partition(":")[0]
            assert issuing["securityContext"] == container["securityContext"]
            program, action, authority, folder, *names = issuing["command"]
            assert (program, action, folder) == ("ray-certificates", "node", str(FOLDER))
            assert names == ["$(POD_IP)", "*.$(POD_NAMESPACE).svc.cluster.local"]
            assert {"POD_IP", "POD_NAMESPACE"} == {variable["name"] for variable in issuing["env"]}
            mounts = {mount["mountPath"]: mount for mount in issuing["volumeMounts"]}
            assert set(mounts) == {authority, folder}
            assert "readOnly" not in mounts[folder]
            (secret,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == mounts[authority]["name"]]
            assert secret["secretName"] == "hydra-ray-authority"
            assert secret["defaultMode"] & 0o007 == 0
            assert mounts[authority]["name"] not in {mount["name"] for mount in container["volumeMounts"]}


def test_the_image_has_what_issues_certificates() -> None:
    copied = f"COPY {SCRIPT.relative_to(ROOT)} /opt/hydra-ray/bin/ray-certificates\n"
    assert copied in (ROOT / "cluster" / "Dockerfile").read_text()
    readme = (ROOT / "cluster" / "README.md").read_text()
    assert "create secret generic hydra-ray-authority --from-file=ca.crt=" in readme
