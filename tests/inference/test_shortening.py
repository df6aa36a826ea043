"""Ever shorter versions of a prompt."""

from collections.abc import Sequence

from hydra_ray.core.prompts import Message, Prompt
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.shortening import PromptVersions

ITEMS = [HistoryItem(f"i{i}", f"t{i}", f"t{i}", "a") for i in range(5)]
SYSTEM: Message = {"role": "system", "content": "s"}
TURNS: list[Message] = [SYSTEM, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]


def count(text: str) -> int:
    return len(text.split())


def make(query: str, items: Sequence[HistoryItem]) -> Prompt:
    """Room for four examples."""
    shown = " ".join(item.text for item in items[:4])
    message: Message = {"role": "user", "content": f"{shown} | {query}"}
    return Prompt((message,), min(4, len(items)), max(0, len(items) - 4))


def test_examples_go_first_then_the_conversation_then_the_questions_end() -> None:
    query = " ".join(f"q{i}" for i in range(16))
    made = PromptVersions(make, query, ITEMS, TURNS, count)
    short = [" ".join(f"q{i}" for i in range(kept)) for kept in (8, 2, 1)]
    assert [(len(v.messages) - 1, v.messages[-1]["content"]) for v in made] == [
        (3, f"t0 t1 t2 t3 | {query}"),
        (3, f"t0 t1 | {query}"),
        (3, f" | {query}"),
        (2, f" | {query}"),
        (1, f" | {query}"),
        (1, f" | {short[0]}"),
        (1, f" | {short[1]}"),
        (1, f" | {short[2]}"),
        (0, f" | {short[2]}"),
    ]
    assert [v.prompt.dropped_examples for v in made[:3]] == [1, 3, 5]
    assert [v.question_cut for v in made] == [False] * 5 + [True] * 4
    assert [v.conversation_cut for v in made] == [False] * 3 + [True] * 6
    assert made[4].messages[0] == SYSTEM


def test_equal_versions_are_one_and_none_is_made_before_it_is_needed() -> None:
    asked: list[str] = []

    def noted(query: str, items: Sequence[HistoryItem]) -> Prompt:
        asked.append(query)
        return make(query, items)

    made = PromptVersions(noted, "q", [], [], count)
    assert len(made) == 4  # the question, and three cuts of it
    assert asked == ["q"]
    assert list(made.fallbacks) == [made[i].messages for i in (1, 2, 3)]
    assert len(PromptVersions(make, "q", ITEMS[:1], [], count)) == 5
