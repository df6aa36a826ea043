"""The configuration: the arguments of `hydra_ray.serve.app:build_app`. Strict: unknown keys are errors."""

from pydantic import Field, field_validator, model_validator

from hydra_ray.config import LLMConfig
from hydra_ray.config.resources import Placement
from hydra_ray.config.section import Section
from hydra_ray.errors import UserError
from hydra_ray.serve.state.postgres.driver import mistake_in

MIB = 1 << 20
"""Bytes in one of the `_mib` below."""


class Scaling(Placement):
    """How a deployment scales and how much work it accepts; the names are Ray Serve's."""

    replicas: tuple[int, int] = Field(
        default=(1, 1), description="Fewest and most replicas; Ray Serve scales between them on ongoing requests."
    )
    target_ongoing_requests: float = Field(
        default=16.0,
        gt=0,
        description="Ongoing requests per replica that scaling aims at; lower makes it scale earlier.",
    )
    look_back_period_s: float = Field(
        default=30.0,
        gt=10,
        description="Seconds over which ongoing requests are averaged (Serve hears of them every 10 s).",
    )
    upscale_delay_s: float = Field(
        default=30.0, ge=0, description="Seconds that more replicas must be wanted before they are started."
    )
    downscale_delay_s: float = Field(
        default=600.0, ge=0, description="Seconds that fewer replicas must be wanted before some are stopped."
    )
    max_ongoing_requests: int = Field(default=64, ge=1, description="Requests that a replica works on at once at most.")
    max_queued_requests: int = Field(
        default=256, ge=1, description="Requests waiting per caller at most; one more is refused at once."
    )
    num_cpus: float = Field(
        default=0.0, ge=0, description="CPUs reserved per replica. 0: none, for machines with few cores."
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if not 0 < self.replicas[0] <= self.replicas[1]:
            raise ValueError(f"replicas {self.replicas} must be (fewest, most), at least one")
        return self


class CPUScaling(Scaling):
    """A deployment that has nothing to compute on a GPU."""

    @model_validator(mode="after")
    def _without_gpu(self) -> "CPUScaling":
        if self.num_gpus:
            raise ValueError(f"num_gpus: {self.num_gpus:g} would lie idle here; scorer and fitter can use a GPU")
        return self


class GatewayConfig(CPUScaling):
    """The HTTP front."""

    max_ongoing_requests: int = Field(
        default=1024, ge=1, description="Requests that a replica works on, or refuses, at once at most."
    )
    target_ongoing_requests: float = Field(
        default=32.0,
        gt=0,
        description="Ongoing requests per replica that scaling aims at; lower makes it scale earlier.",
    )
    max_concurrent_requests: int = Field(
        default=64, ge=1, description="Answers that a replica makes at once at most; one more gets 429 at once."
    )
    retry_after_s: float = Field(default=1.0, gt=0, description="Seconds that a 429 advises to wait.")
    deadline_s: float = Field(
        default=30.0,
        gt=0,
        description="Seconds that an answer may take, 504 after them; a request may ask for less.",
    )
    max_body_bytes: int = Field(default=1 << 20, ge=1024, description="Longest request body, 413 beyond it.")
    llm_connections: int = Field(default=64, ge=1, description="Requests to the LLM in flight per replica.")
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names, besides `localhost`, that a service without keys may be called by.",
    )
    user_header: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header that names the user, such as `X-OpenWebUI-User-Id`. Set it only where all clients come "
        "through an application that sets it.",
    )


class HistoryServerConfig(CPUScaling):
    """Histories, and retrieval from them."""

    cache_mib: int = Field(
        default=256,
        ge=1,
        description="Memory per replica for histories and indexes, in MiB; as much again for embeddings where "
        "`retrieval.method` is `dense`.",
    )


class ScorerConfig(Scaling):
    """Encoder, reranker, adapter and heads."""

    max_ongoing_requests: int = Field(
        default=256, ge=1, description="Requests that a replica works on at once at most."
    )
    max_batch_size: int = Field(default=32, ge=1, description="Queries scored together at most.")
    batch_wait_timeout_s: float = Field(
        default=0.002,
        ge=0,
        description="Seconds that an idle scorer waits for more queries at most. It waits only where they come more "
        "closely than that; while it works, the next batch gathers in any case.",
    )
    head_cache_mib: int = Field(
        default=64, ge=1, description="Memory per replica for the heads of reranker and of adapter each, in MiB."
    )
    embedding_cache_mib: int = Field(
        default=256, ge=1, description="Memory per replica for embeddings of texts, in MiB."
    )
    refresh_s: float = Field(
        default=1.0,
        gt=0,
        description="Seconds between two looks for a new version of the head stores; a user's own change is seen at "
        "once.",
    )
    threads: int = Field(default=1, ge=1, description="PyTorch's threads per replica.")


