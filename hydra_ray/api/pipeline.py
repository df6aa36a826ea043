"""HYDRA for one user at a time, in this process: no Ray, no server."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_ray.api.history import read_history
from hydra_ray.api.llm_adapters import as_llm
from hydra_ray.api.results import Run, load_run
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.inference.trace import PersonalizedAnswer
from hydra_ray.inference.types import (
    Component,
    DeadlineError,
    LLMDownError,
    OverloadedError,
    PersonalizeRequest,
    RefusedError,
    UserKey,
)
from hydra_ray.llm.event_loop import EventLoopThread
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts, load_run_artifacts

if TYPE_CHECKING:
    from hydra_ray.api.loaded_run import LoadedRun

History = Sequence[Mapping[str, Any] | HistoryItem]
"""Items as dictionaries with `text`, `answer`, `date`, `item_id`, `corpus`; only `text` must be there."""

Delta = Mapping[str, Any]
"""A user's own arrays of one head, by name."""


@dataclass(frozen=True)
class UserHead:
    """A user's own heads, as `HydraPipeline.fit` makes them.

    Attributes:
        deltas: `reranker` and `adapter` -> the user's arrays; None: the shared head did better on the user's own items.
        bases: `reranker` and `adapter` -> fingerprint of the base that the head belongs to.
        message: One line on what was fitted.
    """

    deltas: Mapping[Component, Delta | None]
    bases: Mapping[Component, str]
    message: str


