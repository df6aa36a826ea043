import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra_ray.core.prompts import PromptBudget, answer_prompt, summary_prompt
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem

TASK = load_task("lamp_2m")
EMAIL = TASK.model_copy(update={"kind": "generation", "labels": (), "text_label": "Mail", "answer_label": "Reply"})


def words(item: int, prompt: int) -> PromptBudget:
    """A budget in words, so that sizes can be read off the texts."""
    return PromptBudget(item, prompt, lambda text: len(text.split()), exact=True)


def item(i: int, words: int = 3) -> HistoryItem:
    text = " ".join(f"w{i}" for _ in range(words))
    return HistoryItem(str(i), text, text, f"tag{i}")


def test_the_best_example_stands_last_and_the_prompt_ends_with_the_answer_label() -> None:
    content = answer_prompt(TASK, "a  film\nabout x", [item(1), item(2)], PromptBudget()).messages[0]["content"]
    assert content.index("tag2") < content.index("tag1")
    assert content.endswith("Movie: a film about x\nTag:")
    assert content.startswith(TASK.shown_instruction)


def test_history_is_cut_first_and_the_question_last() -> None:
    items = [item(i, 20) for i in range(5)]
    prompt = answer_prompt(TASK, "q " * 30, items, words(20, 100))
    assert 0 < prompt.examples < 5
    assert prompt.dropped_examples == 5 - prompt.examples
    assert "tag0" in prompt.messages[0]["content"]
    assert not prompt.question_cut
    tight = answer_prompt(TASK, "q " * 300, items, words(20, 60), summary="likes x")
    assert tight.examples == 0
    assert tight.question_cut
    assert "About this person" not in tight.messages[0]["content"]
    assert len(tight.messages[0]["content"].split()) <= 60


def test_a_single_long_text_is_clipped_and_counted() -> None:
    prompt = answer_prompt(TASK, "q", [item(1, 50)], words(10, 1000))
    assert prompt.clipped_texts == 1
    assert prompt.messages[0]["content"].count("w1") == 10


@given(st.lists(st.integers(1, 60), max_size=6), st.integers(1, 200), st.integers(60, 300))
def test_no_prompt_exceeds_its_window(lengths: list[int], question: int, window: int) -> None:
    items = [item(i, n) for i, n in enumerate(lengths)]
    prompt = answer_prompt(TASK, "q " * question, items, words(30, window))
    assert len(prompt.messages[0]["content"].split()) <= window
    assert prompt.examples + prompt.dropped_examples == len(items)


def test_a_summary_prompt_drops_the_oldest_to_fit() -> None:
    prompt = summary_prompt(TASK, [item(i, 20) for i in range(9)], words(20, 100))
    assert prompt.dropped_examples > 0
    assert "tag8" in prompt.messages[0]["content"]
    assert "tag0" not in prompt.messages[0]["content"]


def test_a_closed_task_lists_its_labels_and_may_hide_them_with_a_reason() -> None:
    assert "Tags: sci-fi, based on a book, comedy" in TASK.shown_instruction
    assert "{labels}" not in answer_prompt(TASK, "q", [], PromptBudget()).messages[0]["content"]
    bare = TASK.model_copy(update={"instruction": "Tag it.", "labels": ("red", "blue")})
    assert bare.shown_instruction == "Tag it. Possible answers: red, blue."
    assert bare.model_copy(update={"hide_labels": "a secret"}).shown_instruction == "Tag it."
    commas = bare.model_copy(update={"labels": ("red, dark", "blue")})
    assert commas.shown_instruction == "Tag it. Possible answers: red, dark; blue."
    assert EMAIL.shown_instruction == EMAIL.instruction


def test_free_text_keeps_its_lines_and_a_headline_has_one() -> None:
    mail = HistoryItem("1", "Where is\n\nmy order?", "", "Dear Ms Lee,\n\nit is on its way.")
    content = answer_prompt(EMAIL, "And\nmine?", [mail], PromptBudget()).messages[0]["content"]
    assert (
        "Mail: Where is\n\nmy order?\nReply: Dear Ms Lee,\n\nit is on its way.\n\nMail: And\nmine?\nReply:" in content
    )
    headline = EMAIL.model_copy(update={"single_line": True})
    content = answer_prompt(headline, "And\nmine?", [mail], PromptBudget()).messages[0]["content"]
    assert "Reply: Dear Ms Lee, it is on its way.\n\nMail: And mine?\nReply:" in content


@pytest.mark.parametrize("text", ["x" * 5000, "我们都是好朋友" * 600, "https://example.com/a8Zk2?q=1&x=%20 " * 150])
def test_no_item_or_question_makes_a_prompt_too_long(text: str) -> None:
    budget = PromptBudget(item_tokens=64, prompt_tokens=400)
    long = HistoryItem("1", text, text, text)
    prompt = answer_prompt(EMAIL, text, [long], budget)
    assert budget.count(prompt.messages[0]["content"]) <= 400
    assert prompt.question_cut
    shown = answer_prompt(EMAIL, "Hello?", [long], budget)
    assert (shown.examples, shown.clipped_texts, shown.question_cut) == (1, 1, False)
    assert budget.count(summary_prompt(EMAIL, [long] * 9, budget).messages[0]["content"]) <= 400


def test_fallbacks_hold_ever_less_and_none_are_made_for_an_exact_tokenizer() -> None:
    items = [item(i, 20) for i in range(4)]
    prompt = answer_prompt(TASK, "q " * 40, items, PromptBudget())
    contents = [prompt.messages[0]["content"], *(messages[0]["content"] for messages in prompt.fallbacks)]
    assert [content.count("Movie: w") for content in contents] == [4, 2, 0, 0, 0]
    assert "tag0" in contents[1]
    assert [content.count("q") for content in contents[-2:]] == [20, 5]
    assert answer_prompt(TASK, "q", items, words(20, 100)).fallbacks == ()
