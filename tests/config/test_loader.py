from pathlib import Path

import pytest

from hydra_ray.cli import main
from hydra_ray.config import dump_config, load_config
from hydra_ray.core.lamp_prompts import lamp_head
from hydra_ray.core.tasks import builtin_tasks, load_task
from hydra_ray.errors import UserError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trian.epochs=3", "override 'trian.epochs=3': trian: unknown key; did you mean 'train'?"),
        ("train.epoch=3", "override 'train.epoch=3': train.epoch: unknown key; did you mean 'epochs'?"),
        ("epochs", "override 'epochs': write it as section.key=value"),
        (
            "train.epochs.x=1",
            "override 'train.epochs.x=1': train.epochs: Input should be a valid integer (got {'x': 1})",
        ),
    ],
)
def test_a_mistyped_key_is_one_line_with_the_closest_match(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(None, [override])
    assert str(error.value).startswith(message.split(" (got")[0])


def test_values_are_checked_and_named() -> None:
    with pytest.raises(UserError, match=r"train\.epochs: .*valid integer.*'x'"):
        load_config(None, ["train.epochs=x"])
    with pytest.raises(UserError, match=r"evaluate\.methods: must be a list; write \[hydra\]"):
        load_config(None, ["evaluate.methods=hydra"])
    with pytest.raises(UserError, match=r"section\.key=value; a configuration is given by --config my\.yaml"):
        load_config(None, ["my.yaml"])
    with pytest.raises(UserError, match=r"reranker\.top_k: 20 examples cannot be kept of retrieval\.top_n=10"):
        load_config(None, ["reranker.top_k=20"])
    with pytest.raises(UserError, match=r"data\.root: needed for data\.source=lamp"):
        load_config(None, ["data.source=lamp"])
    with pytest.raises(UserError, match=r"llm\.max_cost: without prices nothing costs anything; give llm\.price"):
        load_config(None, ["llm.max_cost=5"])
    with pytest.raises(UserError, match=r"fit\.l2: bayesian_linear heads have a prior of their own"):
        load_config(None, ["model.head=bayesian_linear", "fit.l2=1"])
    for seed in (-1, 1 << 32):
        with pytest.raises(UserError, match=r"protocol\.seeds"):
            load_config(None, [f"protocol.seeds=[{seed}]"])
    assert load_config(None, ["llm.max_cost=5", "llm.price_completion=2"]).llm.max_cost == 5


@pytest.mark.parametrize(
    "text",
    [
        "#1 helper",
        "Be #1",
        "# Rules\nBe nice",
        "Be nice.\n# Rules\nNo lists.",
        '"quoted" # or not',
        "#",
        "C# and F#",
        "a#b",
    ],
)
def test_a_text_with_a_number_sign_is_no_comment(text: str) -> None:
    assert load_config(None, [f"llm.system_prompt={text}"]).llm.system_prompt == text


def test_overrides_are_still_read_as_yaml() -> None:
    given = {"system_prompt": "'#1 helper'", "model": '"a #b"', "tokenizer": "null", "base_url": ""}
    config = load_config(None, [f"llm.{key}={text}" for key, text in given.items()])
    assert (config.llm.system_prompt, config.llm.model) == ("#1 helper", "a #b")
    assert (config.llm.tokenizer, config.llm.base_url) == (None, None)
    assert load_config(None, ["protocol.seeds=[1, 2] # two"]).protocol.seeds == (1, 2)
    assert load_config(None, ["llm.extra_body={a: '#1', b: 1 # one\n}"]).llm.extra_body == {"a": "#1", "b": 1}
    assert load_config(None, ["llm.system_prompt=|\n  a\n  # b"]).llm.system_prompt == "a\n# b"
    with pytest.raises(UserError, match=r"train\.epochs: .*valid integer.*'5 # five'"):
        load_config(None, ["train.epochs=5 # five"])


def test_missing_and_broken_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(UserError, match="a config is a mapping of sections, this is a list"):
        load_config(tmp_path / "list.yaml")
    (tmp_path / "bad.yaml").write_text("a: [\n")
    with pytest.raises(UserError, match="cannot be read as YAML"):
        load_config(tmp_path / "bad.yaml")


def test_relative_paths_count_from_where_the_command_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("enc/small", "minilm", "org"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mine.yaml").write_text("{}")
    config = load_config(
        None,
        ["data.source=tabular", "data.root=rows", "data.task=mine.yaml", "model.encoder=enc/small",
         "llm.tokenizer=./org", "llm.serve.source=./org"],
    )  # fmt: skip
    assert (config.data.root, config.data.task) == (str(tmp_path / "rows"), str(tmp_path / "mine.yaml"))
    assert config.model.encoder == str(tmp_path / "enc" / "small")
    assert config.llm.tokenizer == config.llm.serve.source == str(tmp_path / "org")
    config = load_config(None, ["model.encoder=org/model", "data.source=tabular", "data.root=s3://bucket/rows"])
    assert (config.model.encoder, config.data.root) == ("org/model", "s3://bucket/rows")
    assert load_config(None, []).model.encoder == "minilm"


def test_overrides_beat_the_file_and_the_file_names_the_run(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {epochs: 3, batch_size: 8}\n")
    config = load_config(file, ["train.epochs=5"])
    assert (config.name, config.train.epochs, config.train.batch_size) == ("mine", 5, 8)


def test_a_printed_config_reads_back_as_itself(tmp_path: Path) -> None:
    config = load_config(None, ["protocol.seeds=[1,2]", "name=x"])
    (tmp_path / "x.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "x.yaml") == config


@pytest.mark.parametrize("file", [f for f in CONFIGS if f.name != "tiny_llm.yaml"], ids=lambda f: f.stem)
def test_every_config_in_the_repository_is_valid_and_its_task_exists(file: Path) -> None:
    config = load_config(file, ["data.root=somewhere"])
    assert load_task(config.data.task)


@pytest.mark.parametrize("task", [name for name in builtin_tasks() if name.startswith("lamp_")])
@pytest.mark.parametrize("file", ["lamp_api.yaml", "lamp_served.yaml"])
def test_lamps_configs_are_for_all_of_its_tasks(file: str, task: str) -> None:
    config = load_config(CONFIGS[0].parent / file, [f"data.task={task}", "data.root=DIR", "llm.prompt=lamp"])
    head = lamp_head(load_task(config.data.task))
    assert head.endswith(": ") == (task != "lamp_1")  # its questions are whole inputs
    assert (config.data.source, config.model.encoder) == ("lamp", "allenai/longformer-base-4096")


def test_the_command_line_exits_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", "none.yaml"]) == 2
    assert main(["run", "trian.epochs=3"]) == 2
    assert main(["run", "--dry-run", "data.source=lamp", "data.root=/nonexistent", "data.task=lamp_3"]) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("hydra-ray: error: ") for line in lines)
    assert "Traceback" not in captured.err


def test_overrides_may_stand_on_both_sides_of_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "seeds=1", "--print-config"]) == 2
    assert "protocol.seeds" in capsys.readouterr().err
    assert main(["run", "train.epochs=7", "--print-config", "train.batch_size=9"]) == 0
    printed = capsys.readouterr().out
    assert "epochs: 7" in printed
    assert "batch_size: 9" in printed
    missing = ["tiny-llm", "train", "--out", str(tmp_path), f"data_root={tmp_path / 'none'}", "task=lamp_3"]
    assert main(missing) == 2
    assert "no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run", "--no-such-option"])


def test_print_config_and_dry_run_do_no_work(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--print-config", "name=p"]) == 0
    assert "name: p" in capsys.readouterr().out
    assert main(["run", "--dry-run", f"root={tmp_path}"]) == 0
    assert "synthetic_tagging" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    # No cluster is asked: nothing listens there.
    assert main(["submit", "--address", "http://127.0.0.1:9", "--print-config", "name=p"]) == 0
    assert "name: p" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["submit", "--dry-run"])


@pytest.mark.parametrize("override", ["llm.headers.X-Api-Key=sk-1234", "llm.query.code=sk-1234"])
def test_a_secret_that_does_not_belong_in_a_config_is_not_repeated(override: str) -> None:
    with pytest.raises(UserError, match=r"environment variable.*\$VARIABLE") as caught:
        load_config(None, [override])
    assert "sk-1234" not in str(caught.value)
