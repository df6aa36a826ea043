from hypothesis import given
from hypothesis import strategies as st

from hydra_ray.core.prompts import Window, answer_prompt, summary_prompt
from hydra_ray.core.records import HistoryItem
from hydra_ray.core.tasks import load_task

TASK = load_task("lamp_2m")


def item(i: int, words: int = 3) -> HistoryItem:
    text = " ".join(f"w{i}" for _ in range(words))
    return HistoryItem(str(i), text, text, f"tag{i}")


def test_the_best_example_stands_last_and_the_prompt_ends_with_the_answer_label() -> None:
    content = answer_prompt(TASK, "a  film\nabout x", [item(1), item(2)], Window()).messages[0]["content"]
    assert content.index("tag2") < content.index("tag1")
    assert content.endswith("Movie: a film about x\nTag:")
    assert content.startswith(TASK.instruction)


def test_history_is_cut_first_and_the_question_last() -> None:
    items = [item(i, 20) for i in range(5)]
    prompt = answer_prompt(TASK, "q " * 30, items, Window(text_words=20, prompt_words=100))
    assert 0 < prompt.examples < 5
    assert prompt.dropped_examples == 5 - prompt.examples
    assert "tag0" in prompt.messages[0]["content"]
    assert not prompt.question_cut
    tight = answer_prompt(TASK, "q " * 300, items, Window(text_words=20, prompt_words=60), summary="likes x")
    assert tight.examples == 0
    assert tight.question_cut
    assert "About this person" not in tight.messages[0]["content"]
    assert len(tight.messages[0]["content"].split()) <= 60


def test_a_single_long_text_is_clipped_and_counted() -> None:
    prompt = answer_prompt(TASK, "q", [item(1, 50)], Window(text_words=10, prompt_words=1000))
    assert prompt.clipped_texts == 1
    assert prompt.messages[0]["content"].count("w1") == 10


@given(st.lists(st.integers(1, 60), max_size=6), st.integers(1, 200), st.integers(40, 300))
def test_no_prompt_exceeds_its_window(lengths: list[int], question: int, window: int) -> None:
    items = [item(i, n) for i, n in enumerate(lengths)]
    prompt = answer_prompt(TASK, "q " * question, items, Window(30, window))
    assert len(prompt.messages[0]["content"].split()) <= window
    assert prompt.examples + prompt.dropped_examples == len(items)


def test_a_summary_prompt_drops_the_oldest_to_fit() -> None:
    prompt = summary_prompt(TASK, [item(i, 20) for i in range(9)], Window(20, 100))
    assert prompt.dropped_examples > 0
    assert "tag8" in prompt.messages[0]["content"]
    assert "tag0" not in prompt.messages[0]["content"]
