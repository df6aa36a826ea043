"""A Serve config file as it will be deployed: defaults filled in, each argument after its description."""

import textwrap
from pathlib import Path

import yaml

from hydra_ray.config import dump_config
from hydra_ray.serve.deploy.applications import APPLICATIONS
from hydra_ray.serve.deploy.config_file import check_file


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
