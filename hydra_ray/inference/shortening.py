"""A question's prompt and ever shorter versions of it, for an LLM that finds the first ones too long. Pure.

First examples go, then the conversation before the question (its system messages last), then the question's end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra_ray.core.prompts import Message, Prompt
from hydra_ray.core.token_estimate import TokenCounter, truncate_to_tokens
from hydra_ray.core.types import HistoryItem

MakePrompt = Callable[[str, Sequence[HistoryItem]], Prompt]
"""The prompt that asks a question with these examples, best first."""

QUESTION_PARTS = (2, 8, 32)
"""Of the question, one half, an eighth and so on is left where nothing else can go."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version. messages: all that is sent. prompt: the question's own part. conversation_cut: whether messages
    before the question were left out."""

    messages: tuple[Message, ...]
    prompt: Prompt
    conversation_cut: bool = False

    @property
    def question_cut(self) -> bool:
        """Whether the question's end is missing."""
        return self.prompt.question_cut


class PromptVersions(Sequence[Version]):
    """The prompt itself and its shorter versions, the longest first. Each is made when it is asked for: nearly always
    the first is enough."""

    def __init__(
        self,
        make: MakePrompt,
        query: str,
        examples: Sequence[HistoryItem],
        before: Sequence[Message],
        count: TokenCounter,
    ) -> None:
        """
        Args:
            make: the prompt of a question.
            query: the question.
            examples: best first.
            before: messages before the question.
            count: tokens of a text.
        """
        self._make, self._query, self._count = make, query, count
        self._examples, self._before = examples, before
        first = make(query, examples)
        self._shown = examples[: first.examples]
        self._made = {0: Version((*before, *first.messages), first)}
        system = [message for message in before if message["role"] == "system"]
        plans = [(1, len(self._shown) // part, before) for part in (1, 2)] + [(1, 0, before)]
        plans += [(1, 0, some) for some in (before[len(before) // 2 :], system)]
        plans += [(part, 0, system) for part in QUESTION_PARTS]
        plans.append((QUESTION_PARTS[-1], 0, ()))
        # part of the question, examples, messages before it
        self._plans = list({(part, kept, len(some)): (part, kept, some) for part, kept, some in plans}.values())

    def __len__(self) -> int:
        return len(self._plans)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index not in self._made:
            self._made[index] = self._version(*self._plans[index])
        return self._made[index]

    @property
    def fallbacks(self) -> "Fallbacks":
        """The messages of the shorter versions."""
        return Fallbacks(self)

    def _version(self, part: int, kept: int, before: Sequence[Message]) -> Version:
        text = self._query
        if part > 1:
            text = truncate_to_tokens(text, max(1, self._count(text) // part), self._count)[0]
        made = self._make(text, self._shown[:kept])
        dropped = len(self._examples) - made.examples
        cut = made.question_cut or text != self._query
        prompt = replace(made, dropped_examples=dropped, question_cut=cut)
        return Version((*before, *made.messages), prompt, len(before) < len(self._before))


class Fallbacks(Sequence[tuple[Message, ...]]):
    """The messages of all versions but the first, made when they are asked for."""

    def __init__(self, versions: PromptVersions) -> None:
        self._versions = versions

    def __len__(self) -> int:
        return len(self._versions) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._versions[index + 1].messages
