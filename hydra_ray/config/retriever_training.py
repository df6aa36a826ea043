"""The section `ropg`: the retriever that learns from the LLM's answers."""

from typing import Annotated, Literal

from pydantic import Field

from hydra_ray.config.section import EACH_ONCE, Section

Goal = Literal["kd", "rl"]
"""Distillation of the rewards into the scores, or policy gradient."""
Objective = Literal["clean", "released"]
Temperature = Annotated[float, Field(gt=0)]


class RopgConfig(Section):
    """The dense retriever of the rows `ropg_kd_k…` and `ropg_rl_k…` (docs/neighbours.md).

    Its encoder is that of dense retrieval; ZeRO stage, offload, workers, weight decay, micro-batches and recomputed
    activations are those of `train` and `resources.train`.
    """

    objective: Objective = Field(
        default="clean",
        description="`clean`: KL divergence (KD), the exact expectation (RL). `released`: as in ROPG's code, "
        "softmax taken twice (KD), one candidate drawn a query (RL).",
    )
    freeze_encoder: bool = Field(
        default=True,
        description="Train a matrix that queries' embeddings are multiplied with, in a minute on two cores; histories' "
        "embeddings stay. `false`: train the whole encoder, as ROPG does, which wants a GPU; it keeps the activations "
        "of `batch_queries` times (1 + `retrieval.top_n`) texts, over the workers, unless "
        "`train.gradient_accumulation_steps` cuts them.",
    )
    teacher_temperatures: Annotated[tuple[Temperature, ...], EACH_ONCE] = Field(
        default=(0.1, 0.5),
        min_length=1,
        description="Temperatures of the rewards in KD: each is tried, and the one that serves held-out training users "
        "best is kept. At 1 (ROPG) the teacher is nearly flat.",
    )
    student_temperature: Temperature | None = Field(
        default=None,
        description="Temperature of the scores in the clean objectives. `null`: the standard deviation of the "
        "untrained retriever's scores within a query.",
    )
    holdout: float = Field(
        default=0.2,
        gt=0,
        le=0.5,
        description="Share of the training users whose queries choose the epoch and the temperature.",
    )
    epochs: int = Field(
        default=50,
        ge=1,
        description="Passes over the training queries, of which the one that serves held-out training users best is "
        "kept. ROPG's 10 are too few for some hundred queries, and enough for thousands.",
    )
    batch_queries: int = Field(default=64, ge=1, description="Queries per step, all workers together.")
    lr: float = Field(default=3e-4, gt=0, description="Learning rate of the matrix.")
    encoder_lr: float = Field(default=1e-5, gt=0, description="Learning rate of the encoder, unless it is frozen.")
