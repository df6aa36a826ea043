"""Relative paths of a Serve config file: resolved where it is deployed from, or refused."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.errors import UserError
from hydra_ray.serve.deploy.paths import places, resolved

HERE, HEAD = "http://127.0.0.1:8265", "http://head.example:8265"


def _config(args: dict[str, Any], source: str = "bundled") -> dict[str, Any]:
    llm = {
        "name": "llm",
        "import_path": "hydra_ray.llm.vllm_app:build_llm",
        "args": {"serve": {"source": source, "port": 8199}},
    }
    hydra = {"import_path": "hydra_ray.serve.app:build_app", "args": {"run": "quickstart", **args}}
    return {"applications": [llm, hydra]}


def test_paths_start_where_the_file_is_deployed_from(tmp_path: Path) -> None:
    config = _config({"state": "serving", "keys": "~/keys"})
    made = resolved(config, HERE, tmp_path)["applications"][1]["args"]
    assert made == {
        "run": "quickstart",
        "root": str(tmp_path / "runs"),
        "state": str(tmp_path / "serving"),
        "keys": str(Path.home() / "keys"),
    }
    assert config == _config({"state": "serving", "keys": "~/keys"}), "the file's own tree is left alone"


def test_names_of_runs_and_of_weights_stay_names(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    llm, hydra = resolved(_config({"run": "runs/mine"}, "weights"), HERE, tmp_path)["applications"]
    assert llm["args"]["serve"]["source"] == str(tmp_path / "weights")
    assert hydra["args"]["run"] == str(tmp_path / "runs" / "mine")
    llm, hydra = resolved(_config({}, "org/model"), HERE, tmp_path)["applications"]
    assert (llm["args"]["serve"]["source"], hydra["args"]["run"]) == ("org/model", "quickstart")
    assert resolved(_config({}, "./none"), HERE, tmp_path)["applications"][0]["args"]["serve"]["source"] == str(
        tmp_path / "none"
    )


@pytest.mark.parametrize(
    ("args", "named"), [({}, "root: 'runs'"), ({"root": "/shared", "keys": "keys"}, "keys: 'keys'")]
)
def test_another_machine_knows_no_relative_path(args: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"write the absolute path that every node sees") as raised:
        resolved(_config(args), HEAD, tmp_path)
    assert str(raised.value).startswith(f"applications[1].args.{named} is relative, and the cluster at {HEAD}")
    whole = _config({"root": "/shared/runs"})
    assert resolved(whole, HEAD, tmp_path) == whole


def test_an_absolute_folder_of_a_run_needs_no_root(tmp_path: Path) -> None:
    whole = _config({"run": "/shared/runs/quickstart"})
    assert resolved(whole, HEAD, tmp_path) == whole


def test_what_is_served_from_where_in_words(tmp_path: Path) -> None:
    assert list(places(resolved(_config({"state": "/s"}), HERE, tmp_path))) == [
        "llm: model hydra-tiny, weights bundled",
        f"default: run quickstart, root {tmp_path / 'runs'}, users and heads in /s",
    ]
