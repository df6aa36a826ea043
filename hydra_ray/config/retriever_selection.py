"""The section `rspg`: the model that chooses a retriever per question."""

from typing import Any

from pydantic import Field, field_validator

from hydra_ray.config.section import Section
from hydra_ray.errors import UserError
from hydra_ray.registries import RETRIEVERS
from hydra_ray.utils.registry import nearest

NONE = "none"
"""The member of the pool that shows no history item."""
LEARNED = ("ropg_kd", "ropg_rl")
"""Members of the pool that are trained."""


class RspgConfig(Section):
    """The choice among retrievers of the rows `rspg_pre` and `rspg_post` (docs/neighbours.md).

    Its encoder is that of dense retrieval, frozen.
    """

    pool: tuple[str, ...] = Field(
        default=(NONE, "bm25", "recency", "dense"),
        description="The retrievers to choose from, each with its 4 best items: `none` (the question alone), what "
        "`retrieval.method` may name, and `ropg_kd` and `ropg_rl` where `evaluate.methods` has such a row.",
    )
    agreement: bool = Field(
        default=False,
        description="`rspg_post` also reads how many of the pool's other answers agree with an answer. RSPG does not.",
    )
    holdout: float = Field(
        default=0.2, gt=0, le=0.5, description="Share of the training users whose queries choose the epoch."
    )
    teacher_temperature: float = Field(
        default=0.1, gt=0, description="Temperature of the rewards. At 1 (RSPG) the teacher is nearly flat."
    )
    student_temperature: float = Field(default=1.0, gt=0, description="Temperature of the model's scores.")
    epochs: int = Field(default=20, ge=1, description="Passes over the training queries at most.")
    batch_queries: int = Field(default=64, ge=1, description="Queries per step.")
    lr: float = Field(default=1e-3, gt=0, description="Adam's learning rate.")

    @field_validator("pool")
    @classmethod
    def _names(cls, pool: tuple[str, ...]) -> tuple[str, ...]:
        for name in pool:
            if name in (NONE, *LEARNED):
                continue
            try:
                RETRIEVERS.check(name)
            except UserError:
                known = (NONE, *RETRIEVERS.names(), *LEARNED)
                close = nearest(name, known)
                hint = f"did you mean {close!r}? " if close else ""
                raise ValueError(f"no retriever {name!r}; {hint}there are {', '.join(known)}") from None
        if len(set(pool)) < len(pool):
            raise ValueError("names a retriever twice; name each once")
        if len(pool) < 2:
            raise ValueError("a choice needs two retrievers or more")
        return pool

    def reads(self, post: bool) -> dict[str, Any]:
        """What a training depends on. post: it is RSPG-Post's."""
        return self.model_dump(mode="json", exclude=set() if post else {"agreement"})
