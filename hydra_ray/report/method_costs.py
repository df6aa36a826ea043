"""What a method costs: per answer, to prepare it, and per user. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls of the LLM took, no matter which method paid for them.

    Attributes:
        calls: How many. A call that gives several samples is one.
        prompt_tokens: Of all calls.
        completion_tokens: Of all calls.
        unknown: Calls whose answer is not kept, so that their tokens are not known and not among the above.
    """

    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    unknown: float = 0.0

    @property
    def tokens(self) -> float:
        """Of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.unknown + other.unknown,
        )

    def over(self, count: int) -> "Usage":
        """The share of one of `count`; nothing where there is none."""
        if not count:
            return Usage()
        return Usage(
            self.calls / count, self.prompt_tokens / count, self.completion_tokens / count, self.unknown / count
        )


@dataclass(frozen=True, slots=True)
class MethodCosts:
    """What a method would cost on its own: calls that it shares with other methods are its own as well.

    Attributes:
        answer: Of one answer, in the mean over the questions.
        training: Calls about the training users, of one training (of a seed and a fold), in the mean over all.
        new_user: Calls to prepare one test user, in the mean; None where they cannot be separated from the training
            users', as with cross-fitting.
        seconds: Of the steps that prepare it, for the training and the test users, in the mean over trainings, as
            measured when they ran: an answer that came from the cache took no time.
        parameters: Numbers that are one user's own.
    """

    answer: Usage = field(default_factory=Usage)
    training: Usage = field(default_factory=Usage)
    new_user: Usage | None = field(default_factory=Usage)
    seconds: float = 0.0
    parameters: int = 0
