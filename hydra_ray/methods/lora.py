"""LoRA on the LLM itself: for the task, for each user, or for each user on top of the task's.

    task_lora   one LoRA, from the training users' queries: what users' own LoRA has to beat
    peft        one LoRA a user, from the user's history alone (Salemi and Zamani, arXiv 2409.09510)
    rag_peft    the same LoRA, trained without examples, asked with some (their RAG + PEFT)
    oppu        one LoRA a user on top of the task's (Tan et al., arXiv 2402.04401)

Each with no examples in its prompts, and with the best history items by BM25; `task_lora` and `oppu` also with a
summary of the user's history, as the LLM without LoRA wrote it (OPPU's PAG). They need the LLM's weights, which the run
must serve itself: lines to compare with, not personalisation of a black box.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_ray.config import Config
from hydra_ray.core.hashing import stable_hash
from hydra_ray.core.sampling import held_out_users
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import server_identity, weights_source
from hydra_ray.methods.method import one_answer
from hydra_ray.methods.question import Call, QuestionContext
from hydra_ray.methods.training import LearnedPrompt, MethodTraining
from hydra_ray.registries import METHODS

if TYPE_CHECKING:
    from hydra_ray.training.user_lora.rows import LoraRow, TokenRow

TASK, USERS, SERVED, BASE = "task", "users", "served", "base"
"""In a training's folder: the task's LoRA (PEFT's format; none where no epoch served), the users'
(`training.user_lora.artifact`), what vLLM loads for each user, and the base with the task's LoRA in its weights."""


@dataclass(frozen=True, slots=True)
class LoraRows:
    """What a row of the table trains.

    Attributes:
        k: History items by BM25 in the prompts that are asked.
        task: Whether the task's LoRA is trained.
        users: Whether users' own are.
        profile: Whether its prompts show the summary of the user's history.
        trained_k: History items in the prompts that are trained; None: as many as are asked.
    """

    k: int
    task: bool
    users: bool
    profile: bool = False
    trained_k: int | None = None

    @property
    def prompts(self) -> str:
        """What its prompts show, as its name ends."""
        return f"pag_k{self.k}" if self.profile else f"k{self.k}"

    @property
    def task_row(self) -> str:
        """The row with the task's LoRA for the same prompts."""
        return f"task_lora_{self.prompts}"

    def ask(self, question: QuestionContext) -> Call:
        """The prompt that is trained, without an adapter."""
        return question.greedy(*self._shown(question, self.k if self.trained_k is None else self.trained_k))

    def answer(self, question: QuestionContext) -> Call:
        """The call with the user's adapter, or the task's, or none."""
        return question.greedy(*self._shown(question, self.k), lora=partial(self._adapter, question))

    def _shown(self, question: QuestionContext, k: int) -> tuple[Sequence[HistoryItem], str]:
        """The k best examples, best first, and the summary."""
        return question.retrieve("bm25", k) if k else (), question.summary if self.profile else ""

    def _adapter(self, question: QuestionContext) -> Path | None:
        """The folder of the adapter that answers for a user; None: the LLM alone."""
        own = question.trained / SERVED / folder_of(question.user_id)
        if self.users and own.is_dir():
            return own
        if not self.task:
            return None
        of_task = (question.trained_by(self.task_row) if self.users else question.trained) / TASK
        return of_task if of_task.is_dir() else None


def folder_of(user_id: str) -> str:
    """A folder's name for a user, whatever the id holds."""
    return stable_hash("adapter", user_id).hex()


def train(rows: LoraRows, training: MethodTraining) -> None:
    """Trains what `rows` says and writes it as vLLM loads it.

    Raises UserError if the weights are no decoder LM in a folder, or as the training does.
    """
    from hydra_ray.models.lora.decoder import load_decoder
    from hydra_ray.training.user_lora.rows import RowTokenizer

    config = Config.model_validate(training.config)
    folder = base_folder(config)
    base = load_decoder(folder, config.lora.precision)
    fits = Fitting(RowTokenizer(base.tokenizer, config.lora.max_tokens, config.llm.system_prompt), training.log)
    if rows.users:
        _train_users(base, rows, training, config, fits)
    else:
        _train_task(base, rows, training, config, fits)


def base_folder(config: Config) -> Path:
    """The folder of the served LLM's weights. Raises UserError if they are not in a folder."""
    source = weights_source(config.llm.serve.source)
    if not Path(source).is_dir():
        raise UserError(f"llm.serve.source={source}: training needs weights in a folder: download them and give it")
    return Path(source)


def untrainable(config: Config, *, adapters: bool) -> str:
    """Why the weights of the LLM that vLLM serves cannot be trained, in one line; "" if they can.

    adapters: as LoRA; else all of them.
    """
    from hydra_ray.models.lora.decoder import check_decoder, check_targets

    try:
        folder = base_folder(config)
        check_decoder(folder)
        if adapters:
            check_targets(folder, (*config.lora.targets, *config.lora.task_targets))
    except UserError as error:
        return str(error)
    return ""


class Fitting:
    """Prompts as rows that can be trained, each with its tokens; the others are left out and counted."""

    def __init__(self, tokenize: Callable[["LoraRow"], "TokenRow"], log: Callable[[str], None]) -> None:
        self._tokenize, self._log = tokenize, log

    def __call__(self, prompts: Iterable[LearnedPrompt]) -> Iterator[tuple["LoraRow", "TokenRow"]]:
        from hydra_ray.training.user_lora.rows import LoraRow

        lost, first, kept = 0, "", 0
        for prompt in prompts:
            row = LoraRow(prompt.user_id, prompt.prompt, prompt.answer)
            try:
                tokens = self._tokenize(row)
            except UserError as error:
                lost, first = lost + 1, first or str(error)
                continue
            kept += 1
            yield row, tokens
        if lost:
            self._log(f"{lost:,} of {lost + kept:,} rows are left out, the first as {first}")


def _train_task(base: Any, rows: LoraRows, training: MethodTraining, config: Config, fits: Fitting) -> None:
    from hydra_ray.models.lora.peft_folder import write_lora
    from hydra_ray.models.lora.shape import shape_of
    from hydra_ray.training.user_lora.train import train_task

    settings = config.lora.for_task()
    found = list(fits(training.prompts(rows.ask)))
    if not found:
        raise UserError("lora: no rows of training users to train the task's LoRA on; raise protocol.pseudo_queries")
    users = {row.user_id for row, _ in found}
    held_out = held_out_users(users, settings.holdout, training.seed) if settings.holdout else set()
    learned, kept = ([tokens for row, tokens in found if (row.user_id in held_out) is out] for out in (False, True))
    training.log(f"LoRA of the task: {len(learned):,} rows, {settings.epochs} epochs")
    trained = train_task(base, learned, kept, config.lora, training.seed)
    if trained.weights is None:
        training.log("LoRA of the task: no epoch lowers the loss of the held-out users' rows, so there is none")
        return
    shape = shape_of(base.model, settings.rank, settings.alpha, settings.targets)
    write_lora(training.folder / TASK, shape, trained.weights, str(base.folder))


def _train_users(base: Any, rows: LoraRows, training: MethodTraining, config: Config, fits: Fitting) -> None:
    from hydra_ray.models.lora.combined import combined
    from hydra_ray.models.lora.decoder import load_decoder
    from hydra_ray.models.lora.merge import merge_lora
    from hydra_ray.models.lora.peft_folder import read_lora, write_lora
    from hydra_ray.training.user_lora.artifact import UserLoras
    from hydra_ray.training.user_lora.row_files import write_rows
    from hydra_ray.training.user_lora.workers import UserLoraJob, train_on_workers

    scratch = training.folder / "scratch"
    of_task = training.trained_by(rows.task_row) / TASK if rows.task else None
    task = read_lora(of_task, base.model) if of_task and of_task.is_dir() else None
    below = base
    if task is not None:
        if not (scratch / BASE).is_dir():
            merge_lora(base, *task, scratch / BASE)
        below = load_decoder(scratch / BASE, config.lora.precision)
    found_rows = (row for row, _ in fits(training.history_prompts(rows.ask)))
    users = write_rows(scratch / "rows", found_rows, config.data.buckets)
    wanted = config.resources.fit
    job = UserLoraJob(
        below.folder.resolve(),
        (scratch / "rows").resolve(),
        (training.folder / USERS).resolve(),
        config.lora,
        training.seed,
        config.data.buckets,
        users,
        config.llm.system_prompt,
        wanted.num_gpus,
    )
    training.start_ray()
    train_on_workers(job, below, wanted, training.log)
    found = UserLoras.open(training.folder / USERS, below.digest)
    for ids in users.values():
        for user, weights in zip(ids, found.of(ids), strict=True):
            if weights is not None:
                shape, own = combined(task, (found.shape, weights)) if task else (found.shape, weights)
                write_lora(training.folder / SERVED / folder_of(user), shape, own, str(base.folder))


def train_reads(rows: LoraRows, config: Config) -> dict[str, Any]:
    """What a training depends on besides the task, the users, and how prompts are worded."""
    settings = config.lora if rows.users else config.lora.for_task()
    k = rows.k if rows.trained_k is None else rows.trained_k
    return {"lora": settings.identity()} | prompts_read(config, k, queries=not rows.users)


def prompts_read(config: Config, k: int, *, queries: bool) -> dict[str, Any]:
    """What the prompts that weights are trained on depend on, and the weights. k: examples by BM25 in them. queries:
    whether they are the training users' queries."""
    llm, retrieval, protocol = config.llm, config.retrieval, config.protocol
    return {
        "weights": server_identity(llm),
        **({"system_prompt": llm.system_prompt} if llm.system_prompt else {}),
        **({"retrieval": [retrieval.bm25, retrieval.tokens, retrieval.use_date]} if k else {}),
        **({"queries": [protocol.pseudo_queries, protocol.train_questions]} if queries else {}),
    }


def user_parameters(trained: Path) -> int:
    """The numbers of one user's LoRA. Raises UserError if they cannot be read."""
    from hydra_ray.training.user_lora.artifact import read_shape

    return read_shape(trained / USERS).numbers


def builds_on(rows: LoraRows, config: Config) -> tuple[str, ...]:
    """The row whose task LoRA users' own LoRA is trained on."""
    return (rows.task_row,) if rows.task and rows.users else ()


def _register(name: str, title: str, about: str, rows: LoraRows, trained_as: str = "") -> None:
    name = f"{name}_{rows.prompts}"
    shown = f"the {rows.k} best history items by BM25" if rows.k > 1 else "the best history item by BM25"
    parts = [*(["a summary of the history"] if rows.profile else []), *([shown] if rows.k else [])]
    about += f", after {' and '.join(parts)}" if parts else ""
    title += f"{' + profile' if rows.profile else ''}, k={rows.k}"
    method = one_answer(name, title, about, rows.answer, group="trains the LLM", summary=rows.profile)
    METHODS.register(name)(
        replace(
            method,
            train=partial(train, rows),
            train_reads=partial(train_reads, rows),
            builds_on=partial(builds_on, rows),
            serves_lora=True,
            user_parameters=user_parameters if rows.users else None,
            trained_as=trained_as,
        )
    )


PROMPTS = ((0, False), (4, False), (1, True))
"""History items, and whether the summary is shown."""
for k, profile in PROMPTS:
    _register("task_lora", "task LoRA", "the LLM with one LoRA, trained on the training users' queries",
              LoraRows(k, task=True, users=False, profile=profile))  # fmt: skip
    if not profile:
        _register("peft", "LoRA per user", "the LLM with the user's own LoRA, trained on the user's history",
                  LoraRows(k, task=False, users=True))  # fmt: skip
    _register("oppu", "OPPU", "the LLM with the task's LoRA and the user's own on top of it",
              LoraRows(k, task=True, users=True, profile=profile))  # fmt: skip
_register("rag_peft", "LoRA per user trained without examples", "the LLM with the user's own LoRA of `peft_k0`",
          LoraRows(4, task=False, users=True, trained_k=0), trained_as="peft_k0")  # fmt: skip
