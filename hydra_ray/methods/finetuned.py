"""The LLM with all its weights fine-tuned on the training users' queries: LaMP's fine-tuned baseline.

The run trains and serves it in place of the LLM for these rows alone. It needs the LLM's weights: a line to compare
with, not personalisation of a black box.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra_ray.config import Config, TrainConfig
from hydra_ray.config.section import execution_only
from hydra_ray.core.sampling import held_out_users
from hydra_ray.methods import lora
from hydra_ray.methods.method import one_answer
from hydra_ray.methods.question import Call, QuestionContext
from hydra_ray.methods.training import MethodTraining
from hydra_ray.registries import METHODS


def ask(k: int, question: QuestionContext) -> Call:
    """The prompt that is trained and asked. k: history items by BM25 in it."""
    return question.greedy(question.retrieve("bm25", k) if k else ())


def train(k: int, training: MethodTraining) -> None:
    """Trains all weights. Raises UserError if the LLM is no LM of its engine in a folder, or as the training does."""
    from hydra_ray.training.finetune.finetune_job import FinetuneJob, FinetuneRows
    from hydra_ray.training.finetune.language_model import row_tokenizer
    from hydra_ray.training.finetune.trainer import finetune

    config = Config.model_validate(training.config)
    folder, scratch = lora.base_folder(config), (training.folder / "scratch").resolve()
    rows = list(lora.Fitting(row_tokenizer(folder, config), training.log)(training.prompts(partial(ask, k))))
    users = {row.user_id for row, _ in rows}
    held_out = held_out_users(users, config.finetune.holdout, training.seed) if config.finetune.holdout else set()
    learned, kept = (tuple(tokens for row, tokens in rows if (row.user_id in held_out) is out) for out in (False, True))
    name = f"finetuned_k{k}"
    job = FinetuneJob(
        folder.resolve(), scratch / "rows.parquet", config.finetune, config.train, name, training.seed, scratch,
        config.resources.train,
    )  # fmt: skip
    training.start_ray()
    finetune(job, FinetuneRows(learned, kept), training.folder, training.log)


def train_reads(k: int, config: Config) -> dict[str, Any]:
    """What a training depends on besides the task, the users, and how prompts are worded."""
    train = config.train.model_dump(mode="json", exclude=execution_only(TrainConfig))
    return {
        **lora.prompts_read(config, k, queries=True),
        "finetune": config.finetune.model_dump(mode="json"),
        "zero_stage": train["zero_stage"],
        "gradient_accumulation_steps": train["gradient_accumulation_steps"],
    }


def served(trained: Path) -> Path | None:
    """The folder of the fine-tuned LLM; None where the LLM as it was is better."""
    from hydra_ray.training.finetune.trainer import MODEL

    return trained / MODEL if (trained / MODEL).is_dir() else None


for k in (0, 4):
    name, after = f"finetuned_k{k}", f", after the {k} best history items by BM25" if k else ""
    about = f"the LLM with all weights trained on the training users' queries{after}"
    asks = one_answer(name, f"fine-tuned LLM, k={k}", about, partial(ask, k), group="trains the LLM")
    METHODS.register(name)(
        replace(asks, train=partial(train, k), train_reads=partial(train_reads, k), serves_weights=served)
    )
