"""ROPG: examples by a dense retriever that has learned from the LLM's answers (Salemi et al., arXiv 2404.05970).

The answers are those of the label step, after each retrieved item alone, which HYDRA's reranker learns from: training
costs no further call. Its rows for k items share one training.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra_ray.config import Config, TrainConfig
from hydra_ray.config.retriever_training import Goal
from hydra_ray.config.section import execution_only
from hydra_ray.core.retrieval import Retriever, RetrieverKind, RetrieverSettings
from hydra_ray.core.rewards import rewarded_lists
from hydra_ray.core.types import HistoryItem
from hydra_ray.methods.method import one_answer
from hydra_ray.methods.question import Call, QuestionContext
from hydra_ray.methods.training import MethodTraining
from hydra_ray.models.encoder_source import encoder_settings
from hydra_ray.registries import METHODS
from hydra_ray.training.artifacts.trained_retriever import trained_retriever

TITLES: dict[Goal, str] = {"kd": "ROPG-KD", "rl": "ROPG-RL"}


def name_of(goal: Goal) -> str:
    """What a training and its messages are called."""
    return f"ropg_{goal}"


def train(goal: Goal, training: MethodTraining) -> None:
    """Trains the retriever on the rewards of the label step's answers. Raises UserError if they teach nothing."""
    from hydra_ray.training.retriever.retriever_job import RetrieverJob
    from hydra_ray.training.retriever.trainer import train_retriever

    config = Config.model_validate(training.config)
    name, scratch = name_of(goal), (training.folder / "scratch").resolve()
    rows = rewarded_lists(training.task, training.users(), training.feedback(), config.retrieval.use_date)
    job = RetrieverJob(
        config.text_encoder,
        config.ropg,
        config.train,
        goal,
        scratch / "lists.parquet",
        name,
        training.seed,
        scratch,
        training.embedding_store.resolve(),
        config.plugins,
        config.resources.train,
    )
    lists = list(rows)
    training.start_ray()
    train_retriever(job, lists, training.folder, training.log)


def train_reads(config: Config) -> dict[str, Any]:
    """What a training depends on besides the task and the feedback."""
    training = config.train.model_dump(mode="json", exclude=execution_only(TrainConfig))
    return {
        "ropg": config.ropg.model_dump(mode="json"),
        "encoder": encoder_settings(config.text_encoder),
        "use_date": config.retrieval.use_date,
        "weight_decay": training["weight_decay"],
        "zero_stage": training["zero_stage"],
        "gradient_accumulation_steps": training["gradient_accumulation_steps"],
    }


def learned(name: str, folder: Callable[[], Path]) -> RetrieverKind:
    """The retriever that a training has learned; it is read when a history is searched.

    Args:
        name: Of the training.
        folder: Where it lies.
    """

    def make(items: Sequence[HistoryItem], settings: RetrieverSettings) -> Retriever:
        return trained_retriever(name, folder()).over(items, settings)

    return RetrieverKind(make, encodes=True)


def _ask(goal: Goal, k: int) -> Callable[[QuestionContext], Call]:
    return lambda question: question.greedy(question.retrieve(learned(name_of(goal), lambda: question.trained), k))


for goal, title in TITLES.items():
    for k in (1, 4):
        name = f"{name_of(goal)}_k{k}"
        about = f"the {k} best history items by a dense retriever trained on the LLM's answers"
        asks = one_answer(
            name, f"{title}, k={k}", about, _ask(goal, k), group="others that train", retrievers=("dense",)
        )
        METHODS.register(name)(
            replace(
                asks,
                train=partial(train, goal),
                reads_feedback=True,
                trained_as=name_of(goal),
                train_reads=train_reads,
            )
        )
