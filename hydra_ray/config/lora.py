"""The section `lora`: low-rank weights on a decoder LM, one set for the task and one for each user."""

from typing import Annotated, Any

from pydantic import Field

from hydra_ray.config.section import EACH_ONCE, EXECUTION_ONLY, Section, execution_only
from hydra_ray.utils.cpu import Precision


class LoraConfig(Section):
    """LoRA on a decoder LM whose weights are at hand (docs/neighbours.md): one for each user, and one for the task.

    The defaults are OPPU's. What has no key of its own for the task holds for both.
    """

    rank: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Rank r of the two matrices. vLLM serves OPPU's two LoRA as one of twice the rank, 512 at most.",
    )
    alpha: float = Field(default=8.0, gt=0, description="The matrices' product is multiplied by alpha / r.")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout of what the first matrix reads, in training.")
    targets: Annotated[tuple[str, ...], EACH_ONCE] = Field(
        default=("q_proj", "v_proj"), min_length=1, description="The base's linear layers that users' LoRA is on."
    )
    lr: float = Field(default=1e-4, gt=0, description="Highest learning rate of users' LoRA.")
    epochs: int = Field(default=2, ge=1, description="Passes over a user's rows.")
    batch_rows: int = Field(default=16, ge=1, description="Rows of a user in one optimizer step.")
    max_tokens: int = Field(
        default=2048,
        ge=8,
        description="Tokens of prompt and answer together. A longer prompt loses its beginning, the answer nothing.",
    )
    warmup: float = Field(
        default=0.1, ge=0, le=1, description="Share of a user's steps in which the rate rises; then it falls to zero."
    )
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's weight decay.")
    clip: float = Field(default=0.3, gt=0, description="Largest norm of a user's gradient in a step.")
    holdout: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of a user's rows, the last ones, that choose the epoch, or no LoRA for a user whom none "
        "serves; of the training users, for the task's LoRA. 0: the last epoch is kept, as in OPPU.",
    )
    task_targets: Annotated[tuple[str, ...], EACH_ONCE] = Field(
        default=("q_proj", "k_proj", "v_proj"), min_length=1, description="The same for the task's LoRA."
    )
    task_lr: float = Field(default=1e-4, gt=0, description="Highest learning rate of the task's LoRA.")
    task_epochs: int = Field(default=3, ge=1, description="Passes over all training users' rows.")
    precision: Precision = Field(
        default="fp32", description="Of the base's weights; LoRA and its optimizer are fp32 in any case."
    )
    batch_users: int = Field(
        default=64,
        ge=1,
        description="Users trained together; each takes four times the memory of its LoRA.",
        json_schema_extra=EXECUTION_ONLY,
    )
    forward_tokens: int = Field(
        default=2048,
        ge=1,
        description="Tokens of one forward and backward, padding included; a step's rows of all users are cut into as "
        "many as it takes.",
        json_schema_extra=EXECUTION_ONLY,
    )

    def identity(self) -> dict[str, Any]:
        """What decides a user's LoRA: neither where it runs, nor what the task's is trained with."""
        task = {name for name in type(self).model_fields if name.startswith("task_")}
        return self.model_dump(mode="json", exclude=task | execution_only(type(self)))

    def for_task(self) -> "LoraConfig":
        """The settings of the task's LoRA, as if it were a user's."""
        return self.model_copy(
            update={"targets": self.task_targets, "lr": self.task_lr, "epochs": self.task_epochs, "batch_users": 1}
        )
