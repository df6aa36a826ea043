"""Training documents from real people's histories: the same prompts, losses and measurements, without hints."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra_ray.config import DataConfig, TabularConfig
from hydra_ray.core.prompts import PromptBudget, answer_prompt
from hydra_ray.core.retrieval import BM25Retriever
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.data.formats.columns import Columns, missing_columns
from hydra_ray.data.merge import merge_user
from hydra_ray.data.rows import SourceRow
from hydra_ray.data.sources.find import Source as File
from hydra_ray.data.sources.find import find_sources
from hydra_ray.data.sources.source_reader import SourceReader
from hydra_ray.errors import UserError
from hydra_ray.synth.draws import Draws
from hydra_ray.tiny_llm.config import StageConfig, TinyLLMConfig
from hydra_ray.tiny_llm.probe import generate, score
from hydra_ray.tiny_llm.sequence import Document, answer_document, count_words, favourites, summary_document

_WORDS_TO_TOKENS = 1.4
_TEXT_WORDS = 64
_INDEXES = 4096


def read_training_users(config: TinyLLMConfig, task: Task) -> list[User]:
    """The training users of the data under `config.data_root`; of LaMP's files, the training split's alone are opened.

    Raises UserError: files missing, not of the layout, another task's.
    """
    root = Path(config.data_root or ".")
    rows: dict[str, list[SourceRow]] = {}
    names, columns = [], Counter[str]()
    for file in _own_files(config, root) if config.tabular else [_lamp_file(root, config.split)]:
        names.append(file.name)
        for row in SourceReader(task, config.tabular or TabularConfig()).scan(file):
            if isinstance(row, SourceRow) and row.split == "train":
                rows.setdefault(row.user_id, []).append(row)
            elif isinstance(row, Columns):
                columns.update(row.counts())
    if missing := missing_columns(columns, task, config.tabular or TabularConfig(), str(root)):
        raise UserError(missing)
    return [merge_user(rows[user_id], names).user for user_id in sorted(rows)]


def _lamp_file(root: Path, split: str) -> File:
    questions, outputs = root / f"{split}_questions.json", root / f"{split}_outputs.json"
    for path in (questions, outputs):
        if not path.is_file():
            raise UserError(
                f"{path}: no such file: data_root must hold {split}_questions.json and {split}_outputs.json"
            )
    return File("lamp", 0, questions, "train", outputs, split)


def _own_files(config: TinyLLMConfig, root: Path) -> list[File]:
    return find_sources(DataConfig(source="tabular", root=str(root), tabular=config.tabular or TabularConfig()), root)


def answered(user: User) -> list[HistoryItem]:
    """What a user has answered, oldest first: items with an answer, and questions with a gold that are no item."""
    items = [item for item in user.items if item.text and item.answer]
    known = {item.text for item in items}
    questions = [
        HistoryItem(f"q:{q.question_id}", q.text, q.text, q.gold, q.date)
        for q in user.questions
        if q.gold and q.text not in known
    ]
    return items + questions


class UsersSource:
    """Documents of given users: a question of a user after k of the same user's other items, a share `config.similar`
    of them BM25-similar to it, the rest at random. A share `config.held_out` of the users, by a hash of the id, is only
    measured on.

    Raises UserError if the users give nothing to train on or nothing to measure on.
    """

    whole_words = False

    def __init__(self, config: TinyLLMConfig, task: Task, users: Iterable[User]) -> None:
        self.config, self.task = config, task
        self.budget = PromptBudget(_TEXT_WORDS, int(config.shape.window / 2), count_words, exact=True)
        kept = [(user.user_id, answered(user)) for user in users]
        kept = [(user_id, items) for user_id, items in kept if len(items) > 1]
        by_hash = sorted(kept, key=lambda u: hashlib.blake2b(u[0].encode(), digest_size=8, salt=b"tiny").digest())
        measured = max(1, round(config.held_out * len(by_hash)))
        self.measured, self.trained = by_hash[:measured], by_hash[measured:]
        if not self.trained:
            raise UserError(f"tiny LLM: {len(kept)} users have two or more answered items of {task.name}: 2 are needed")
        self._rows = [(user, item) for user, (_, items) in enumerate(self.trained) for item in range(len(items))]
        lengths = [len(items[i].text.split()[:_TEXT_WORDS]) for _, items in self.trained for i in range(len(items))]
        self._words = sum(lengths) / len(lengths) + 6

    @lru_cache(maxsize=_INDEXES)  # noqa: B019 - one source lives as long as its training
    def _index(self, user: int) -> BM25Retriever:
        return BM25Retriever(self.trained[user][1])

    def texts(self) -> Iterable[str]:
        """Every training user's items as one-example prompts, instructions included."""
        for user, (_, items) in enumerate(self.trained):
            for i, item in enumerate(items):
                document = answer_document(
                    self.task, item, [items[i - 1]], self.budget, favourites(self.task, items[:20])
                )
                yield document.prompt + document.answer
            yield summary_document(self.task, self.trained[user][1][:2], self.budget).prompt

    def _one(self, draws: Draws, count: int) -> Document:
        user, at = draws.pick(self._rows)
        items = self.trained[user][1]
        query = items[at]
        near = min(count, sum(draws.uniform() < self.config.similar for _ in range(count)))
        chosen = [item for item, _ in self._index(user).top(query.corpus, near, query.item_id)] if near else []
        taken = {item.item_id for item in chosen} | {query.item_id}
        rest = [item for item in items if item.item_id not in taken]
        chosen += draws.sample(rest, min(count - len(chosen), len(rest)))
        if self.task.kind == "classification" and draws.uniform() < self.config.swapped:
            query, *chosen = self._swapped(draws, [query, *chosen])
            rest = []
        summary = favourites(self.task, rest) if rest and draws.uniform() < self.config.with_summary else ""
        return answer_document(self.task, query, draws.sample(chosen, len(chosen)), self.budget, summary)

    def _swapped(self, draws: Draws, items: list[HistoryItem]) -> list[HistoryItem]:
        """The items with every label replaced by another one, the same for the same."""
        labels = list(self.task.labels)
        other = dict(zip(labels, draws.sample(labels, len(labels)), strict=True))
        return [replace(item, answer=other.get(item.answer, item.answer)) for item in items]

    def documents(self, stage: StageConfig, step: int) -> list[Document]:
        """As for the synthetic world; `stage.matching` and `stage.hints` have no meaning here."""
        draws = Draws("tiny-llm", self.config.seed, step)
        per_example = self._words * _WORDS_TO_TOKENS
        kind = draws.uniform()
        if kind < self.config.summaries:
            count = draws.between(2, 12)
            people = [draws.pick(self.trained)[1] for _ in range(max(1, int(self.config.tokens / per_example / count)))]
            return [summary_document(self.task, draws.sample(p, min(count, len(p))), self.budget) for p in people]
        count = draws.between(*stage.examples) if kind < 1 - self.config.zero_examples else 0
        return [self._one(draws, count) for _ in range(max(1, int(self.config.tokens / per_example / (count + 1))))]

    def _prompts(self, how: str, count: int) -> tuple[list[str], list[str]]:
        """Prompts on held-out users, and their golds. how: zero, random4, bm25_1, bm25_4."""
        draws = Draws("tiny-llm-measure", self.config.seed)
        prompts, golds = [], []
        for _ in range(count):
            items: Sequence[HistoryItem] = draws.pick(self.measured)[1]
            query = draws.pick(items)
            rest = [item for item in items if item.item_id != query.item_id]
            shown: list[HistoryItem] = []
            if how == "random4":
                shown = draws.sample(rest, min(4, len(rest)))
            elif how.startswith("bm25"):
                shown = [i for i, _ in BM25Retriever(rest).top(query.corpus, int(how[-1]))]
            prompts.append(answer_prompt(self.task, query.text, shown, self.budget).messages[0]["content"])
            golds.append(" ".join(query.answer.split()))
        return prompts, golds

    def behaviour(self, llama: Any, tokenizer: Any, count: int) -> dict[str, dict[str, dict[str, float]]]:
        """Greedy answers on held-out users by kind of examples, next to the commonest answer of the training users."""
        was_training = llama.training
        llama.eval()
        figures = {}
        for how in ("zero", "random4", "bm25_1", "bm25_4"):
            prompts, golds = self._prompts(how, count)
            figures[how] = score(self.task, generate(llama, tokenizer, prompts, self.task), golds)
        if self.task.closed:
            everyone = [item for _, items in self.trained for item in items]
            usual = favourites(self.task, everyone, 1).removeprefix("answers: ")
            figures["commonest_answer"] = score(self.task, [usual] * len(golds), golds)
        llama.train(was_training)
        return {self.task.name: figures}
