"""Where training documents come from: the synthetic world, or users of a training split."""

from collections.abc import Iterable
from typing import Any, Protocol

from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.tiny_llm import corpus
from hydra_ray.tiny_llm.config import StageConfig, TinyLLMConfig
from hydra_ray.tiny_llm.probe import behaviour, variety
from hydra_ray.tiny_llm.sequence import Document
from hydra_ray.tiny_llm.users_corpus import UsersSource, read_training_users

Figures = dict[str, dict[str, dict[str, float]]]

_TOKENIZER_STEPS = 400
_TOKENIZER_STAGE = StageConfig(share=1, examples=(1, 2))


class DocumentSource(Protocol):
    """Documents for training and a measurement of what was learned.

    whole_words: the vocabulary is closed, the tokenizer may hold every word.
    """

    whole_words: bool

    def texts(self) -> Iterable[str]:
        """Text for the tokenizer."""

    def documents(self, stage: StageConfig, step: int) -> list[Document]:
        """The documents of a step: a pure function of its arguments."""

    def behaviour(self, llama: Any, tokenizer: Any, count: int) -> Figures:
        """task -> condition -> figures on unseen users, `count` prompts each."""


def lines_of(figures: Figures) -> list[str]:
    """One line per task: each condition with its figures."""
    return [
        f"  {task}: "
        + "; ".join(
            f"{condition} " + " ".join(f"{name} {value:.2f}" for name, value in values.items())
            for condition, values in conditions.items()
        )
        for task, conditions in figures.items()
    ]


class SyntheticSource:
    """The synthetic world's users of the namespace "tiny"; measured on those of "tiny-probe"."""

    whole_words = True

    def __init__(self, config: TinyLLMConfig) -> None:
        self.config = config

    def texts(self) -> Iterable[str]:
        """Enough documents to have met every word of every task, whatever the tasks' shares."""
        even = self.config.model_copy(update={"tasks": {"tagging": 1.0, "rating": 1.0, "headline": 1.0}})
        for step in range(_TOKENIZER_STEPS):
            for document in corpus.documents(even, _TOKENIZER_STAGE, step, 4096):
                yield document.prompt + document.answer

    def documents(self, stage: StageConfig, step: int) -> list[Document]:
        return corpus.documents(self.config, stage, step, self.config.tokens)

    def behaviour(self, llama: Any, tokenizer: Any, count: int) -> Figures:
        figures = behaviour(llama, tokenizer, list(self.config.tasks), count)
        for task in figures:
            drawn = variety(llama, tokenizer, task, min(count, 32))
            figures[task]["temperature_1"] = {"different_of_8": round(drawn, 2)}
        return figures


def source_of(config: TinyLLMConfig) -> DocumentSource:
    """The source that the config names. Raises UserError for a split that cannot be read."""
    if config.data_root is None:
        return SyntheticSource(config)
    if config.task is None:
        raise UserError("task: needed with data_root; give a built-in task's name or the path of a task YAML")
    task = load_task(config.task)
    return UsersSource(config, task, read_training_users(config, task))
