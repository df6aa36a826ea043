"""What the command line does, from Python: a whole run, and the service as an application for Ray Serve."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra_ray.api.results import Run, load_run
from hydra_ray.config import ValueOverride


def run(config: str | Path | None = None, **overrides: Any) -> Run:
    """Does every stage of a run, as `hydra-ray run --config FILE a.b=c` does, and prints the result table.

    Args:
        config: YAML file; it says only what differs from the defaults. None: the defaults.
        **overrides: Config keys with their values; keys with a dot go through a dictionary:
            `run("quickstart.yaml", **{"train.epochs": 3})`.

    Returns:
        The finished run.

    Raises:
        UserError: For a mistake in config or data; what is done already stays.
    """
    from hydra_ray.config import load_config
    from hydra_ray.pipeline.stages import run_stage

    resolved = load_config(Path(config) if config is not None else None, _as_overrides(overrides))
    run_stage("run", resolved)
    return load_run(Path(resolved.root).expanduser() / resolved.name)


def build_app(settings: Mapping[str, Any]) -> Any:
    """The service of a finished run as an application of Ray Serve.

    For `serve run hydra_ray:build_app run=runs/quickstart llm_url=http://host/v1`, as the `import_path` of a config
    file of `serve deploy`, or for `serve.run(hydra_ray.build_app({...}))`.

    Args:
        settings: Keys of `hydra_ray/serve/config.py`; parts may be dictionaries, or keys with a dot.

    Returns:
        A `ray.serve.Application`.

    Raises:
        UserError: For whatever cannot be served.
    """
    from hydra_ray.config import load_settings
    from hydra_ray.serve.app import build_app
    from hydra_ray.serve.config import ServeConfig

    return build_app(load_settings(ServeConfig, None, _as_overrides(settings)))


def _as_overrides(settings: Mapping[str, Any]) -> list[ValueOverride]:
    """One for each value. The keys of `settings` may be paths with dots; those of dictionaries within are whole."""
    return [
        ValueOverride((*path.split("."), *inner), value)
        for path, whole in settings.items()
        for inner, value in _leaves(_plain(whole))
    ]


def _leaves(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(value, dict) or not value:
        yield (), value
        return
    for key, inner in value.items():
        for keys, leaf in _leaves(inner):
            yield (key, *keys), leaf


def _plain(value: Any) -> Any:
    """As YAML would give it: dictionaries with texts as keys, lists, paths as texts."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
