"""The section `finetune`: all weights of the LLM on the training users' rows."""

from pydantic import Field

from hydra_ray.config.section import Section


class FinetuneConfig(Section):
    """The fine-tuned LLM of the rows `finetuned_k…` (docs/neighbours.md).

    The LLM may be a decoder or an encoder-decoder. Rate, epochs and batch are by default those of LaMP's fine-tuned
    baseline, which cuts prompts to 256 tokens. Weights and moments are fp32; ZeRO stage (`null`: 1 with several
    workers), offload, micro-batches, recomputed activations and failures allowed are those of `train`, workers those of
    `resources.train`.
    """

    lr: float = Field(default=5e-5, gt=0, description="Highest learning rate.")
    epochs: int = Field(default=10, ge=1, description="Passes over the training users' rows at most.")
    batch_rows: int = Field(default=16, ge=1, description="Rows of an optimizer step, all workers together.")
    max_tokens: int = Field(
        default=2048,
        ge=8,
        description="Tokens of prompt and answer together. A longer prompt loses its beginning, the answer nothing.",
    )
    warmup: float = Field(
        default=0.05, ge=0, le=1, description="Share of the steps in which the rate rises; then it falls to zero."
    )
    weight_decay: float = Field(default=1e-4, ge=0, description="AdamW's weight decay.")
    holdout: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share of the training users whose rows choose the epoch, or the LLM as it was where none is "
        "better. 0: the last epoch is kept.",
    )
