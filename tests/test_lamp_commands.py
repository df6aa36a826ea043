"""Arguments of `score`, `leaderboard`, `rank` and `avocado`."""

import argparse
from pathlib import Path

import pytest

from hydra_ray import lamp_commands


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    lamp_commands.add_parsers(parser.add_subparsers(dest="command"))
    return parser.parse_args(words)


def test_every_command_has_its_arguments() -> None:
    for command, words in {
        "score": ("--golds", "g.json", "--preds", "p.json"),
        "leaderboard": ("one", "two", "--out", "up.zip"),
        "rank": ("--questions", "q.json"),
        "avocado": ("--zips", "DIR", "--ids", "DIR", "--out", "DIR"),
    }.items():
        assert parse(command, *words).command in lamp_commands.COMMANDS


def test_defaults() -> None:
    scored = parse("score", "--golds", "g.json", "--preds", "p.json")
    assert (scored.golds, scored.mode, scored.task, scored.against) == (Path("g.json"), "ours", None, None)
    packed = parse("leaderboard", "one", "--out", "up.zip")
    assert (packed.runs, packed.method, packed.seed) == (["one"], "hydra", None)
    ranked = parse("rank", "--ingested", "DIR", "retrieval.method=dense")
    made = parse("avocado", "--zips", "a", "--dev", "f", "--out", "b")
    assert (made.zips, made.ids, made.train, made.dev, made.out) == (Path("a"), None, None, Path("f"), Path("b"))
    assert (ranked.ingested, ranked.split, ranked.overrides) == (Path("DIR"), None, ["retrieval.method=dense"])


@pytest.mark.parametrize(
    "words",
    [
        ("rank",),
        ("rank", "--questions", "q.json", "--ingested", "DIR"),
        ("score", "--golds", "g.json"),
        ("score", "--golds", "g", "--preds", "p", "--mode", "strict"),
        ("leaderboard", "--out", "up.zip"),
        ("avocado", "--ids", "DIR", "--out", "DIR"),
        ("avocado", "--zips", "DIR", "--ids", "DIR", "--out", "DIR", "--extract", "DIR"),
    ],
)
def test_what_does_not_go_together(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*words)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
