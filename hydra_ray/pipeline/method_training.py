"""What a method's training reads and writes in a run (`hydra_ray.methods.training.MethodTraining`)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from hydra_ray.core.labeling import Row
from hydra_ray.core.queries import Query, history_queries
from hydra_ray.core.sampling import Trial, UserSample
from hydra_ray.core.types import User
from hydra_ray.data.reader import read_users
from hydra_ray.methods.question import Call, QuestionContext
from hydra_ray.methods.training import LearnedPrompt
from hydra_ray.pipeline.eval_prompts import EvalQuestion, MethodPrompts, folder_of_other
from hydra_ray.pipeline.llm_rows import buckets_of, read_rows
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.stage_rows import LabelRow, R, StageRow
from hydra_ray.pipeline.summary_prompts import OF_USER


class TrainingRun:
    """One training of one method."""

    def __init__(
        self,
        run: RunContext,
        trial: Trial,
        folder: Path,
        users_dir: Path,
        sample: UserSample,
        labelled: Path | None,
        asked: Sequence[Path] = (),
        others: Mapping[str, Path] = MappingProxyType({}),
        summaries: Mapping[tuple[str, str], str] = MappingProxyType({}),
    ) -> None:
        """users_dir: the ingested data set. labelled: the label step's folder, where the method reads feedback. asked:
        the folders with the answers to `Method.asks`. others: what other methods, on which it builds, have learned.
        summaries: (user, `OF_USER`) -> the user's profile summary, where the method's prompts show it."""
        self.task, self.seed, self.folder = run.task, trial.seed, folder
        self.config = run.config.model_dump(mode="json")
        self.embedding_store, self.log = run.embedding_store, run.log
        self.start_ray: Callable[[], object] = run.ray
        self._users_dir, self._sample, self._labelled, self._asked = users_dir, sample, labelled, asked
        self._others, self._summaries = others, summaries

    def users(self) -> Iterator[User]:
        """See MethodTraining."""
        for split, ids in self._sample.by_source(self._sample.train):
            yield from read_users(self._users_dir, split, ids)

    def feedback(self) -> Iterator[Row]:
        """See MethodTraining."""
        assert self._labelled is not None, "Method.reads_feedback is not set"
        yield from self._rows(LabelRow, self._labelled)

    def own_feedback(self) -> Iterator[tuple[User, Sequence[Row]]]:
        """See MethodTraining."""
        assert self._labelled is not None, "Method.reads_feedback is not set"
        tested = self._sample.read_as("test")
        for bucket in buckets_of(self._labelled):
            of_users = read_rows(LabelRow, self._labelled, [bucket], "test", tested)
            rows = {of_user.user_id: [row.query for row in of_user.rows] for of_user in of_users}
            for split, ids in self._sample.by_source(rows):
                yield from ((user, rows[user.user_id]) for user in read_users(self._users_dir, split, ids))

    def answered(self) -> Iterator[Row]:
        """See MethodTraining."""
        assert self._asked, "Method.asks is not set"
        for folder in self._asked:
            yield from self._rows(StageRow, folder)

    def trained_by(self, method: str) -> Path:
        """See MethodTraining."""
        return folder_of_other(self._others, method)

    def prompts(self, ask: Callable[[QuestionContext], Call]) -> Iterator[LearnedPrompt]:
        """See MethodTraining."""
        maker = self._maker()
        users = (replace(user, split="train") for user in self.users())  # with cross-fitting, the data says otherwise
        yield from self._learned(maker, users, maker.queries, ask)

    def history_prompts(self, ask: Callable[[QuestionContext], Call]) -> Iterator[LearnedPrompt]:
        """See MethodTraining."""
        users = (user for split, ids in self._sample.by_source(self._sample.test)
                 for user in read_users(self._users_dir, split, ids))  # fmt: skip
        yield from self._learned(self._maker(), users, lambda user: history_queries(user, self.task), ask)

    def _maker(self) -> MethodPrompts:
        return MethodPrompts(self.config, self.seed, self.embedding_store)

    def _learned(
        self,
        maker: MethodPrompts,
        users: Iterable[User],
        queries_of: Callable[[User], Sequence[Query]],
        ask: Callable[[QuestionContext], Call],
    ) -> Iterator[LearnedPrompt]:
        for user in users:
            index, summary = None, self._summaries.get((user.user_id, OF_USER), "")
            for query in queries_of(user):
                if index is None or index.items != query.history:
                    index = maker.index(query.history)  # one at a time: a long history has as many as it has items
                call = ask(EvalQuestion(maker, user, query, summary, index, {}))
                text = "\n\n".join(message["content"] for message in call.prompt.messages)
                yield LearnedPrompt(user.user_id, text, query.gold)

    def _rows(self, kind: type[R], folder: Path) -> Iterator[Row]:
        users = self._sample.read_as("train")
        for bucket in buckets_of(folder):
            for of_user in read_rows(kind, folder, [bucket], "train", users):
                yield from (row.query for row in of_user.rows)
