"""What a client may have sent wrong, beside what the request path itself refuses (`hydra_ray.inference.types`)."""

from collections.abc import Sequence


class InvalidError(Exception):
    """A value of the client's that cannot be used: 422. param: the field, as OpenAI writes it."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(param, why)
        self.param, self.why = param, why

    def __str__(self) -> str:
        return f"{self.param}: {self.why}"


class InvalidRowsError(Exception):
    """Rows of an import that cannot be used: 422. problems: (number of the row, the field, why), all of them."""

    def __init__(self, problems: Sequence[tuple[int, str, str]]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        row, field, why = self.problems[0]
        more = f"; {len(self.problems) - 1} more, see `problems`" if len(self.problems) > 1 else ""
        return f"nothing was imported: row {row}: {field}: {why}{more}"
