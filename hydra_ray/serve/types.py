"""What the service adds to the request path (`hydra_ray.inference.types`): clients' mistakes, the LLM as it is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class InvalidError(Exception):
    """A value of the client's that cannot be used: 422. param: the field, as OpenAI writes it."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(param, why)
        self.param, self.why = param, why

    def __str__(self) -> str:
        return f"{self.param}: {self.why}"


class RowMistake(NamedTuple):
    """What is wrong with a row of an import. row: its number, from 1."""

    row: int
    field: str
    why: str


class InvalidRowsError(Exception):
    """Rows of an import that cannot be used: 422. problems: all of them."""

    def __init__(self, problems: Sequence[RowMistake]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        row, field, why = self.problems[0]
        more = f"; {len(self.problems) - 1} more, see `problems`" if len(self.problems) > 1 else ""
        return f"nothing was imported: row {row}: {field}: {why}{more}"


class PlainLLM(Protocol):
    """The LLM as it is, which answers as the plain model. Raises as `hydra_ray.inference.types.LLMProtocol`."""

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], deadline: float
    ) -> tuple[dict[str, Any], int]:
        """The LLM's own answer to a chat request, with no part of ours in it, and the tokens that it took."""
        ...

    async def forward_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any],
        deadline: float,
        take: Callable[[dict[str, Any]], None],
    ) -> int:
        """`forward`, whose chunks go to `take` as they come (the whole answer, where the LLM does not stream); the
        tokens that it took. Raises after chunks, too."""
        ...
