"""RSPG: one retriever of a pool for each question, chosen by a trained model (Salemi et al., arXiv 2404.05970).

RSPG-Pre reads the prompts with each retriever's items and asks the LLM once; RSPG-Post asks all of them and reads the
answers, too. Both learn from what the LLM answers to the training users' queries after each retriever.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra_ray.config import Config
from hydra_ray.config.retriever_selection import LEARNED, NONE
from hydra_ray.core.retriever_pool import pool_examples
from hydra_ray.methods.baselines import SHOWN
from hydra_ray.methods.method import Method, TrainingCalls
from hydra_ray.methods.question import AnsweredQuestion, Call, QuestionContext
from hydra_ray.methods.ropg import learned
from hydra_ray.methods.training import MethodTraining
from hydra_ray.models.encoder_source import encoder_settings
from hydra_ray.registries import METHODS

CHOSEN = "greedy:rspg_pre"
"""The call after the retriever that RSPG-Pre chooses."""


def row_of(member: str) -> str:
    """The row whose training a learned member of the pool uses."""
    return f"{member}_k{SHOWN}"


def builds_on(config: Config) -> tuple[str, ...]:
    """The rows whose training the pool uses."""
    return tuple(row_of(name) for name in config.rspg.pool if name in LEARNED)


def pool_calls(question: QuestionContext) -> dict[str, Call]:
    """The greedy call after each retriever of `rspg.pool`, in its order."""
    return {f"greedy:{name}": _after(question, name) for name in question.config.rspg.pool}


def _after(question: QuestionContext, name: str) -> Call:
    if name == NONE:
        return question.greedy()
    if name in LEARNED:
        return question.greedy(question.retrieve(learned(name, lambda: question.trained_by(row_of(name))), SHOWN))
    return question.greedy(question.retrieve(name, SHOWN))


def retrievers(config: Config) -> tuple[str, ...]:
    """Those of the pool that are looked up by name; one that is learned reads what dense retrieval reads."""
    found = ("dense" if name in LEARNED else name for name in config.rspg.pool if name != NONE)
    return tuple(dict.fromkeys(found))


def train(post: bool, training: MethodTraining) -> None:
    """Trains the selector on the rewards of the pool's answers. Raises UserError if they teach nothing."""
    from hydra_ray.training.selector.trainer import train_selector

    config = Config.model_validate(training.config)
    examples = pool_examples(training.task, training.answered())
    train_selector(
        "rspg_post" if post else "rspg_pre",
        examples,
        config.rspg,
        config.text_encoder,
        post,
        training.seed,
        training.folder,
        training.log,
    )


def train_reads(post: bool, config: Config) -> dict[str, Any]:
    """What a training depends on besides the task and the answers."""
    return {"rspg": config.rspg.reads(post), "encoder": encoder_settings(config.text_encoder)}


def pre_calls(question: QuestionContext) -> dict[str, Call]:
    """The one call after the chosen retriever."""

    def place(calls: Sequence[Call]) -> int:
        from hydra_ray.training.artifacts.trained_selector import trained_selector

        prompts = [call.prompt.messages[-1]["content"] for call in calls]
        found = trained_selector(question.trained, question.config.text_encoder.encoder).place(question.task, prompts)
        assert found is not None, "every retriever may be chosen before there are answers"
        return found

    return {CHOSEN: question.pick(list(pool_calls(question).values()), place)}


def post_answer(question: AnsweredQuestion) -> str | None:
    """The chosen one of the pool's answers; None where none came back."""
    from hydra_ray.training.artifacts.trained_selector import trained_selector

    selector = trained_selector(question.trained, question.config.text_encoder.encoder)
    names = [f"greedy:{name}" for name in selector.selector.pool]
    answers = [next(iter(question.texts(name)), None) for name in names]
    place = selector.place(question.task, [question.prompt(name) for name in names], answers)
    return None if place is None else answers[place]


ASKS = TrainingCalls("rspg", pool_calls, retrievers, lambda config: {"pool": list(config.rspg.pool), "items": SHOWN})


METHODS.register("rspg_pre")(
    Method(
        "RSPG-Pre",
        "one retriever of `rspg.pool` for each question, chosen from the prompts by a trained model; one answer",
        pre_calls,
        lambda question: next(iter(question.texts(CHOSEN)), None),
        group="others that train",
        train=partial(train, False),
        asks=ASKS,
        builds_on=builds_on,
        train_reads=partial(train_reads, False),
    )
)
METHODS.register("rspg_post")(
    Method(
        "RSPG-Post",
        "one of the answers after each retriever of `rspg.pool`, chosen by a trained model",
        pool_calls,
        post_answer,
        group="others that train",
        train=partial(train, True),
        asks=ASKS,
        builds_on=builds_on,
        reads_prompts=True,
        train_reads=partial(train_reads, True),
    )
)
