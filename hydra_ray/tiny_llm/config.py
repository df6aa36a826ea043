"""Settings of the bundled LLM's training (`configs/tiny_llm.yaml`)."""

from typing import Literal

from pydantic import Field, model_validator

from hydra_ray.config.data import TabularConfig
from hydra_ray.config.section import Section

TaskName = Literal["tagging", "rating", "headline"]


class ShapeConfig(Section):
    """The Llama; its input and output embeddings are tied."""

    layers: int = Field(default=4, ge=1, description="Transformer layers.")
    width: int = Field(default=128, ge=8, description="Size of the hidden states, a multiple of twice `heads`.")
    heads: int = Field(default=4, ge=1, description="Attention heads.")
    feedforward: int = Field(default=256, ge=8, description="Size of the feed-forward layers.")
    window: int = Field(default=2048, ge=64, description="Longest sequence that may be served, in tokens.")
    vocab: int = Field(default=4096, ge=300, description="Tokens of the tokenizer at most.")

    @model_validator(mode="after")
    def _divides(self) -> "ShapeConfig":
        if self.width % (2 * self.heads):
            raise ValueError(f"width: {self.width} must be a multiple of twice heads={self.heads}")
        return self


class StageConfig(Section):
    """A part of the curriculum."""

    share: float = Field(gt=0, le=1, description="The stage's share of all steps.")
    examples: tuple[int, int] = Field(description="Fewest and most examples before the last question.")
    matching: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Probability that an example is drawn from the items that match the last question, not from all.",
    )
    hints: float = Field(default=0.0, ge=0, description="Weight of the deep supervision (synthetic data only).")


CURRICULUM = (
    StageConfig(share=0.15, examples=(1, 2), matching=0.9, hints=1.0),
    StageConfig(share=0.45, examples=(2, 6), matching=0.4, hints=1.0),
    StageConfig(share=0.40, examples=(1, 8), matching=0.2, hints=0.3),
)
"""First copying, then choosing the right example, at last the world as it is."""


def _shares() -> dict[TaskName, float]:
    return {"tagging": 0.45, "rating": 0.2, "headline": 0.35}


class TinyLLMConfig(Section):
    """Training of a small LLM for machines without a model hub: `hydra-ray tiny-llm train --config FILE`."""

    seed: int = Field(default=0, description="Seed of initial weights and sequences.")
    data_root: str | None = Field(default=None, description="Folder with real data. `null`: the synthetic tasks.")
    tabular: TabularConfig | None = Field(
        default=None,
        description="Columns of the rows under `data_root`, of which the training users' are read. `null`: LaMP's "
        "layout.",
    )
    task: str | None = Field(default=None, description="Task of the data under `data_root`: a name or a YAML file.")
    split: str = Field(default="train", description="Prefix of LaMP's files, the only one that is read.")
    held_out: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the users kept for the figures of the model's behaviour."
    )
    tasks: dict[TaskName, float] = Field(
        default_factory=_shares, description="The synthetic tasks and their shares, where `data_root` is unset."
    )
    shape: ShapeConfig = Field(default=ShapeConfig(), description="The model's size.")
    steps: int = Field(default=3600, ge=1, description="Optimizer steps.")
    tokens: int = Field(default=4096, ge=64, description="Tokens per step.")
    lr: float = Field(default=3e-3, gt=0, description="Learning rate after the warm-up.")
    warmup: int = Field(default=100, ge=1, description="Steps of linear warm-up.")
    weight_decay: float = Field(default=0.05, ge=0, description="Weight decay of the matrices.")
    stages: tuple[StageConfig, ...] = Field(default=CURRICULUM, description="The curriculum, in order.")
    zero_examples: float = Field(default=0.03, ge=0, le=1, description="Share of the sequences without examples.")
    summaries: float = Field(default=0.04, ge=0, le=1, description="Share of the sequences that ask for a summary.")
    with_summary: float = Field(default=0.1, ge=0, le=1, description="Share of the sequences that carry a summary.")
    text_weight: float = Field(default=0.1, ge=0, description="Weight of the loss on tokens that are no answer.")
    text_share: float = Field(default=0.15, ge=0, le=1, description="Share of those tokens that it is computed on.")
    similar: float = Field(
        default=0.5, ge=0, le=1, description="Share of the examples that are similar to the question (real data)."
    )
    swapped: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the sequences whose labels are swapped among each other, so that only the examples can "
        "tell the answer (real data, classification; symbol tuning, Wei et al. 2023, arXiv 2305.08298).",
    )
    checkpoint_every: int = Field(default=250, ge=1, description="Steps between checkpoints.")
    probe_every: int = Field(default=500, ge=1, description="Steps between figures of the model's behaviour.")
    threads: int = Field(default=2, ge=1, description="PyTorch's threads.")
    bf16: bool = Field(
        default=False, description="Autocast to bfloat16: twice as fast where the CPU has instructions for it."
    )
