"""`compare` and `sweep` on the command line: mistakes are one line, before anything starts."""

from pathlib import Path

import pytest

from hydra_ray.cli import _parse, main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "mine.yaml"
    made.write_text(f"root: {tmp_path / 'runs'}\n")
    return made


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "--methods", "bm25_k5"], "--methods: no method 'bm25_k5'; did you mean 'bm25_k4'"),
        (["compare", "--methods", "ranking_k1"], "--methods: ranking_k1 cannot run"),
        (["compare", "--methods", "rspg_pre", "rspg.pool=[none,ropg_kd]"], "add ropg_kd_k4 to evaluate.methods"),
        (["compare", "protocol.train_user=3"], "protocol.train_user: unknown key"),
        (["compare", "--offline"], "--offline: goes with --dry-run"),
    ],
)
def test_mistakes_of_a_comparison(
    words: list[str], message: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--config", str(file)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (file.parent / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to sweep"),
        (["protocol.train_users=25,x"], "protocol.train_users"),
        (["protocol.train_users=25,50", "--methods", "all,mine"], "no method 'mine'"),
        (["a.b=1,2"], "a: unknown key"),
        (["model.head=linear,shared", "--offline"], "--offline: goes with --dry-run"),
    ],
)
def test_mistakes_of_a_sweep(words: list[str], message: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(file), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (file.parent / "runs").exists()


def test_all_methods_unless_some_are_named() -> None:
    assert _parse(["compare"]).methods == "all"
    assert _parse(["compare", "--methods", "a,b", "x.y=1"]).overrides == ["x.y=1"]
    assert _parse(["sweep", "f.yaml", "a.b=1,2", "--methods", "hydra", "c.d=3"]).overrides == ["a.b=1,2", "c.d=3"]


def test_a_dry_run_of_a_sweep_says_what_each_run_costs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["protocol.pseudo_queries=1,2", "data.synth.users=12", "llm.max_calls=500", "--dry-run", "--offline"]
    assert main(["sweep", str(file), *words]) == 0
    out = capsys.readouterr().out
    assert out.count("LLM calls") >= 2
    assert "protocol.pseudo_queries=1\n" in out
    assert "mine-pseudo_queries-2" in out
    assert "for all 2 together it is 1000" in out


def test_a_dry_run_of_a_comparison_says_which_methods_cannot_run_and_why(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = ["llm.base_url=http://127.0.0.1:9/v1", "llm.model=x", "data.synth.users=12"]
    assert main(["compare", "--config", str(file), *served, "--dry-run", "--offline"]) == 0
    shown = capsys.readouterr().out.splitlines()
    lines = [line.removeprefix("methods").strip() for line in shown if "left out" in line]
    assert [line.startswith("left out: ranking_k1, ranking_k2, ranking_k4: it retrieves by") for line in lines] == [
        1,
        0,
    ]
    assert "peft_k0" in lines[1]
    assert "it trains weights of the LLM, which the run itself must serve" in lines[1]
