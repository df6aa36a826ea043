"""Settings of the embedded LLM's training (`configs/tiny_llm.yaml`)."""

from typing import Literal

from pydantic import Field, model_validator

from hydra_ray.config import OwnConfig, Section

TaskName = Literal["tagging", "rating", "headline"]


class ShapeConfig(Section):
    """The Llama. width / heads is the head's size; layers, feedforward as usual; embeddings are tied.

    window: the longest sequence in tokens that may be served. vocab: most tokens of the tokenizer.
    """

    layers: int = Field(default=4, ge=1)
    width: int = Field(default=128, ge=8)
    heads: int = Field(default=4, ge=1)
    feedforward: int = Field(default=256, ge=8)
    window: int = Field(default=2048, ge=64)
    vocab: int = Field(default=4096, ge=300)

    @model_validator(mode="after")
    def _divides(self) -> "ShapeConfig":
        if self.width % (2 * self.heads):
            raise ValueError(f"width: {self.width} must be a multiple of twice heads={self.heads}")
        return self


class StageConfig(Section):
    """A part of the curriculum.

    share: its part of all steps. examples: (fewest, most) examples before the last question. matching: probability that
    an example is drawn from the items that match the last question, instead of from all. hints: weight of the deep
    supervision (synthetic data only).
    """

    share: float = Field(gt=0, le=1)
    examples: tuple[int, int]
    matching: float = Field(default=0.0, ge=0, le=1)
    hints: float = Field(default=0.0, ge=0)


CURRICULUM = (
    StageConfig(share=0.15, examples=(1, 2), matching=0.9, hints=1.0),
    StageConfig(share=0.45, examples=(2, 6), matching=0.4, hints=1.0),
    StageConfig(share=0.40, examples=(1, 8), matching=0.2, hints=0.3),
)
"""First copying, then choosing the right example, at last the world as it is."""


def _shares() -> dict[TaskName, float]:
    return {"tagging": 0.45, "rating": 0.2, "headline": 0.35}


class TinyLLMConfig(Section):
    """Everything `train_tiny_llm` needs.

    tasks: the synthetic tasks and their shares, when `data_root` is unset; else the one `task` (name or YAML path) of
    the data under `data_root`: in LaMP's layout, whose `split` alone is read, or own rows as `own` describes them, of
    which the training users' are read. held_out: share of those users kept for
    the behaviour figures. zero_examples, summaries, with_summary: shares of the sequences with no example, that ask for
    a summary, and that carry one. tokens: tokens per step. text_weight: loss weight of tokens that are no answer,
    computed on `text_share` of them. similar: share of examples that are BM25-similar to the question (real data).
    swapped: share of sequences whose labels are swapped among each other, so that only the examples can tell the answer
    (real data, classification; symbol tuning, Wei et al. 2023, arXiv 2305.08298).
    checkpoint_every, probe_every: in steps. bf16: autocast, twice as fast where the CPU has bf16 instructions.
    """

    seed: int = 0
    data_root: str | None = None
    own: OwnConfig | None = None
    task: str | None = None
    split: str = "train"
    held_out: float = Field(default=0.1, gt=0, lt=1)
    tasks: dict[TaskName, float] = Field(default_factory=_shares)
    shape: ShapeConfig = ShapeConfig()
    steps: int = Field(default=3600, ge=1)
    tokens: int = Field(default=4096, ge=64)
    lr: float = Field(default=3e-3, gt=0)
    warmup: int = Field(default=100, ge=1)
    weight_decay: float = Field(default=0.05, ge=0)
    stages: tuple[StageConfig, ...] = CURRICULUM
    zero_examples: float = Field(default=0.03, ge=0, le=1)
    summaries: float = Field(default=0.04, ge=0, le=1)
    with_summary: float = Field(default=0.1, ge=0, le=1)
    text_weight: float = Field(default=0.1, ge=0)
    text_share: float = Field(default=0.15, ge=0, le=1)
    similar: float = Field(default=0.5, ge=0, le=1)
    swapped: float = Field(default=0.0, ge=0, le=1)
    checkpoint_every: int = Field(default=250, ge=1)
    probe_every: int = Field(default=500, ge=1)
    threads: int = Field(default=2, ge=1)
    bf16: bool = False
