"""The section `facets`: the reranker whose heads are mixed by what a router reads in a user's history."""

from pydantic import Field, model_validator

from hydra_ray.config.section import Section


class FacetsConfig(Section):
    """The mixture of facets of the rows `mof_k1` and `mof_k4` (docs/neighbours.md).

    Its encoder is that of dense retrieval, frozen.
    """

    facets: int = Field(default=7, ge=2, le=64, description="Heads that all users share.")
    top: int = Field(default=3, ge=2, description="Heads in a user's mixture. With one, a router has nothing to learn.")
    hidden: int = Field(
        default=64, ge=4, multiple_of=4, description="Width of the heads and of the router's Transformer."
    )
    sparse_factor: int = Field(
        default=4, ge=2, description="The sparse code's numbers for each number that it encodes."
    )
    sparse_l1: float = Field(default=8.6e-4, ge=0, description="Weight of the sum of the sparse code.")
    sparse_weight: float = Field(
        default=0.5, ge=0, description="Weight of the autoencoder's loss, which is added to the main one."
    )
    holdout: float = Field(
        default=0.2, gt=0, le=0.5, description="Share of the training users whose queries choose the epoch."
    )
    teacher_temperature: float = Field(default=0.1, gt=0, description="Temperature of the rewards.")
    epochs: int = Field(default=20, ge=1, description="Passes over the training queries at most.")
    batch_queries: int = Field(default=64, ge=1, description="Queries per step.")
    lr: float = Field(default=1e-3, gt=0, description="Adam's learning rate; the encoder is not trained.")

    @model_validator(mode="after")
    def _fits(self) -> "FacetsConfig":
        if self.top > self.facets:
            raise ValueError(f"top={self.top} of facets={self.facets}: give a number that is not greater")
        return self
