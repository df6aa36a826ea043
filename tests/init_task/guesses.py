"""Columns guessed of made-up rows."""

from typing import Any

from hydra_ray.init_task.columns import look
from hydra_ray.init_task.guess import NOTHING, Given, Guess, guess

LONG = ["The parcel came late and the box was open", "I cannot log in since the last update", "Please send it again"]


def rows(count: int = 12, **columns: Any) -> list[dict[str, Any]]:
    """Rows of three users; a column is a list that repeats, or a function of the row's number."""
    base: dict[str, Any] = {"user_id": ["a", "b", "c"], "text": lambda i: f"{LONG[i % 3]} {i}", "tag": ["x", "y"]}
    made = {name: column for name, column in {**base, **columns}.items() if column is not None}
    return [
        {name: column(i) if callable(column) else column[i % len(column)] for name, column in made.items()}
        for i in range(count)
    ]


def guessed(given: Given = NOTHING, count: int = 12, **columns: Any) -> Guess:
    return guess(*look(rows(count, **columns)), given)
