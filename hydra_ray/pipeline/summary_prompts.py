"""What asks for profile summaries (PAG): of each evaluated question's history, or of each user's."""

from collections.abc import Iterator, Sequence

from hydra_ray.core.labeling import Row
from hydra_ray.core.prompts import summary_prompt
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.llm.types import Request
from hydra_ray.pipeline.stage_prompts import StagePrompts, evaluated
from hydra_ray.pipeline.stage_rows import Cuts, PromptedRow, StageRow

SUMMARY_ITEMS = 10
SUMMARY_TOKENS = 32
OF_USER = ""
"""The query id of what is known of a user before any question."""


class SummaryPrompts(StagePrompts):
    """The profile summaries of the evaluated questions: one call per question's history."""

    KIND = StageRow

    def histories(self, user: User) -> Iterator[tuple[Row, Sequence[HistoryItem]]]:
        """What is summarised of a user, and the row that keeps it."""
        for question in evaluated(user, self.config.protocol.questions):
            row = Row(user.user_id, question.question_id, question.text, question.gold or "", ())
            yield row, user.history_of(question)

    def __call__(self, users: Sequence[User]) -> Iterator[tuple[User, PromptedRow[StageRow]]]:
        for user in users:
            for row, history in self.histories(user):
                newest = history[-SUMMARY_ITEMS:]
                prompt = summary_prompt(self.task, newest, self.builder.budget)
                request = Request(prompt.messages, 0.0, 1, SUMMARY_TOKENS, fallbacks=prompt.fallbacks)
                yield user, PromptedRow(StageRow(row), (request,) if newest else (), Cuts.of([prompt]))


class UserSummaryPrompts(SummaryPrompts):
    """One summary a user, of what every question of the user sees. For a user with one question, it is that question's:
    the same words, so that one call serves both."""

    def histories(self, user: User) -> Iterator[tuple[Row, Sequence[HistoryItem]]]:
        """See SummaryPrompts."""
        yield Row(user.user_id, OF_USER, "", "", ()), user.safe_history()
