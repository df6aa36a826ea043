"""A run and a service from Python: what the command line does."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

import hydra_ray
from hydra_ray.config import Config
from hydra_ray.pipeline import stages
from hydra_ray.serve.config import ServeConfig


def test_a_run_with_overrides_is_the_commands(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[str, Config]] = []
    monkeypatch.setattr(stages, "run_stage", lambda stage, config: seen.append((stage, config)))
    file = tmp_path / "quickstart.yaml"
    file.write_text("train: {epochs: 5}\n")
    run = hydra_ray.run(file, root=run_folder.parent, **{"train.epochs": 3, "protocol.seeds": [1, 2]})
    ((stage, config),) = seen
    assert stage == "run"
    assert (config.name, config.train.epochs, config.protocol.seeds) == ("quickstart", 3, (1, 2))
    assert run.folder == run_folder


VALUES: dict[str, Any] = {
    "emoji": "Be nice \U0001f600",
    "small": 1e-5,
    "x.y": {"a.b": {"c.d": 1}, "empty": {}},
    "none": None,
    "true": True,
    "text": ["no", "1e-5", "2020-01-01", "#1", "1_000", "a: b", ""],
    "number": {"1": 1, "2": 2.0},
}


def test_values_stay_what_they_are(run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Config] = []
    monkeypatch.setattr(stages, "run_stage", lambda stage, config: seen.append(config))
    file = tmp_path / f"{run_folder.name}.yaml"
    file.write_text("llm: {extra_body: {x.y: {kept: 1}}}\n")
    llm = {"system_prompt": VALUES["emoji"], "extra_body": VALUES, "headers": {"X.Y": "no"}}
    more: dict[str, Any] = {"data.questions_after": date(2020, 1, 2), "protocol": {"seeds": (1, 2)}}
    hydra_ray.run(file, root=run_folder.parent, llm=llm, **more)
    (config,) = seen
    assert config.llm.system_prompt == VALUES["emoji"]
    assert config.llm.extra_body == {**VALUES, "x.y": {"kept": 1, **VALUES["x.y"]}}
    assert repr(config.llm.extra_body["number"]) == "{'1': 1, '2': 2.0}"
    assert config.llm.headers == {"X.Y": "no"}
    assert (config.data.questions_after, config.protocol.seeds) == ("2020-01-02", (1, 2))


def test_a_mistake_in_an_override_is_the_commands() -> None:
    with pytest.raises(hydra_ray.UserError, match=r"train\.epoch.*unknown key; did you mean 'epochs'"):
        hydra_ray.run(**{"train.epoch": 3})


def test_a_service_is_built_from_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra_ray.serve import app

    seen: list[ServeConfig] = []
    monkeypatch.setattr(app, "build_app", seen.append)
    settings: dict[str, Any] = {"run": "quickstart", "scorer": {"threads": 2}, "history_server.cache_mib": 5}
    hydra_ray.build_app(settings)
    (config,) = seen
    assert (config.run, config.scorer.threads, config.history_server.cache_mib) == ("quickstart", 2, 5)


def test_a_mistake_in_the_services_settings() -> None:
    with pytest.raises(hydra_ray.UserError, match=r"scorer\.thread.*unknown key; did you mean 'threads'"):
        hydra_ray.build_app({"run": "quickstart", "scorer": {"thread": 2}})
