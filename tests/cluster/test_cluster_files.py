"""The files under cluster/ for other than Kubernetes: they parse, agree with pyproject.toml, and name what exists."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hydra_ray import env
from hydra_ray.cli import STAGES
from tests import certificates

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
PYPROJECT = (ROOT / "pyproject.toml").read_text()
RAY = re.search(r'"ray\[[^\]]*\]==([0-9.]+)"', PYPROJECT).group(1)  # type: ignore[union-attr]
FILES = sorted(str(path.relative_to(CLUSTER)) for path in CLUSTER.rglob("*") if path.is_file() and path.name != ".env")
COMMANDS = {*STAGES, "submit", "deploy", "serve", "doctor", "new-key", "init-task", "jobs", "state", "refit", "bench"}


def test_the_image_sets_what_every_process_needs() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    for variable in (env.PROXY_LAYERS, env.PROXY_HEALTH, *env.DRIVER[:2]):
        assert f"{variable.name}={variable.value} \\\n" in text


@pytest.mark.parametrize("name", FILES)
def test_what_comments_name_exists(name: str) -> None:
    text = (CLUSTER / name).read_text()
    for path in re.findall(r"(?<![\w/.-])((?:cluster|configs|jobs)/(?:[\w-]+/)*[\w.-]+\.(?:yaml|py|sh|example))", text):
        assert (ROOT / path).exists(), path
    for folder in re.findall(r"apply -k (\S+)", text):
        assert (ROOT / folder / "kustomization.yaml").exists(), folder
    for command in re.findall(r"hydra-ray ([a-z][a-z-]+) (?:--|`)", text):
        assert command in COMMANDS, command


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
    stages = [line.split()[-1] for line in lines if line.startswith("FROM")]
    assert stages == ["build", "${BASE}"]
    final = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER ray" in final
    assert any("--uid 1000" in line for line in final)  # runAsUser of every pod
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    for device in ("cpu", "gpu"):
        for line in lines:
            if line.startswith("COPY") and "--from" not in line:
                *sources, _ = line.replace("${DEVICE}", device).split()[1:]
                for source in (name.removeprefix("./") for name in sources):
                    assert (ROOT / source).exists(), line
                    assert {f"!{source}", f"!{source.replace(f'-{device}', '-*')}"} & set(ignored), line
    assert {*re.findall(r"^(cpu|gpu) = ", PYPROJECT, re.MULTILINE)} == {"cpu", "gpu"}


def _compose() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load((CLUSTER / "compose.yaml").read_text())
    return compose


def test_the_compose_file_keeps_the_compose_specification() -> None:
    from compose_spec import PyCompose

    compose = _compose()
    assert PyCompose.from_yaml(yaml.safe_dump(compose)).service_names() == ["database", "head", "worker"]
    compose["services"]["head"]["portz"] = []
    with pytest.raises(ValueError, match="portz"):
        PyCompose.from_yaml(yaml.safe_dump(compose))


def test_the_compose_files_containers_are_confined_and_find_each_other() -> None:
    compose = _compose()
    for name in ("head", "worker"):
        service = compose["services"][name]
        assert f"-ray{RAY}-" in service["image"]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "1000:1000"
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
        agent = re.search(r"--dashboard-agent-listen-port=(\d+)", service["command"])[1]  # type: ignore[index]
        assert f":{agent}/" in service["healthcheck"]["test"][1]
    head, worker = compose["services"]["head"], compose["services"]["worker"]
    assert all(port.startswith("127.0.0.1:") for port in head["ports"])
    assert "ports" not in compose["services"]["database"]
    port = re.search(r"--port=(\d+)", head["command"])[1]  # type: ignore[index]
    assert f"--address=head:{port}" in worker["command"]
    needed = set(re.findall(r"\$\{(\w+):\?", (CLUSTER / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=$", (CLUSTER / "compose.env.example").read_text(), re.MULTILINE))
    assert needed == given
    assert "cluster/.env" in (ROOT / ".gitignore").read_text().splitlines()


def _slurm(arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    command = ["bash", str(CLUSTER / "slurm.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_slurm_script_refuses_what_cannot_work() -> None:
    done = _slurm([])
    assert (done.returncode, done.stdout) == (2, "")
    assert "give a command of hydra-ray and its arguments" in done.stderr
    done = _slurm(["run"], PATH="/usr/bin:/bin")
    assert done.returncode == 2
    assert "hydra-ray is not found: activate its environment, or set VENV" in done.stderr
    done = _slurm(["run"], VENV=str(Path(sys.executable).parents[1]), TLS="yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert "TLS=yes: give 1 to encrypt what Ray's nodes say to each other, or 0" in done.stderr


def test_the_slurm_script_asks_for_one_task_a_node() -> None:
    text = (CLUSTER / "slurm.sh").read_text()
    assert os.access(CLUSTER / "slurm.sh", os.X_OK)
    assert "#SBATCH --ntasks-per-node=1" in text.splitlines()
    for variable in env.DRIVER[:2]:
        assert f"{variable.name}={variable.value}" in text
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(CLUSTER / "slurm.sh")], check=True, timeout=60)


def test_nothing_secret_and_no_registry_host_in_the_files() -> None:
    for path in (file for file in CLUSTER.rglob("*") if file.is_file()):
        text = path.read_text()
        assert not re.search(r"(?m)^\s*(stringData|password|token):\s*\S", text), path
        for image in re.findall(r"(?m)^\s*image:\s*(\S+)", text):
            assert not re.match(r"[\w-]+\.[\w.-]+/", image), image


def _certificates(*arguments: str | Path, **variables: str) -> str:
    """What the script says that it refuses."""
    done = certificates.run(*arguments, **variables)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    return done.stderr


@certificates.needs_openssl
def test_the_script_for_certificates_refuses_what_cannot_work(tmp_path: Path) -> None:
    assert "give authority or node" in _certificates()
    assert "give the authority's folder" in _certificates("authority")
    assert "give the authority's folder and the node's" in _certificates("node", tmp_path)
    assert f"{tmp_path}/ca.key cannot be read: certificates.sh authority" in _certificates("node", tmp_path, tmp_path)
    made = certificates.make_authority(tmp_path / "ours")
    kept = (made / "ca.key").read_bytes()
    assert "is there already: another would make all its certificates invalid" in _certificates("authority", made)
    assert (made / "ca.key").read_bytes() == kept
    assert "DAYS=x: give a number of days" in _certificates("node", made, tmp_path, DAYS="x")
    assert "node.crt cannot be made with the names given: openssl: " in _certificates("node", made, tmp_path, "10.0.0")
    assert not list(tmp_path.glob("node.*"))
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(certificates.SCRIPT)], check=True, timeout=60)


@certificates.needs_openssl
def test_keys_are_their_owners_and_a_certificate_names_this_machine(tmp_path: Path) -> None:
    authority = certificates.make_authority(tmp_path / "ours")
    certificates.issue(authority, tmp_path / "node")
    for key in (authority / "ca.key", tmp_path / "node" / "node.key"):
        assert key.stat().st_mode & 0o077 == 0
    command = ["openssl", "x509", "-noout", "-text", "-in", str(tmp_path / "node" / "node.crt")]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "IP Address:127.0.0.1" in text
    assert f"DNS:{socket.gethostname()}" in text
    assert "CA:FALSE" in text
