"""Batches of requests for one client: the first answers are judged before more is asked for. Knows no Ray."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from hydra_ray.errors import UserError
from hydra_ray.llm.client import LLMClient
from hydra_ray.llm.event_loop import EventLoopThread
from hydra_ray.llm.types import Completion, Request
from hydra_ray.llm.usability import FIRST, AnswerTally, Wanted

CLOSE_S = 10.0
"""For the client to close its connections."""


class Batches:
    """Answers batch after batch; after an error that every request would meet, nothing more is asked.

    wanted: nothing more is asked either once too many answers are not that (None: whatever comes is taken).
    """

    def __init__(self, client: LLMClient, wanted: Wanted | None = None) -> None:
        self._loop = EventLoopThread()
        self._client = client
        self._tally = AnswerTally(wanted) if wanted else None
        self._over = False

    def ask(self, requests: Sequence[Request]) -> tuple[list[Completion | None], UserError | None]:
        """The answers, None for those left open, and why there are such. What was answered is in the response cache.

        The first FIRST answers are judged before more are asked for, later ones batch by batch; of a batch that is
        stopped so, all are left open.
        """
        answers: list[Completion | None] = []
        failure: UserError | None = None
        for part in self._parts(requests) if not self._over else ():
            try:
                found, budget = self._loop.run(self._client.complete_affordable(part))
                self._judge(found)
            except UserError as error:
                failure, self._over, answers = error, True, []
                break
            answers += found
            failure = failure or budget
        return answers + [None] * (len(requests) - len(answers)), failure

    def close(self) -> None:
        """Closes the client's connections and the loop."""
        with suppress(TimeoutError):
            self._loop.run(self._client.close(), CLOSE_S)
        self._loop.close()

    def _parts(self, requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
        """All at once, but for those that are judged first."""
        first = 0
        if self._tally is not None and self._tally.answers < FIRST:
            left = FIRST - self._tally.answers
            while first < len(requests) and left > 0:
                left -= requests[first].n
                first += 1
        yield from (part for part in (requests[:first], requests[first:]) if part)

    def _judge(self, answers: Sequence[Completion | None]) -> None:
        if self._tally is None:
            return
        for answer in answers:
            if answer is not None:
                self._tally.add(answer.texts, answer.finish, answer.error if answer.permanent else None)
        if self._tally.answers >= FIRST and self._tally.too_many:
            raise self._tally.error()
