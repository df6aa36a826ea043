"""Strict check of a Serve config file before it is deployed: Ray's own schema accepts misspelt keys without a word."""

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hydra_ray.config import dump_config
from hydra_ray.config.check import MistakeError, advice, check_keys, check_tree, described
from hydra_ray.errors import UserError
from hydra_ray.serve.deploy.applications import APPLICATIONS, Application
from hydra_ray.utils.network import is_loopback
from hydra_ray.utils.yaml_io import parse_yaml


def check_file(path: Path) -> dict[str, Any]:
    """The parsed file, fit to be submitted. Needs no cluster. Raises UserError, see `check_text`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"{path}: cannot be read: {reason}; give a Serve config file, as in configs/serve/") from None
    return check_text(text, str(path))


def check_text(text: str, origin: str) -> dict[str, Any]:
    """The parsed content of a Serve config file that is called `origin` in messages.

    Raises UserError, one line with the file, the key and what to do: broken YAML, a key given twice, unknown keys at
    any depth, values of a wrong type, an import path that is none of `APPLICATIONS`, arguments that do not validate,
    names of deployments that the application does not have, names or route prefixes given twice, more than one replica
    of a deployment that must be alone, no address given.
    """
    tree = parse_yaml(text, origin)
    try:
        return _check(tree)
    except MistakeError as mistake:
        raise UserError(" ".join(f"{origin}: {mistake}".split())) from None


def _check(tree: Any) -> dict[str, Any]:
    from ray.serve.schema import ServeDeploySchema

    if tree is None:
        raise MistakeError((), "empty; list what to serve under `applications`")
    if not isinstance(tree, dict):
        raise MistakeError((), "a Serve config is a mapping with `applications`")
    try:
        json.dumps(tree)
    except (TypeError, ValueError) as error:
        raise MistakeError(
            (), f"cannot be sent as JSON ({error}); quote dates, and let no anchor hold itself"
        ) from None
    applications = tree.get("applications")
    if applications == []:
        raise MistakeError(("applications",), "empty: Serve would remove every application; list at least one")
    check_tree(ServeDeploySchema, tree)
    _check_runtime_envs(ServeDeploySchema, tree)
    for i, application in enumerate(tree["applications"]):
        _check_application(("applications", i), application)
    _check_address(tree)
    return tree


def _check_runtime_envs(schema: Any, tree: Mapping[str, Any]) -> None:
    """Ray passes unknown keys of a runtime environment on without a word, and refuses numbers in it only later."""
    from ray.runtime_env import RuntimeEnv

    for part in described(schema, tree):
        env = part.value.get("runtime_env")
        if not isinstance(env, Mapping):
            continue
        path = (*part.path, "runtime_env")
        check_keys(path, env, [name for name in sorted(RuntimeEnv.known_fields) if name[0] != "_"], schema, ())
        variables = env.get("env_vars", {})
        if not isinstance(variables, Mapping):
            raise MistakeError((*path, "env_vars"), "must be a mapping of names to texts")
        for name, value in variables.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise MistakeError((*path, "env_vars", str(name)), "must be a text; quote it")


def _check_application(path: tuple[str | int, ...], tree: Mapping[str, Any]) -> None:
    known = _application((*path, "import_path"), tree["import_path"])
    check_tree(known.arguments, tree.get("args", {}), (*path, "args"))
    args = known.arguments.model_validate(tree.get("args", {}))
    names, seen = known.deployments(args), set()
    for i, deployment in enumerate(tree.get("deployments", [])):
        name, place = deployment["name"], (*path, "deployments", i, "name")
        if name not in names:
            raise MistakeError(place, f"{name!r} is no deployment of this application; {advice(name, names)}")
        if name in seen:
            raise MistakeError(place, f"{name!r} is given twice; put its options into one entry")
        seen.add(name)
        if name in known.alone(args) and (
            deployment.get("num_replicas", 1) != 1 or deployment.get("autoscaling_config")
        ):
            raise MistakeError(
                (*path, "deployments", i), f"{name} must be one replica alone; leave out num_replicas and autoscaling"
            )
    prefix = tree.get("route_prefix", "/")
    if prefix is not None and not re.fullmatch(r"/|(/[^/{}]+)+", prefix):
        raise MistakeError((*path, "route_prefix"), f"{prefix!r} is no path; write `/`, or as `/name`")
    if prefix is None and known.through_proxy(args):
        raise MistakeError(
            (*path, "route_prefix"), "null, so it could not be reached over HTTP; write `/`, for example"
        )
    if prefix is not None and not known.through_proxy(args):
        raise MistakeError(
            (*path, "route_prefix"), "this application answers on a port of its own; write `route_prefix: null`"
        )


def _application(path: tuple[str | int, ...], name: str) -> Application:
    if name in APPLICATIONS:
        return APPLICATIONS[name]
    raise MistakeError(path, f"{name!r} is no application of hydra_ray; {advice(name, list(APPLICATIONS))}")


def _check_address(tree: Mapping[str, Any]) -> None:
    """Serve listens on every interface unless configured otherwise: that must be meant, and not be without keys."""
    options = tree.get("http_options", {})
    if "host" not in options:
        raise MistakeError(
            ("http_options", "host"), "unset, and Serve would listen on every interface; write 127.0.0.1, or 0.0.0.0"
        )
    if not 1 <= int(options.get("port", 8000)) <= 65535:
        raise MistakeError(("http_options", "port"), "no port; give one between 1 and 65535")
    if is_loopback(str(options["host"])):
        return
    for i, application in enumerate(tree["applications"]):
        if application.get("args", {}).get("allow_anonymous"):
            raise MistakeError(
                ("applications", i, "args", "allow_anonymous"),
                f"anyone who reaches {options['host']} could read and change users; give `keys`, or host: 127.0.0.1",
            )


def print_file(path: Path) -> str:
    """The checked file as YAML that could be deployed in its place. Raises UserError as `check_file` does."""
    tree = check_file(path)
    rest = {name: value for name, value in tree.items() if name != "applications"}
    parts = [_yaml(rest) if rest else "", "applications:\n"]
    for application in tree["applications"]:
        options = {name: value for name, value in application.items() if name != "args"}
        args = APPLICATIONS[application["import_path"]].arguments.model_validate(application.get("args") or {})
        text = f"{_yaml(options)}args:\n{dump_config(args, indent=2)}"
        parts.append(f"  - {textwrap.indent(text, ' ' * 4).removeprefix(' ' * 4)}")
    return "".join(parts)


def _yaml(tree: object) -> str:
    return yaml.safe_dump(tree, sort_keys=False, width=10_000)
