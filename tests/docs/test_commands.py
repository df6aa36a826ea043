"""Every `hydra-ray ...` line that README and docs show is accepted by the command line, configuration keys included."""

import shlex
from pathlib import Path

import pytest

from hydra_ray.cli import STAGES, _parse, main
from tests.docs.pages import PAGES, ROOT, shell_lines

PLACEHOLDERS = {
    "configs/NAME.yaml": "configs/news_categorization.yaml",
    "configs/real/NAME.yaml": "configs/real/news_categorization.yaml",
    "FILE": "configs/quickstart.yaml",
    "tickets.yaml": "configs/examples/tickets.yaml",
    "train.loss=LOSS": "train.loss=bce",
    "model.head=KIND": "model.head=linear",
}
"""What a reader puts in place of it."""


def _commands() -> list[tuple[str, ...]]:
    """The arguments of each command, once."""
    found: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        for line in shell_lines(page):
            _, called, rest = line.partition("hydra-ray ")
            if called and not line.startswith(("pip ", "#")):
                words = shlex.split(rest.rstrip(")"))
                cut = next((i for i, word in enumerate(words) if word in (">", ">>", "|")), len(words))
                found[tuple(PLACEHOLDERS.get(word, word) for word in words[:cut])] = None
    return list(found)


COMMANDS = _commands()


def test_the_pages_show_commands() -> None:
    assert {words[0] for words in COMMANDS} >= {"run", "init-task", "fit-users", "serve", "deploy", "submit", "bench"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_is_accepted(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert _parse(words).command == words[0]
    if words[0] in (*STAGES, "submit"):  # these check their keys and values without doing anything
        code = main([*words, "--print-config"])
        assert code == 0, capsys.readouterr().err
    for word in words:
        if word.startswith(("configs/", "jobs/")):
            assert Path(word).exists()
