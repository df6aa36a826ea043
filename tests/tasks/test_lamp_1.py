"""LaMP 1 (which of two papers does the author cite?) from its files to its figures, on a made-up set."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.config import Config
from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.metrics import score_all
from hydra_ray.core.queries import Query
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import User
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.pipeline.stage_prompts import LabelPrompts, StagePrompts
from tests.data.files import golds, ingest_pure, lamp_root

TASK = load_task("lamp_1")
TOPICS = ("harbour walls", "barn owls", "copper dyes", "frost heave")


def paper(number: int) -> dict[str, str]:
    topic = TOPICS[number % 4]
    return {
        "id": f"p{number}",
        "title": f"Notes on {topic}, part {number}",
        "abstract": f"We look at {topic} again and find {number} new cases.",
    }


def citing(question_id: str, first: str, second: str) -> dict[str, Any]:
    head = 'For an author who has written the paper with the title "The "quiet" shore", which reference is related?'
    asked = f'{head} Just answer with [1] or [2] without explanation. [1]: "{first}" [2]: "{second}"'
    return {"id": question_id, "input": asked, "profile": [paper(i) for i in range(8)]}


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A test user whose one question is about owls or tea."""
    train = [citing("1", "A history of copper dyes", "Tea")]
    dev = [citing("2", "Tea", "Where barn owls nest")]
    root = lamp_root(tmp_path, train, golds({"1": "[1]"}, "LaMP_1"), dev, golds({"2": "[2]"}, "LaMP_1"))
    return ingest_pure(root, TASK, tmp_path / "out").users["q:dev:2"]


def config(**changes: Any) -> dict[str, Any]:
    data = {"task": "lamp_1", "source": "lamp", "root": "."}
    return Config.model_validate(
        {"data": data, "retrieval": {"top_n": 2}, "reranker": {"top_k": 2}, **changes}
    ).model_dump(mode="json")


def query(user: User) -> Query:
    question = user.questions[0]
    history = tuple(user.history_of(question))
    return Query(question.question_id, question.text, question.gold or "", history, None, False, question.head)


def test_retrieval_searches_for_the_two_options_alone(user: User) -> None:
    assert TASK.search_text(user.questions[0].text) == "Tea Where barn owls nest"
    found = StagePrompts(config(), 0, None).index(query(user).history).search(user.questions[0].text, 2)
    assert {item.text for item in found.items} == {"Notes on barn owls, part 1", "Notes on barn owls, part 5"}


def test_prompts_show_the_authors_papers_and_the_whole_question(user: User) -> None:
    items = list(query(user).history[:2])
    (ours,) = PromptBuilder(Config.model_validate(config()), 0).prompt(query(user), items).messages
    assert ours["content"] == (
        "An author writes papers such as the ones below. Which is cited? Answer with one of [1], [2] only.\n\n"
        f"Paper: {items[1].text}\n\nPaper: {items[0].text}\n\nPaper: {user.questions[0].text}\nCited:"
    )
    builder = PromptBuilder(Config.model_validate(config(llm={"prompt": "lamp"})), 0)
    (lamps,) = builder.prompt(query(user), items).messages
    assert lamps["content"] == user.questions[0].text.replace(
        'the title "The', f'the title, and "{items[0].text}", and "{items[1].text}" "The'
    )


def test_what_the_reranker_learns_from_are_abstracts_for_titles(user: User) -> None:
    asked = [asked for _, asked in LabelPrompts(config(protocol={"pseudo_queries": 3}), 0, None)([user])]
    assert len(asked) == 3, "a test user's own question is never asked to learn from"
    for one in asked:
        row, requests = one.row.query, one.requests
        item = next(item for item in user.items if f"p:{item.item_id}" == row.query_id)
        assert (row.text, row.gold) == (item.text, item.corpus.removeprefix(item.text).strip())
        assert item.text not in row.candidates
        assert all(request.messages[0]["content"].endswith("\nAbstract:") for request in requests)


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("[1]", "[1]"),
        (" [2].", "[2]"),
        ("2", "[2]"),
        ('[2]: "Where barn owls nest"', "[2]"),
        ("The answer is [1].", "[1]"),
        ("**[2]**", "[2]"),
        ("[1] and [2]", ""),
        ("not [1]", ""),
        ("", ""),
    ],
)
def test_answers(raw: str, answer: str) -> None:
    assert parse_answer(TASK, raw) == answer


def test_figures() -> None:
    gold = ["[1]", "[2]", "[2]", "[1]"]
    found = score_all(TASK, gold, ["[1]", "Reference [2].", "[1]", None])
    assert found["accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx((0.5 + 2 / 3) / 2)
