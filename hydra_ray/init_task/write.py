"""A guess as two commented YAML files: the task, and a config to start from. Pure."""

import json
import textwrap
from collections.abc import Collection, Sequence

from hydra_ray.init_task.guess import ColumnChoice, Guess
from hydra_ray.registries import TASK_KINDS

WIDTH = 110
HISTORIES = ((3, 5), (1, 5), (1, 2), (1, 1))
"""(tabular.questions, tabular.min_items), the first of which half of the users have enough items for is taken."""

BARE = ("body", "content", "text", "value")
"""Names that say nothing of what the text is."""

_INSTRUCTIONS = {
    "classification": "Give the {answer} of the last {text}, as this person would. Answer with one of these and "
    "nothing else: {{labels}}.",
    "rating": "Give the {answer} of the last {text}, as this person would. Answer with the number only, one of "
    "{{labels}}.",
    "generation": "Write the {answer} of the last {text}, as this person would. Answer with it alone.",
}


def task_yaml(guess: Guess, place: str, name: str) -> str:
    """The task's file. place: what was looked at. name: the task's."""
    text, answer = _spoken(guess.texts[-1].column), _spoken(guess.answer.column)
    parts = [
        _comment(f"Made by `hydra-ray init-task` from {place}. All of it is guessed: read it, and change what is "
                 "wrong."),
        _comment("kind: classification (the answer is one of `labels`), rating (a number of `labels`) or generation "
                 f"(free text). Guessed: {guess.kind_why}."),
        f"name: {_quoted(name)}\nkind: {guess.kind}\n",
        _comment(f"The text that is asked about. Guessed: {_whys(guess.texts)}."),
        f"text_fields: {_list([choice.column for choice in guess.texts])}\n",
    ]  # fmt: skip
    parts += [
        _comment(f"What this person answered. Guessed: {guess.answer.why}."),
        f"answer_field: {_quoted(guess.answer.column)}\n",
        _comment("The first line of every prompt, and what its two parts are called."
                 + (" {labels} stands for the labels." if guess.labels else "")),
        f"instruction: {_quoted(_INSTRUCTIONS[guess.kind].format(answer=answer.lower(), text=text.lower()))}\n",
        f"text_label: {_quoted(text)}\nanswer_label: {_quoted(answer)}\n",
        f"primary_metric: {TASK_KINDS.get(guess.kind).metrics[0]}\n",
    ]  # fmt: skip
    if guess.kind == "generation":
        note = "one line each" if guess.single_line else "of several lines, which are kept"
        parts += [
            _comment(f"The answers are {note}. max_answer_tokens is the longest answer of the LLM, in tokens."),
            f"single_line: {str(guess.single_line).lower()}\n",
            f"max_answer_tokens: {64 if guess.single_line else 512}\n",
        ]
    if guess.labels:
        what = "The scale, low to high." if guess.kind == "rating" else "Every label there is; others are rejected."
        parts += [_comment(what), "labels:\n", *(f"  - {_quoted(label)}\n" for label in guess.labels)]
    return "".join(parts)


def config_yaml(guess: Guess, place: str, root: str, task_file: str, histories: Collection[int]) -> str:
    """The config's file. root: of the data; task_file: of the task. histories: items of every user."""
    questions, min_items = history_needs(histories)
    enough = sum(count >= questions + min_items for count in histories)
    own = [
        f"    user_field: {_quoted(guess.user.column)}  # {guess.user.why}\n",
        f"    id_field: {_quoted(guess.item_id.column) if guess.item_id.column else 'null'}  # {guess.item_id.why}\n",
        f"    date_field: {_quoted(guess.date.column) if guess.date.column else 'null'}  # {guess.date.why}\n",
    ]
    if guess.date_format:
        own.append(f"    date_format: {_quoted(guess.date_format)}\n")
    return "".join(
        [
            _comment(f"Made by `hydra-ray init-task` from {place}; what follows is guessed, change what is wrong."),
            _comment("  hydra-ray run --config THIS_FILE --dry-run     checks it, and says what a run would ask"),
            "data:\n  source: tabular\n",
            f"  root: {_quoted(root)}\n  task: {_quoted(task_file)}\n  tabular:\n",
            *own,
            _comment(f"Each user's newest items are the questions; {enough:,} of {len(histories):,} users have enough "
                     "items for these numbers.", "    "),
            f"    questions: {questions}\n    min_items: {min_items}\n",
            _comment("The users to train on and to test on; null takes all of them."),
            "protocol:\n  train_users: null\n  test_users: null\n",
            f"  train_questions: {questions}\n",
            _comment("The LLM: any OpenAI-compatible server, its key in HYDRA_RAY_LLM_API_KEY. Without base_url the "
                     "package's own tiny LLM answers, which is good for trying the machinery and for nothing else."),
            "llm:\n",
            "  # base_url: https://api.openai.com/v1\n  # model: NAME\n",
            "  max_calls: 200000\n",
        ]
    )  # fmt: skip


def history_needs(histories: Collection[int]) -> tuple[int, int]:
    """tabular.questions and tabular.min_items for users who have so many items each."""
    for questions, min_items in HISTORIES:
        if 2 * sum(count >= questions + min_items for count in histories) >= len(histories):
            return questions, min_items
    return HISTORIES[-1]


def _spoken(column: str) -> str:
    """A column's name as words: `ticket.starRating` becomes "Star rating", `mail.body` "Mail", `body` "Text"."""
    *parents, name = column.split(".")
    if name.lower() in BARE:
        name = parents[-1] if parents else "text"
    spaced = "".join(f" {c.lower()}" if c.isupper() and not name.isupper() else c for c in name)
    words = " ".join(spaced.replace("_", " ").replace("-", " ").split()) or column
    return words[0].upper() + words[1:]


def _whys(choices: Sequence[ColumnChoice]) -> str:
    return "; ".join(dict.fromkeys(choice.why for choice in choices))


def _comment(text: str, indent: str = "") -> str:
    return "".join(f"{line}\n" for line in textwrap.wrap(
        " ".join(text.splitlines()), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ",
        break_long_words=False, break_on_hyphens=False))  # fmt: skip


def _quoted(text: str) -> str:
    """A YAML scalar that is text whatever it holds."""
    return json.dumps(text, ensure_ascii=False)


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(_quoted(name) for name in names)}]"
