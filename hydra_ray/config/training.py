"""The sections `model`, `train` and `fit`: what is learned, jointly and for each new user."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.config.section import EACH_ONCE, EXECUTION_ONLY, NameOf, Section, execution_only
from hydra_ray.registries import HEADS, LOSSES, PAIR_ENCODERS
from hydra_ray.utils.cpu import Precision


class ModelConfig(Section):
    """The shared base and the user heads; reranker and adapter are two models of this shape."""

    encoder: str = Field(
        default="minilm",
        description="Folder or hub id of any Hugging Face encoder. `minilm` comes with the installation.",
    )
    pair: Annotated[str, NameOf(PAIR_ENCODERS)] = Field(
        default="concepts",
        description="How a query and an item or candidate are read: `cross_encoder` (both texts at once, the most "
        "expensive), `bi_encoder` (each text alone, once, then an interaction), `concepts` (each sentence alone; what "
        "the texts speak of is compared; the encoder is frozen) or `none` (no text, the features alone).",
    )
    pooling: Literal["mean", "cls"] = Field(
        default="mean", description="How the encoder's token vectors become one: their mean, or the first token's."
    )
    freeze_encoder: bool = Field(
        default=True, description="Train only what follows the encoder. `false` wants a GPU and many more queries."
    )
    max_tokens: int = Field(
        default=128, ge=8, description="Longest input of the encoder in tokens; what is beyond is cut off."
    )
    head: Annotated[str, NameOf(HEADS)] = Field(
        default="linear",
        description="Kind of the user heads: `dense` (the HYDRA paper's), `low_rank`, `linear`, `bayesian_linear` "
        "(linear, solved for under a prior learned from the training users), `mixture` (a router mixes shared experts; "
        "no fit per user) or `shared` (no user heads).",
    )
    rank: int = Field(default=8, ge=1, description="Rank of the `low_rank` head.")
    num_experts: int = Field(default=7, ge=2, description="Experts of the `mixture` head.")
    num_experts_per_user: int = Field(
        default=3, ge=1, description="Experts that are mixed for one user, `num_experts` at most."
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout in the head while training.")
    pair_dim: int = Field(
        default=64, ge=8, description="Numbers of a pair embedding (`bi_encoder`), or how many concepts there are."
    )
    sentences: int = Field(default=8, ge=1, description="Sentences read of a text (`concepts`); the rest is left out.")
    precision: Precision = Field(
        default="fp32",
        description="Number format of a frozen encoder (`bi_encoder`, `concepts`). `bf16` is three times as fast where "
        "the processor multiplies in it (AVX512-BF16, AMX, GPUs), slower elsewhere; embeddings agree to three digits.",
    )

    @property
    def encoder_in_scorer(self) -> bool:
        """Whether the encoder runs in the scorer, for every pair; otherwise it embeds each text once, before."""
        reads = pair_kind(self.pair).reads
        return reads == "pairs" or (reads != "nothing" and not self.freeze_encoder)

    @property
    def text_embedding(self) -> dict[str, Any]:
        """The settings that turn a text into its embedding, as JSON has them."""
        return self.model_dump(mode="json", include={"encoder", "pooling", "max_tokens", "precision"})


class TrainConfig(Section):
    """Joint training of base and heads with Ray Train and DeepSpeed.

    The defaults suit a frozen encoder and 64 concepts; they were chosen on users of the synthetic world that no run
    reads, over several seeds. Training leaves a plateau suddenly, and may not within the epochs there are: with 32
    concepts, user_lr 0.1 or base_lr 0.006 it stayed there in one training of two.
    """

    loss: Annotated[str, NameOf(LOSSES)] = Field(
        default="bce",
        description="Of base, shared head and user heads, new users' too: `bce` (each row alone), `listnet` or "
        "`ranknet` (order a query's rows but say no probability), or `bce_listnet` (the mean of two).",
    )
    epochs: int = Field(default=8, ge=1, description="Passes over the training rows.")
    batch_size: int = Field(default=256, ge=1, description="Rows per step, all workers together.")
    encoder_lr: float = Field(default=2e-5, gt=0, description="Learning rate of the encoder, unless it is frozen.")
    base_lr: float = Field(
        default=4e-3, gt=0, description="Learning rate of what follows the encoder, the shared head included."
    )
    user_lr: float = Field(default=0.05, gt=0, description="Learning rate of the user deltas.")
    weight_decay: float = Field(default=0.01, ge=0, description="Weight decay of the base.")
    user_l2: float = Field(
        default=0.01, ge=0, description="L2 penalty on the user deltas, which pulls user heads to the shared head."
    )
    router_balance: float = Field(
        default=0.01, ge=0, description="Weight of the loss that keeps the experts of `mixture` equally used."
    )
    zero_stage: Literal[0, 1, 2, 3] | None = Field(
        default=None,
        description="DeepSpeed's ZeRO stage: higher ones spread more of the base over the workers. Left out: 1 where "
        "several workers train the encoder, and no DeepSpeed where one does or it is frozen, for there is little to "
        "spread then.",
    )
    precision: Precision = Field(
        default="fp32",
        description="Arithmetic of the base while it is trained: `fp32`, or `bf16` (faster on GPUs; the heads, all "
        "weights and the optimizer stay fp32).",
    )
    gradient_accumulation_steps: int = Field(
        default=1, ge=1, description="Micro-batches that a worker's share of a batch is cut into, to save memory."
    )
    activation_checkpointing: bool = Field(
        default=False,
        description="Recompute the encoder's activations instead of keeping them: less memory, more time.",
        json_schema_extra=EXECUTION_ONLY,
    )
    offload: Literal["none", "optimizer", "parameters"] = Field(
        default="none",
        description="Keep the base's `optimizer` state (ZeRO 1 and up), or that and its `parameters` (ZeRO 3), in CPU "
        "memory.",
        json_schema_extra=EXECUTION_ONLY,
    )
    max_failures: int = Field(
        default=2,
        ge=0,
        description="Failures of workers after which training goes on from its last checkpoint. If the last of more "
        "was a lost worker or node, the step waits until Ray knows which nodes are left, and goes on as well.",
        json_schema_extra=EXECUTION_ONLY,
    )
    checkpoint_interval_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds between checkpoints at least. A dead worker costs the steps since the last one.",
        json_schema_extra=EXECUTION_ONLY,
    )
    checkpoint_steps: int = Field(
        default=16,
        ge=1,
        description="Steps after which it is checked, besides each epoch's end, whether a checkpoint is due; ROPG and "
        "fine-tuning check at epochs' ends alone.",
        json_schema_extra=EXECUTION_ONLY,
    )
    trackers: Annotated[tuple[Literal["tensorboard", "mlflow", "wandb"], ...], EACH_ONCE] = Field(
        default=(),
        description="What gets the training metrics in addition to `metrics-*.jsonl`; each is set up by its own "
        "environment variables.",
        json_schema_extra=EXECUTION_ONLY,
    )

    def stage(self, encoder_trained: bool, workers: int | None = None) -> int | None:
        """The ZeRO stage of a training whose encoder is trained or frozen; None: without DeepSpeed.

        workers: How many train; None: that is not known.
        """
        if self.zero_stage is not None or not encoder_trained:
            return self.zero_stage
        return None if workers == 1 and self.offload == "none" else 1


class FitConfig(Section):
    """Heads of new users: base frozen, embeddings computed once, thousands of users fitted as one batched problem."""

    start: Literal["auto", "joint", "shared"] = Field(
        default="auto",
        description="The trained base and shared head that users' heads start from: `joint` (trained together with "
        "the training users' heads), `shared` (trained without any; the kinds `dense`, `linear` and `bayesian_linear`) "
        "or `auto`: `joint` if heads fitted to half of the training users' queries do clearly better there on the "
        "other half, else `shared`.",
    )
    epochs: int = Field(default=60, ge=1, description="Passes over a user's rows at most.")
    lr: float = Field(default=0.05, gt=0, description="Learning rate of the user deltas.")
    l2: float | None = Field(
        default=None,
        ge=0,
        description="Pull to the shared head. `null`: the strength that serves the training users best on rows held "
        "out.",
    )
    early_stop_margin_se: float = Field(
        default=2.0,
        ge=0,
        description="In standard errors: a user learns for fewer epochs, or none, where that is better on the user's "
        "own held-out queries by more than this. 0: wherever it is better at all, which costs more than it gains where "
        "the pull suits the users.",
    )
    batch_users: int = Field(
        default=128,
        ge=1,
        description="Users in one batched problem; memory grows with it.",
        json_schema_extra=EXECUTION_ONLY,
    )
    guard: int = Field(
        default=4,
        ge=0,
        description="Folds of a user's own queries: a user's head is used only if it puts no fewer right rows first on "
        "the held-out folds than the shared head does. Costs as many further fits. 0: no guard.",
    )
    base_run: str | None = Field(
        default=None,
        description="Name or folder of an earlier run: its trained bases are kept, and only users whose history has "
        "changed are fitted again, starting from the heads they had (`mixture`: all are mixed anew).",
    )

    def identity(self) -> dict[str, Any]:
        """What decides a user's head, besides the base that it starts from."""
        return self.model_dump(mode="json", exclude={"base_run", "start", *execution_only(type(self))})
