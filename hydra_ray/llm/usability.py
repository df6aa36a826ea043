"""Whether the answers of a stage are of any use: what is wrong with each, and when too many are to go on. Pure."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.tasks import Task
from hydra_ray.errors import UselessAnswersError
from hydra_ray.llm.types import Finish

Fault = Literal["empty", "thinking", "refused", "cut", "no_label"]
"""Why an answer is of no use: `empty`: no text; `thinking`: a reasoning model's thoughts alone; `refused`: by the
server or its content filter; `cut`: `max_tokens` ended it too early; `no_label`: it names none of the task's labels."""
FAULTS: tuple[Fault, ...] = get_args(Fault)

FIRST = 50
"""So many answers of a stage are judged before more are asked for."""
MOST = 0.2
"""The largest share of useless answers that a stage goes on with."""
EXAMPLES = 3
SHOWN = 60
"""Characters of an example."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the answers of a stage must be.

    stage: its name in messages. task: whose answers they are; None for free text that is not scored (a profile
    summary, of which the first line is read, so that `max_tokens` may well end it). max_tokens: longest answer.
    """

    stage: str
    task: Task | None
    max_tokens: int

    def fault(self, text: str, finish: Finish) -> Fault | None:
        """Why an answer is of no use, None if it is of use.

        A cut answer of use: one that names a label all the same, or the first line of several where one is wanted.
        """
        if finish == "content_filter":
            return "refused"
        if finish == "thinking":
            return "thinking"
        cut = finish == "length"
        if self.task is None:
            return None if text.strip() else "empty"
        answer = parse_answer(self.task, text)
        if not self.task.closed:
            whole = self.task.single_line and len(text.strip().splitlines()) > 1
            if cut and not (answer and whole):
                return "cut"
            return None if answer else "empty"
        if answer:
            return None
        return "cut" if cut else "no_label" if text.strip() else "empty"


@dataclass(slots=True)
class AnswerTally:
    """What came back so far. answers: texts, and requests that the server refuses. faults: those of no use, by kind.
    cut: all that hit `max_tokens`, of use or not. examples: the first useless ones of each kind."""

    wanted: Wanted
    answers: int = 0
    cut: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    examples: dict[Fault, list[str]] = field(default_factory=dict)

    def add(self, texts: Sequence[str], finish: Sequence[Finish], error: str | None = None) -> None:
        """The answer to one request. error: why the server refuses it for good."""
        for text, end in zip(texts, finish, strict=True):
            self.answers += 1
            self.cut += end == "length"
            fault = self.wanted.fault(text, end)
            if fault:
                self._note(fault, text)
        if error is not None:
            self.answers += 1
            self._note("refused", error)

    def _note(self, fault: Fault, text: str) -> None:
        self.faults[fault] += 1
        examples = self.examples.setdefault(fault, [])
        if len(examples) < EXAMPLES:
            examples.append(text)

    @property
    def too_many(self) -> bool:
        """Whether more are useless than a stage goes on with."""
        return self.faults.total() > MOST * self.answers

    def counts(self) -> dict[str, int]:
        """For the step's manifest: `answers`, `hit_max_tokens`, and the useless ones by kind."""
        return {"answers": self.answers, "hit_max_tokens": self.cut, **{fault: self.faults[fault] for fault in FAULTS}}

    def error(self) -> UselessAnswersError:
        """One line: how many are useless and why, three of them, and what to do."""
        at = f"max_tokens={self.wanted.max_tokens}"
        words: dict[Fault, str] = {
            "empty": "empty",
            "thinking": f"only a reasoning model's thoughts within {at}",
            "refused": "refused",
            "cut": f"cut at {at}",
            "no_label": "without a label of the task",
        }
        advice: dict[Fault, str] = {
            "empty": "see the server's log and llm.model",
            "thinking": "raise the task's max_answer_tokens, or turn the thinking off (llm.extra_body)",
            "refused": "see the server's reasons",
            "cut": "raise the task's max_answer_tokens, or let its instruction ask for less",
            "no_label": "see the task's instruction and labels, and whether llm.model can follow them",
        }
        by_kind = self.faults.most_common()
        shown = ", ".join(f"{count} {words[fault]}" for fault, count in by_kind)
        return UselessAnswersError(
            f"{self.wanted.stage}: {self.faults.total()} of {self.answers} answers are of no use ({shown}), e.g. "
            f"{', '.join(self._shown())}: {advice[by_kind[0][0]]}; llm.accept_useless=true goes on with them; all that "
            "was answered is kept"
        )

    def _shown(self) -> list[str]:
        """Three examples, of the most frequent kinds first, one of each kind before a second of any."""
        kinds = [self.examples[fault] for fault, _ in self.faults.most_common()]
        texts = [kind[i] for i in range(EXAMPLES) for kind in kinds if i < len(kind)]
        return [json.dumps(_short(text), ensure_ascii=False) for text in texts[:EXAMPLES]]


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
