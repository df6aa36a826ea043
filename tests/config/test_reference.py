from pathlib import Path
from typing import Any

import pytest
import yaml

from hydra_ray.cli import main
from hydra_ray.config import Config, dump_config, load_config
from hydra_ray.config.reference import entries, explain, type_text
from hydra_ray.config_schemas import schemas
from hydra_ray.errors import UserError
from hydra_ray.serve.config import ServeConfig
from hydra_ray.serve.deploy.applications import APPLICATIONS
from hydra_ray.serve.deploy.config_file import check_text, print_file
from hydra_ray.tiny_llm.config import TinyLLMConfig

ROOT = Path(__file__).parents[2]

RUNS = [
    *(f for f in (ROOT / "configs").glob("*.yaml") if f.stem != "tiny_llm"),
    *(ROOT / "configs" / "real").glob("*.yaml"),
    *(f for f in (ROOT / "configs" / "examples").glob("*.yaml") if not f.stem.endswith("_task")),
]


@pytest.mark.parametrize(
    ("key", "type_and_default"),
    [
        ("train.epochs", ("integer, at least 1", "8")),
        ("train.loss", ("one of bce, listnet, ranknet, bce_listnet, or a plug-in's", "bce")),
        ("fit.l2", ("number or null, at least 0", "null")),
        ("protocol.seeds", ("list of integer, at least 0, below 4294967296, length at least 1", "[0]")),
        ("data.synth.items", ("[integer, integer]", "[10, 30]")),
        ("llm.query", ("mapping of text to text", "{}")),
        ("data.tabular.test_share", ("number, above 0, below 1", "0.333")),
    ],
)
def test_types_constraints_and_defaults_in_words(key: str, type_and_default: tuple[str, str]) -> None:
    entry = next(e for e in entries(Config) if e.path == key)
    assert (entry.type, entry.default) == type_and_default


def test_further_types_in_words() -> None:
    assert type_text(dict[str, Any]) == "mapping of text to anything"
    assert type_text(bool | None) == "true or false or null"
    stages = next(e for e in entries(TinyLLMConfig) if e.path == "stages")
    assert (stages.type, stages.default, stages.section) == ("list of section", "3 entries", None)
    assert next(e for e in entries(ServeConfig) if e.path == "run").default == "required"


def test_explain_says_all_of_a_key_and_lists_a_section() -> None:
    assert explain("train.batch_size", schemas()) == (
        "train.batch_size  (run)\n  Rows per step, all workers together.\n  type: integer, at least 1\n  default: 256"
    )
    section = explain("ray", schemas())
    assert section.startswith(
        "ray  (run)\n  The Ray cluster. What workers reserve of it says `resources`.\n\n  address "
    )
    assert "\n  autoscaling  Whether the cluster at " in section
    both = explain("root", schemas())
    assert "root  (run)" in both
    assert "root  (service)" in both


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("train.bach_size", "train.bach_size: no such key; did you mean train.batch_size?"),
        ("batch_size", "batch_size: no such key; did you mean train.batch_size?"),
        ("train.batch", "train.batch: this key is called 'batch_size' now: train.batch_size"),
        ("without_keys", "without_keys: this key is called 'allow_anonymous' now: allow_anonymous"),
        ("zzzz", "zzzz: no such key; see `hydra-ray config keys`"),
    ],
)
def test_an_unknown_key_is_one_line_and_exit_code_2(key: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError) as error:
        explain(key, schemas())
    assert str(error.value) == message
    assert main(["config", "explain", key]) == 2
    assert capsys.readouterr().err == f"hydra-ray: error: {message}\n"


def test_the_command_explains_and_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "explain", "gateway.deadline_s"]) == 0
    assert "504" in capsys.readouterr().out
    assert main(["config", "keys"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["# run", "name: run", "root: runs"]
    assert {"train.batch_size: 256", "# service", "run: required", "scorer.max_batch_size: 32", "# tiny-llm"} < {*lines}


def test_a_printed_config_says_what_each_key_means() -> None:
    lines = dump_config(load_config(None, ["train.epochs=5"])).splitlines()
    assert lines[lines.index("  epochs: 5") - 1] == "  # Passes over the training rows."
    assert max(map(len, (line for line in lines if line.lstrip().startswith("#")))) <= 100


def test_the_config_of_the_kubernetes_job_prints_too(capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "cluster" / "kubernetes" / "runs" / "job" / "run.yaml"
    assert main(["run", "--config", str(file), "--print-config"]) == 0
    assert Config.model_validate(yaml.safe_load(capsys.readouterr().out)) == load_config(file)


@pytest.mark.parametrize("file", RUNS, ids=lambda f: f"{f.parent.name}-{f.stem}")
def test_a_printed_file_of_a_run_is_the_same_config(
    file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    overrides = ["data.root=rows"]
    assert main(["run", "--config", str(file), "--print-config", *overrides]) == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert load_config(tmp_path / "printed.yaml") == load_config(file, overrides)


def test_printed_files_of_a_service_and_a_small_llm_are_the_same_config(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "serve.yaml").write_text("run: r\nscorer: {threads: 3}\n")
    assert main(["serve", "--config", str(tmp_path / "serve.yaml"), "--print-config", "root=x"]) == 0
    printed = ServeConfig.model_validate(yaml.safe_load(capsys.readouterr().out))
    assert (printed.run, printed.root, printed.scorer.threads) == ("r", "x", 3)
    file = ROOT / "configs" / "tiny_llm.yaml"
    assert main(["tiny-llm", "train", "--config", str(file), "--print-config", "steps=7"]) == 0
    training = TinyLLMConfig.model_validate(yaml.safe_load(capsys.readouterr().out))
    assert training == TinyLLMConfig(bf16=True, probe_every=600, steps=7)
    assert main(["tiny-llm", "train"]) == 2
    assert "--out: give a folder" in capsys.readouterr().err


def serve_files(folder: Path) -> list[Path]:
    """The Serve files in the repository; those for Kubernetes stand within others."""
    files = [*(ROOT / "configs" / "serve").glob("*.yaml")]
    for overlay in (ROOT / "cluster" / "kubernetes" / "overlays").glob("*/serve-config.yaml"):
        files.append(folder / f"{overlay.parent.name}.yaml")
        files[-1].write_text(yaml.safe_load(overlay.read_text())["spec"]["serveConfigV2"])
    return files


def test_printed_serve_files_can_be_deployed_in_their_place(tmp_path: Path) -> None:
    for file in serve_files(tmp_path):
        text = print_file(file)
        printed, given = check_text(text, "printed"), yaml.safe_load(file.read_text())
        assert "        # Seconds that an answer may take" in text
        for now, before in zip(printed["applications"], given["applications"], strict=True):
            assert now | {"args": 0} == before | {"args": 0}
            schema = APPLICATIONS[now["import_path"]].arguments
            assert schema.model_validate(now["args"]) == schema.model_validate(before["args"])
        assert printed | {"applications": 0} == given | {"applications": 0}
