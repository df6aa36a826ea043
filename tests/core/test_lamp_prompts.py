"""LaMP's own layout, task by task, and its budgets."""

import json
from pathlib import Path

import pytest

from hydra_ray.core.lamp_prompts import lamp_head, lamp_prompt
from hydra_ray.core.prompts import PromptBudget
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem
from hydra_ray.data.sources.questions import question_text
from hydra_ray.errors import UserError

REAL = Path(__file__).parents[3] / "shared" / "data"


def words(prompt: int, exact: bool = True) -> PromptBudget:
    return PromptBudget(10, prompt, lambda text: len(text.split()), exact)


def item(text: str, answer: str = "") -> HistoryItem:
    return HistoryItem(text, text, text, answer)


A, B = item("first {text}", "one"), item("second", "two")


@pytest.mark.parametrize(
    ("task", "content"),
    [
        (
            "lamp_2m",
            'the tag for the movie: "first {text}" is "one" , and the tag for the movie: "second" is "two" . IN',
        ),
        (
            "lamp_2n",
            'the category for the article: "first {text}" is "one" , and the category for the article: "second" is '
            '"two" . IN',
        ),
        ("lamp_3", 'one is the score for "first {text}" , and two is the score for "second" . IN'),
        ("lamp_4", '"one" is the title for "first {text}" , and "two" is the title for "second" . IN'),
        (
            "lamp_5",
            '"one" is a title for "first {text}" , and "two" is a title for "second" . Following the given patterns IN',
        ),
        ("lamp_6", '"one" is the title for "first {text}" , and "two" is the title for "second" . IN'),
        (
            "lamp_7",
            '"first {text}" , and "second"  are written by a person. Following the given patterns IN',
        ),
    ],
)
def test_the_layout_of_every_task(task: str, content: str) -> None:
    prompt = lamp_prompt(load_task(task), "I", "N", [A, B], words(1000))
    assert prompt.messages == ({"role": "user", "content": content},)
    assert (prompt.examples, prompt.dropped_examples, prompt.clipped_texts) == (2, 0, 0)
    assert lamp_prompt(load_task(task), "I", "N", [], words(1000)).messages[0]["content"] == "IN"


def test_lamp_1_puts_the_titles_into_the_input() -> None:
    asked = 'For an author who has written the paper with the title "T", which reference is related? [1]: "x" [2]: "y"'
    content = lamp_prompt(load_task("lamp_1"), "", asked, [A, B], words(1000)).messages[0]["content"]
    assert content == asked.replace('title "T"', 'title, and "first {text}", and "second" "T"')


def test_a_head_holds_the_instruction_and_the_labels() -> None:
    assert lamp_head(load_task("lamp_2m")) == (
        "Which tag does this movie relate to among the following tags? Just answer with the tag name without further "
        "explanation. tags: [sci-fi, based on a book, comedy, action, twist ending, dystopia, dark comedy, classic, "
        "psychology, fantasy, romance, thought-provoking, social commentary, violence, true story] description: "
    )
    with pytest.raises(UserError, match="task synthetic_tagging has no LaMP layout"):
        lamp_head(load_task("synthetic_tagging"))


@pytest.mark.parametrize(
    ("name", "task"), [("news_categorization", "lamp_2n"), ("news_headline", "lamp_4"), ("product_rating", "lamp_3")]
)
def test_a_head_is_what_the_files_say(name: str, task: str) -> None:
    file = REAL / name / "dev_questions.json"
    if not file.exists():
        pytest.skip("no real data next to the repository")
    known = load_task(task)
    marked = json.loads(file.read_text())[0]["input"]
    text, _ = question_text(marked, known.question_marker)
    head = lamp_head(known.model_copy(update={"labels": tuple(sorted(known.labels))}))
    assert head + text == marked


def test_items_share_what_the_input_leaves_and_pass_on_what_they_do_not_need() -> None:
    # 30 - 4 of the input - 1 - 2 * 1 leaves 23: 11 each. The first takes 7, so the second has 15: 9 words of text.
    one, two = item("a a", "A"), item("b " * 40, "B")
    prompt = lamp_prompt(load_task("lamp_3"), "i n p ", "q", [one, two], words(30))
    content = prompt.messages[0]["content"]
    assert content.startswith('A is the score for "a a" , and B is the score for "b b b')
    assert content.count("b") == 9
    assert content.endswith(" . i n p q")
    assert (prompt.examples, prompt.clipped_texts, prompt.question_cut) == (2, 1, False)


def test_the_question_is_whole_where_it_fits_and_the_worst_items_go() -> None:
    items = [item("a " * 5, "A"), item("b " * 5, "B"), item("c " * 5, "C")]
    prompt = lamp_prompt(load_task("lamp_3"), "head ", "q " * 28, items, words(40))
    assert (prompt.examples, prompt.dropped_examples) == (1, 2)
    assert prompt.messages[0]["content"].endswith(" . head " + "q " * 28)
    full = lamp_prompt(load_task("lamp_3"), "head ", "q " * 39, items, words(40))
    assert (full.examples, full.question_cut, full.messages[0]["content"]) == (0, False, "head " + "q " * 39)
    long = lamp_prompt(load_task("lamp_3"), "head ", "q " * 80, items, words(40), "a summary")
    assert (long.examples, long.question_cut) == (0, True)
    assert long.messages[0]["content"] == "head " + " ".join("q" for _ in range(39))


def test_a_summary_stands_before_all() -> None:
    content = lamp_prompt(load_task("lamp_3"), "I", "N", [B], words(100), "likes x").messages[0]["content"]
    assert content == 'likes x\ntwo is the score for "second" . IN'


def test_estimated_sizes_carry_shorter_versions() -> None:
    prompt = lamp_prompt(load_task("lamp_3"), "head ", "q " * 8, [A, B], words(100, exact=False))
    assert [version[0]["content"] for version in prompt.fallbacks] == [
        'one is the score for "first {text}" . head ' + "q " * 8,
        "head " + "q " * 8,
        "head q q q q",
        "head q",
    ]
