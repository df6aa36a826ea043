"""The configuration of a run: every section together, and what must hold between them."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from hydra_ray.config.data import DataConfig, ProtocolConfig
from hydra_ray.config.facets import FacetsConfig
from hydra_ray.config.finetune import FinetuneConfig
from hydra_ray.config.head_kinds import head_kind
from hydra_ray.config.llm import LLMConfig
from hydra_ray.config.lora import LoraConfig
from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.config.resources import Placement, ResourcesConfig
from hydra_ray.config.retrieval import AdapterConfig, RerankerConfig, RetrievalConfig
from hydra_ray.config.retriever_selection import LEARNED, RspgConfig
from hydra_ray.config.retriever_training import RopgConfig
from hydra_ray.config.section import NameOf, Section
from hydra_ray.config.training import FitConfig, ModelConfig, TrainConfig
from hydra_ray.registries import METHODS
from hydra_ray.utils.object_url import mistake_in
from hydra_ray.utils.plugins import load_modules


class EvaluateConfig(Section):
    """What is evaluated in addition to the methods that a run always compares."""

    bootstrap: int = Field(default=10_000, ge=100, description="Resamples of the users for the confidence intervals.")
    paper: bool = Field(
        default=True,
        description="Also evaluate the adapter as the HYDRA paper describes it (row `hydra_paper`), trained and fitted "
        "on the same samples. Costs no call.",
    )
    methods: tuple[Annotated[str, NameOf(METHODS)], ...] = Field(
        default=(),
        description="Further methods, by the names that packages or `plugins` have given them (docs/extending.md).",
    )
    oracles: bool = Field(
        default=False,
        description="Also ask every evaluated question with each of its retrieved items as the one example, "
        "`retrieval.top_n` calls a question, to show what a perfect reranker would reach.",
    )


class RayConfig(Section):
    """The Ray cluster. What workers reserve of it says `resources`."""

    address: str = Field(
        default="local",
        min_length=1,
        description="`local` (the run starts a Ray of its own, whatever runs already), `auto` (the cluster that this "
        "machine belongs to, or RAY_ADDRESS) or a running cluster's host:port.",
    )
    num_cpus: int | None = Field(
        default=None,
        ge=1,
        description="CPUs that a local Ray counts. `null`: four for each core, as most processes mostly wait.",
    )
    autoscaling: bool = Field(
        default=False,
        description="Whether the cluster at `address` may still add kinds of nodes that it does not have now, such as "
        "GPU nodes scaled to zero: then a run waits for them, and otherwise says at once what no node has.",
    )
    worker_logs: bool = Field(
        default=False, description="Print what Ray's workers write, which is in Ray's log files in any case."
    )


class Config(Section):
    """Everything a run needs: the file of `hydra-ray run --config FILE` and of every stage."""

    name: str = Field(
        default="run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="The run's folder under `root`. Default: the config file's name.",
    )
    root: str = Field(
        default="runs", description="Folder of all runs; finished steps and the LLM's answers are shared in it."
    )
    archive: str | None = Field(
        default=None,
        description="A place in an object store (`s3://bucket/path`, `gs://`, `abfs://`, or `file:///path`) that also "
        "gets every finished step, the run's results, the LLM's answers within seconds, and every minute what an "
        "unfinished training or fit has done; what is there is neither computed nor paid for again, under whatever "
        "`root`, on whatever cluster. Credentials come from the environment.",
    )
    plugins: tuple[str, ...] = Field(
        default=(),
        description="Python modules that add methods, retrievers or heads (docs/extending.md): names of installed "
        "modules, or paths of `.py` files that every node sees. They are run in each process of the run.",
    )
    data: DataConfig = Field(default=DataConfig(), description="Where user histories come from.")
    protocol: ProtocolConfig = Field(
        default=ProtocolConfig(), description="Which users are trained on and which are evaluated."
    )
    llm: LLMConfig = Field(default=LLMConfig(), description="The LLM to be personalised, and how it is reached.")
    retrieval: RetrievalConfig = Field(default=RetrievalConfig(), description="How history items are found.")
    reranker: RerankerConfig = Field(default=RerankerConfig(), description="Picks a prompt's examples.")
    adapter: AdapterConfig = Field(default=AdapterConfig(), description="Picks the answer among candidates.")
    model: ModelConfig = Field(default=ModelConfig(), description="The shared base and the user heads.")
    train: TrainConfig = Field(default=TrainConfig(), description="Joint training of base and heads.")
    fit: FitConfig = Field(default=FitConfig(), description="Heads of new users.")
    ropg: RopgConfig = Field(default=RopgConfig(), description="The retriever that learns from the LLM's answers.")
    rspg: RspgConfig = Field(default=RspgConfig(), description="The choice of a retriever per question.")
    facets: FacetsConfig = Field(default=FacetsConfig(), description="The reranker that is a mixture of facets.")
    lora: LoraConfig = Field(default=LoraConfig(), description="LoRA of users and of the task.")
    finetune: FinetuneConfig = Field(default=FinetuneConfig(), description="All weights of the LLM.")
    evaluate: EvaluateConfig = Field(default=EvaluateConfig(), description="What is evaluated.")
    resources: ResourcesConfig = Field(
        default=ResourcesConfig(), description="How many workers of each kind, and what each reserves."
    )
    ray: RayConfig = Field(default=RayConfig(), description="The Ray cluster.")

    @field_validator("archive")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url is not None and (wrong := mistake_in(url)):
            raise ValueError(f"archive: {wrong}")
        return url

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """The sections that are read after this one may name what the modules add."""
        load_modules(names)
        return names

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """A process that is handed a configuration loads the plug-ins as one that reads it does."""
        super().__setstate__(state)
        load_modules(self.plugins)

    def in_driver(self, wanted: Placement) -> bool:
        """`ResourcesConfig.in_driver`, of work that reads texts: not if what embeds them is trained or reads pairs."""
        encodes = self.model.encoder_in_scorer or not self.ropg.freeze_encoder
        return not encodes and self.resources.in_driver(wanted)

    @property
    def text_encoder(self) -> ModelConfig:
        """The encoder of single texts: the model's, or MiniLM where that is trained or reads pairs."""
        alone = self.model.freeze_encoder and pair_kind(self.model.pair).reads != "pairs"
        if alone or self.retrieval.encodes:
            return self.model
        return self.model.model_copy(update={"encoder": "minilm", "pooling": "mean", "max_tokens": 128})

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if self.fit.guard == 1:
            raise ValueError("fit.guard: of one part, nothing is left to fit on; give 2 or more, or 0 for no guard")
        if self.data.source != "synthetic" and self.data.root is None:
            raise ValueError(f"data.root: needed for data.source={self.data.source}; give the folder with the files")
        if self.reranker.top_k > self.retrieval.top_n:
            kept, found = self.reranker.top_k, self.retrieval.top_n
            raise ValueError(f"reranker.top_k: {kept} examples cannot be kept of retrieval.top_n={found}")
        llm = self.llm
        if llm.max_cost is not None and not (llm.price_prompt or llm.price_completion):
            raise ValueError("llm.max_cost: without prices nothing costs anything; give llm.price_prompt and "
                             "llm.price_completion, per million tokens")  # fmt: skip
        if llm.max_cost is not None and llm.parameters.get("max_tokens", "max_tokens") is None:
            raise ValueError("llm.parameters: without max_tokens no call's cost is known before; llm.max_cost needs it")
        if pair_kind(self.model.pair).reads == "sentences" and not self.model.freeze_encoder:
            raise ValueError(f"model.freeze_encoder: must be true with model.pair={self.model.pair}; bi_encoder and "
                             "cross_encoder can train it")  # fmt: skip
        mixed, experts = self.model.num_experts_per_user, self.model.num_experts
        if mixed > experts:
            raise ValueError(f"model.num_experts_per_user: {mixed} is more than model.num_experts={experts}")
        kind = head_kind(self.model.head)
        if self.fit.start == "shared" and kind.solver and not kind.starts_shared:
            raise ValueError(
                f"fit.start=shared: {self.model.head} heads have weights that a base trained without them lacks; "
                "leave fit.start out, or choose model.head=linear"
            )
        if kind.own_prior and self.fit.l2 is not None:
            raise ValueError(f"fit.l2: {self.model.head} heads have a prior of their own in its place; leave it out")
        train = self.train
        shown = self.evaluate.methods
        untrained = [name for name in LEARNED if name in self.rspg.pool and not {f"{name}_k1", f"{name}_k4"} & {*shown}]
        if untrained and {"rspg_pre", "rspg_post"} & {*shown}:
            raise ValueError(f"rspg.pool: this run does not train {untrained[0]}; add {untrained[0]}_k4 to "
                             "evaluate.methods, or leave it out of the pool")  # fmt: skip
        needed = {"none": 0, "optimizer": 1, "parameters": 3}[train.offload]
        if (train.stage(encoder_trained=not self.model.freeze_encoder) or 0) < needed:
            raise ValueError(f"train.offload: {train.offload} needs train.zero_stage={needed} or more")
        return self
