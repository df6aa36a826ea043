"""What a method that trains is given: the training users, the LLM's feedback about them, and a folder of its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hydra_ray.core.labeling import Row
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import User
from hydra_ray.methods.question import Call, QuestionContext


@dataclass(frozen=True, slots=True)
class LearnedPrompt:
    """A prompt as the LLM would be asked, and the answer that the user gave.

    Attributes:
        user_id: Whose.
        prompt: The messages' text.
        answer: As the data has it.
    """

    user_id: str
    prompt: str
    answer: str


class MethodTraining(Protocol):
    """One training of a method: for each seed and, with cross-fitting, for each fold.

    Attributes:
        task: What the users answered.
        seed: Of all draws.
        config: The run's configuration, as `--print-config` writes it.
        folder: Where the method writes what it learns. The step is done when `train` returns; an attempt that was cut
            short finds its files there, and what lies in its `scratch` is removed when the step is done.
        embedding_store: Folder of the kept embeddings.
        start_ray: Starts Ray, or joins the run's cluster, where `train` needs it.
    """

    task: Task
    seed: int
    config: dict[str, Any]
    folder: Path
    embedding_store: Path
    start_ray: Callable[[], object]

    def users(self) -> Iterator[User]:
        """The training users with their histories and questions, a bounded number in memory at once."""
        ...

    def feedback(self) -> Iterator[Row]:
        """The training users' queries, each with retrieved texts (`candidates`) and the LLM's answer after each of them
        alone (`answers`): what the reranker learns from, already paid for.

        Only for methods with `reads_feedback`. Rows whose labels the history knows (`known`) are among them.
        """
        ...

    def own_feedback(self) -> Iterator[tuple[User, Sequence[Row]]]:
        """The evaluated users, each with the same about history items of the user's own, and never about a question.

        Only for methods with `reads_own_feedback`.
        """
        ...

    def answered(self) -> Iterator[Row]:
        """The training users' queries with the calls of `Method.asks`: their prompts (`candidates`) and what the LLM
        answered to each (`answers`, one text or none).

        Only for methods with `asks`.
        """
        ...

    def prompts(self, ask: Callable[[QuestionContext], Call]) -> Iterator[LearnedPrompt]:
        """The training users' queries as `ask` words them, with the right answers; no LLM is called."""
        ...

    def history_prompts(self, ask: Callable[[QuestionContext], Call]) -> Iterator[LearnedPrompt]:
        """The evaluated users' history items as if each were asked when it was new, as `ask` words them: its history
        are the items before it. Only items that every evaluated question of the user sees, oldest first."""
        ...

    def trained_by(self, method: str) -> Path:
        """The folder that the `train` of another method wrote, one of `Method.builds_on`; not with `asks`."""
        ...

    def log(self, line: str) -> None:
        """Shows one line of progress."""
        ...