class FitterConfig(Scaling):
    """Heads of single users, fitted in the background. Several replicas share the work where there is a database."""

    max_ongoing_requests: int = Field(
        default=4, ge=1, description="Requests that the replica works on at once at most."
    )
    max_queued_requests: int = Field(
        default=1000, ge=1, description="Requests waiting per caller at most; one more is refused at once."
    )
    vacuum_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds after a user's deletion until the old versions of the head stores, which still hold the "
        "user, are removed.",
    )


class ServeConfig(Section):
    """What to serve and how: the file of `hydra-ray serve --config FILE`, and `args` of `build_app` in a Serve file.

    `args` of `build_llm` in a Serve file are the section `llm` of a run.
    """

    run: str = Field(description="Folder of a finished run, or its name under `root`.")
    root: str = Field(default="runs", description="Folder of all runs.")
    seed: int | None = Field(default=None, description="Whose training of the run is served. `null`: the first seed.")
    state: str | None = Field(
        default=None,
        description="Folder for users, heads and what else changes, which every node must see. `null`: `serving` in "
        "the run's folder.",
    )
    database: str | None = Field(
        default=None,
        description="PostgreSQL database that holds users, usage, the queue of fits and, with `keys_in_database`, API "
        "keys: `postgresql://USER@HOST/NAME`. Its password comes from PGPASSWORD or PGPASSFILE on every node. `null`: "
        "SQLite files in the state folder do, which suits one machine.",
    )
    tenant: str = Field(default="default", description="Tenant that the run's own users belong to.")
    llm_url: str | None = Field(
        default=None, description="The LLM, such as `http://host/v1`. `null`: what the run's config says."
    )
    keys: str | None = Field(
        default=None,
        description="File with API keys, one `tenant:key` or one line of `hydra-ray new-key` a line. `null`: the "
        "environment variable HYDRA_RAY_SERVE_KEYS, in the same form, comma-separated.",
    )
    keys_in_database: bool = Field(
        default=False,
        description="API keys are in the `database`, where `hydra-ray keys` adds and revokes them. Refused together "
        "with `keys`, HYDRA_RAY_SERVE_KEYS or `allow_anonymous`.",
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Without keys: every caller that reaches the port acts as `tenant`. Refused together with keys.",
    )
    traces: bool = Field(
        default=False,
        description="Sends OpenTelemetry spans of every request to the collector that OTEL_EXPORTER_OTLP_ENDPOINT "
        "names on every node; they hold no texts and no ids of users.",
    )
    gateway: GatewayConfig = Field(default=GatewayConfig(), description="The HTTP front.")
    history_server: HistoryServerConfig = Field(
        default=HistoryServerConfig(), description="Histories, and retrieval from them."
    )
    scorer: ScorerConfig = Field(default=ScorerConfig(), description="Encoder, reranker, adapter and heads.")
    fitter: FitterConfig = Field(default=FitterConfig(), description="Heads of single users, in the background.")

    @field_validator("database")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and (mistake := mistake_in(value)):
            raise ValueError(mistake)
        return value

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> "ServeConfig":
        if self.keys_in_database and self.database is None:
            raise ValueError("keys_in_database: there is no `database`; name one, or a file of keys with `keys`")
        if self.keys_in_database and (self.keys or self.allow_anonymous):
            other = "keys" if self.keys else "allow_anonymous"
            raise ValueError(f"keys_in_database: `{other}` is set, too; take out the one or the other")
        return self

    @property
    def one_fitter(self) -> bool:
        """Whether there is one fitter, whatever the load, and never a second one at the same time."""
        return self.database is None

    @model_validator(mode="after")
    def _fitter_alone(self) -> "ServeConfig":
        if self.one_fitter and self.fitter.replicas != (1, 1):
            raise ValueError(
                f"fitter.replicas {self.fitter.replicas}: without a `database` the fitter must be one alone, [1, 1]"
            )
        return self


def check_served(cfg: LLMConfig) -> None:
    """Raises UserError for an LLM of a run that no server answers with, so that the service cannot ask it."""
    if cfg.in_process:
        raise UserError(f"llm_url: not set, and the run's LLM, {cfg.serve.source}, answered in the run's own workers "
                        "(llm.serve.engine=transformers): set it to a server that answers with it")  # fmt: skip