class HydraPipeline:
    """Answers questions of a finished run's task, personally: retrieve, rerank, prompt, sample, select.

    Make one with `from_run` or `load`. Its methods may be called from notebooks, and from one thread at a time.

    Example:
        >>> pipe = HydraPipeline.from_run("runs/quickstart", llm=my_llm)
        >>> made = pipe.personalize("Frost on the reeds.", user_id="u00000001")
        >>> made.answer in {candidate.text for candidate in made.trace.candidates}
        True
        >>> [item.in_prompt for item in made.trace.retrieved]
        [True, True, False]
    """

    def __init__(self, bundle: RunArtifacts, llm: object = None) -> None:
        """Args:
        bundle: A run to answer from.
        llm: See `from_run`.
        """
        self._bundle = bundle
        self._llm = as_llm(llm, bundle.config.llm)
        self._loop: EventLoopThread | None = None

    @classmethod
    def from_run(cls, run: Run | str | Path, *, llm: object = None, seed: int | None = None) -> "HydraPipeline":
        """The pipeline of a finished run, in this process.

        Args:
            run: The run, its folder, or its name under `runs`.
            llm: Who is asked: the base URL of an OpenAI-compatible server, a client with `chat.completions.create`, or
                a function `(messages, n, temperature, max_tokens) -> list[str]`, plain or async. None: the run's own
                `llm.base_url`; the packaged LLM, or weights in a folder, are loaded into this process.
            seed: Whose training of the run is used (default: its first).

        Raises:
            UserError: If the run cannot be used, or its LLM is not to be had here.
        """
        found = run if isinstance(run, Run) else load_run(run)
        return cls(load_run_artifacts(found.folder, seed), llm)

    @classmethod
    def load(cls, folder: str | Path, *, llm: object = None) -> "HydraPipeline":
        """A pipeline that `save` wrote. It knows no users: give `history=`.

        Args:
            folder: Where it was saved.
            llm: See `from_run`.

        Raises:
            UserError: If the folder holds no pipeline, or one of another version of hydra_ray.
        """
        from hydra_ray.api.folder import read_folder

        return cls(read_folder(Path(folder)), llm)

    def save(self, folder: str | Path) -> Path:
        """Writes what is needed to answer elsewhere into one folder: bases, shared heads, task and model card.

        No user's history and no user's head is in it.

        Args:
            folder: A folder that does not exist yet, or is empty.

        Returns:
            The folder.

        Raises:
            UserError: If there is something in the folder already.
        """
        from hydra_ray.api.folder import write_folder

        return write_folder(self._bundle, Path(folder))

    def personalize(
        self,
        query: str,
        *,
        user_id: str | None = None,
        history: History | None = None,
        head: UserHead | None = None,
        n: int = 1,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        plain: bool = False,
    ) -> PersonalizedAnswer:
        """Answers one question as the user would.

        Args:
            query: The question's text.
            user_id: A user of the run: with the history and the heads that the run has of that user.
            history: Or a history; with the shared heads unless `head` is given. It may be empty.
            head: Heads that `fit` made, instead of the user's or the shared ones.
            n: Answers wanted, all different.
            temperature: Of the sampling (default: as the run did).
            max_tokens: Longest answer, in tokens (default: the task's).
            seed: Of the sampling, where the LLM takes one.
            plain: Whether to ask for the LLM's answer without personalisation, too.

        Returns:
            The answer with its trace: what was retrieved, in which order, which prompt was asked, which candidates
            there were with their scores.

        Raises:
            UserError: For an unknown user, a history that cannot be used, a head of another run, an LLM that does not
                answer.
        """
        if not isinstance(query, str) or not query.strip():
            raise UserError("query: give the question's text")
        if n < 1:
            raise UserError(f"n: {n} answers cannot be given; ask for one or more")
        items = self._items(user_id, history)
        if head is not None:
            self._check_head(head)
            deltas = head.deltas
        else:
            deltas = {} if user_id is None else self._parts.deltas(user_id)
        one = self._parts.inference(items, deltas, self._llm)
        ask = PersonalizeRequest(query, (), n, temperature, max_tokens, seed, plain=plain)
        made: PersonalizedAnswer = self._ask(one.personalize(UserKey("", user_id or ""), ask, uuid.uuid4().hex))
        return made.model_copy(update={"trace": made.trace.model_copy(update={"user_id": user_id})})

    def fit(self, *, history: History | None = None, user_id: str | None = None) -> UserHead:
        """Fits a user's heads on the user's own items, on the frozen bases, as the run does for new users.

        It asks the LLM: up to `protocol.pseudo_queries` items are asked as questions, each once with every retrieved
        item as the example, then sampled.

        Args:
            history: The items.
            user_id: Or a user of the run, whose history is taken.

        Returns:
            The heads, for `personalize(head=...)`.

        Raises:
            UserError: For a history that cannot be used, or an LLM that does not answer.
        """
        items = self._items(user_id, history)
        if not items:
            raise UserError("history: there are no items to fit a head on; personalize works without a head")
        learned = self._ask(self._parts.fitter(self._llm).learn(user_id or "", items))
        deltas = {
            component: learned.heads[component].delta if component in learned.heads else None
            for component in COMPONENTS
        }
        return UserHead(deltas, self._parts.fingerprints, learned.message)

    def close(self) -> None:
        """Closes connections; the pipeline may be used again."""
        close = getattr(self._llm, "close", None)
        if self._loop is not None:
            if close is not None:
                self._loop.run(close())
            self._loop.close()
            self._loop = None

    def __enter__(self) -> "HydraPipeline":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"HydraPipeline(run={self._bundle.name!r}, task={self._bundle.task.name!r})"

    @cached_property
    def _parts(self) -> "LoadedRun":
        """Bases, encoder and heads, loaded when the first question comes."""
        from hydra_ray.api.loaded_run import LoadedRun

        return LoadedRun(self._bundle)

    def _items(self, user_id: str | None, history: History | None) -> list[HistoryItem]:
        if (user_id is None) == (history is None):
            raise UserError("give either user_id, a user of the run, or history, the user's items (it may be empty)")
        return self._parts.history(user_id) if user_id is not None else read_history(self._bundle.task, history or [])

    def _check_head(self, head: UserHead) -> None:
        for component, base in self._parts.fingerprints.items():
            if head.bases.get(component) != base:
                raise UserError(f"head: its {component} belongs to the base {head.bases.get(component)}, this "
                                f"pipeline's is {base}; fit it with this pipeline")  # fmt: skip

    def _ask(self, work: Any) -> Any:
        """Runs it on the pipeline's own event loop; an LLM that does not answer is the caller's mistake."""
        if self._loop is None:
            self._loop = EventLoopThread("hydra-ray-api")
        try:
            return self._loop.run(work)
        except (LLMDownError, RefusedError, DeadlineError, OverloadedError) as error:
            raise UserError(f"llm: {error}") from None
