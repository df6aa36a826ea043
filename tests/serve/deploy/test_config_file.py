"""Serve config files: the shipped ones pass, every kind of mistake is one line that says where and what to do."""

import copy
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra_ray.errors import UserError
from hydra_ray.serve.deploy.config_file import check_file, check_text
from tests.serve.deploy.config_text import HYDRA, LLM, _config, _message

FILES = Path(__file__).parents[3] / "configs" / "serve"


@pytest.mark.parametrize("file", sorted(FILES.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_files_pass(file: Path) -> None:
    config = check_file(file)
    assert {application["import_path"] for application in config["applications"]} == {HYDRA, LLM}


def test_the_config_that_the_mistakes_are_put_into_passes() -> None:
    assert check_text(yaml.safe_dump(_config()), "a.yaml") == _config()


MISTAKES = {
    # where the value goes, the value, what the message begins with
    "top": ("http_option", {}, "http_option: unknown key; did you mean 'http_options'?"),
    "http": ("http_options.hots", "x", "http_options.hots: unknown key; did you mean 'host'?"),
    "grpc": ("grpc_options", {"prot": 1}, "grpc_options.prot: unknown key; did you mean 'port'?"),
    "logging": ("logging_config", {"level": "INFO"}, "logging_config.level: unknown key; did you mean 'log_level'?"),
    "application": ("applications.0.arg", {}, "applications[0].arg: unknown key; did you mean 'args'?"),
    "deployment": (
        "applications.0.deployments.1.max_queued_request",
        5,
        "applications[0].deployments[1].max_queued_request: unknown key; did you mean 'max_queued_requests'?",
    ),
    "autoscaling": (
        "applications.0.deployments.0.autoscaling_config",
        {"min_replica": 1},
        "applications[0].deployments[0].autoscaling_config.min_replica: unknown key; did you mean 'min_replicas'?",
    ),
    "actor": (
        "applications.0.deployments.0.ray_actor_options",
        {"num_cpu": 1},
        "applications[0].deployments[0].ray_actor_options.num_cpu: unknown key; did you mean 'num_cpus'?",
    ),
    "environment": (
        "applications.0.runtime_env",
        {"env_var": {}},
        "applications[0].runtime_env.env_var: unknown key; did you mean 'env_vars'?",
    ),
    "argument": ("applications.0.args.gateway.deadline", 1, "applications[0].args.gateway.deadline: unknown key; did"),
    "old name": (
        "applications.0.args.gateway.in_flight",
        5,
        "applications[0].args.gateway.in_flight: this key is called 'max_concurrent_requests' now; write",
    ),
    "old value": (
        "applications.1.args.serve.source",
        "embedded",
        "applications[1].args.serve.source: 'embedded' is called",
    ),
    "misplaced": ("max_queued_requests", 5, "max_queued_requests: does not belong here; it is 'applications[]."),
    "misplaced argument": (
        "applications.0.args.max_concurrent_requests",
        5,
        "applications[0].args.max_concurrent_requests: does not belong here;",
    ),
    "far from all": ("qqqq", 1, "qqqq: unknown key; there are proxy_location, http_options"),
    "type": ("http_options.port", "many", "http_options.port: Input should be a valid integer"),
    "port": ("http_options.port", 99999, "http_options.port: no port"),
    "type inside a union": (
        "applications.0.deployments.0.autoscaling_config",
        {"min_replicas": "few"},
        "applications[0].deployments[0].autoscaling_config.min_replicas: Input should be a valid integer",
    ),
    "order of replicas": (
        "applications.0.deployments.0.autoscaling_config",
        {"min_replicas": 3, "max_replicas": 2},
        "applications[0].deployments[0].autoscaling_config: max_replicas (2) must be greater",
    ),
    "two fitters": (
        "applications.0.deployments.1",
        {"name": "Fitter", "num_replicas": 2},
        "applications[0].deployments[1]: Fitter must be one replica alone",
    ),
    "fitters that scale": (
        "applications.0.deployments.1",
        {"name": "Fitter", "num_replicas": "auto"},
        "applications[0].deployments[1]: Fitter must be one replica alone",
    ),
    "fitters by argument": ("applications.0.args.fitter", {"replicas": [1, 2]}, "applications[0].args.fitter: replica"),
    "queue": ("applications.0.deployments.0.max_queued_requests", 0, "applications[0].deployments[0]: max_queued_"),
    "queue type": ("applications.0.deployments.0.max_queued_requests", "9", "applications[0].deployments[0].max_queu"),
    "argument type": (
        "applications.0.args.gateway.max_concurrent_requests",
        "few",
        "applications[0].args.gateway.max_concurrent_requests: Input",
    ),
    "argument range": ("applications.0.args.scorer", {"replicas": [2, 1]}, "applications[0].args.scorer: replicas"),
    "no run": ("applications.0.args", {}, "applications[0].args.run: Field required"),
    "environment type": ("applications.0.runtime_env", {"env_vars": {"A_KEY": 1}}, "applications[0].runtime_env.env_v"),
    "no list": ("applications.0.deployments", {"name": "Gateway"}, "applications[0].deployments: must be a list"),
    "no mapping": ("applications.0.deployments.0", "Gateway", "applications[0].deployments[0]: must be a mapping"),
    "nothing": ("applications.0.deployments.0", None, "applications[0].deployments[0]: must be a mapping of settings"),
    "name": ("applications.0.deployments.0.name", "Gatway", "applications[0].deployments[0].name: 'Gatway' is no depl"),
    "name twice": ("applications.0.deployments.1.name", "Gateway", "applications[0].deployments[1].name: 'Gateway' is"),
    "application twice": ("applications.1.name", "hydra", "applications: Found multiple configs for application"),
    "route twice": ("applications.1", {**_config()["applications"][0], "name": "b"}, "applications: Found duplicate"),
    "route": ("applications.0.route_prefix", "hydra/", "applications[0].route_prefix: 'hydra/' is no path; write"),
    "no route": (
        "applications.0.route_prefix",
        None,
        "applications[0].route_prefix: null, so it could not be reached over HTTP",
    ),
    "route of a port": (
        "applications.1.route_prefix",
        "/llm",
        "applications[1].route_prefix: this application answers",
    ),
    "no port": ("applications.1.args", {"serve": {}}, "applications[1].args: serve.port: not set: others must know"),
    "import": (
        "applications.0.import_path",
        "hydra_ray.serve.deployment:build",
        "applications[0].import_path: 'hydra_ray.serve.deployment:build' is no application of hydra_ray; did you mean "
        "'hydra_ray.serve.app:build_app'?",
    ),
    "public import": (
        "applications.0.import_path",
        "hydra_ray:built_app",
        "applications[0].import_path: 'hydra_ray:built_app' is no application of hydra_ray; did you mean "
        "'hydra_ray:build_app'?",
    ),
    "import of others": ("applications.0.import_path", "json:dumps", "applications[0].import_path: 'json:dumps' is no"),
    "import form": ("applications.0.import_path", "json", "applications[0].import_path: Got invalid import path"),
    "policy": (
        "applications.0.deployments.0.autoscaling_config",
        {"policy": {"policy_function": "no.such:thing"}},
        "applications[0].deployments[0].autoscaling_config.policy: Ray refuses it: ModuleNotFoundError",
    ),
    "no applications": ("applications", [], "applications: empty: Serve would remove every application"),
    "no address": ("http_options", {}, "http_options.host: unset, and Serve would listen on every interface"),
    "open": (
        "http_options.host",
        "0.0.0.0",
        "applications[0].args.allow_anonymous: anyone who reaches 0.0.0.0 could read",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_that_says_where_and_what(case: str) -> None:
    place, value, begins = MISTAKES[case]
    config = _config()
    if case == "open":
        config["applications"][0]["args"]["allow_anonymous"] = True
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    target: Any = config
    for part in way:
        target = target[part]
    target[last] = value
    assert _message(config).startswith(begins)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", "empty; list what to serve"),
        ("# nothing\n", "empty; list what to serve"),
        ("- a\n", "is a mapping with `applications`"),
        ("a: [\n", "cannot be read as YAML"),
        ("a: 1\na: 2\n", "key 'a' stands twice (lines 1 and 2)"),
        ("a: \x07\n", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("applications: &a\n  - *a\n", "cannot be sent as JSON"),
        ("applications:\n  - {import_path: x, args: {run: 2024-01-01}}\n", "quote dates"),
        ("http_options: {host: 127.0.0.1}\n", "applications: Field required"),
    ],
)
def test_what_is_no_config_at_all(text: str, holds: str) -> None:
    assert holds in _message(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, reason in (("none", "No such file"), (".", "Is a directory"), ("binary", "no UTF-8 text")):
        with pytest.raises(UserError, match=f"{name}: cannot be read: .*{reason}"):
            check_file(tmp_path / name if name != "." else tmp_path / "." / ".")


def test_a_key_is_not_repeated_in_messages() -> None:
    config = _config()
    config["http_options"]["ssl_keyfile_password"] = ["hunter2"]
    config["applications"][0]["runtime_env"] = {"env_vars": {"HYDRA_RAY_LLM_API_KEY": "hunter2"}, "pip": 7}
    assert "hunter2" not in _message(config)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield tree, key
        yield from _places(value)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.just([]), st.just({}), st.just([None]),
    st.just([{}]), st.just({"a": {"b": []}}), st.floats(),
)  # fmt: skip


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_stands_in_a_file_is_accepted_or_one_line(data: st.DataObject) -> None:
    config = copy.deepcopy(_CLUSTER)
    tree, key = data.draw(st.sampled_from(list(_places(config))))
    if data.draw(st.booleans()):
        tree[key] = data.draw(JUNK)
    else:
        del tree[key]
    message = ""
    try:
        check_text(yaml.safe_dump(config), "a.yaml")
    except UserError as error:
        message = str(error)
    assert "\n" not in message


_CLUSTER = yaml.safe_load((FILES / "cluster.yaml").read_text())


def test_ray_itself_accepts_what_is_refused_here() -> None:
    """Why there is a check of our own: if this fails, Ray has become strict and `hydra_ray.config.check` may go."""
    schema = importlib.import_module("ray.serve.schema").ServeDeploySchema
    config = _config()
    config["http_options"]["hots"] = "0.0.0.0"
    config["applications"][0]["deployments"][0]["autoscaling_config"] = {"min_replica": "few"}
    schema.model_validate(config)
