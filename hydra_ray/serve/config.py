"""The configuration: the arguments of `hydra_ray.serve.deployments:build`. Strict: unknown keys are errors."""

from pydantic import Field, model_validator

from hydra_ray.config import Section

MIB = 1 << 20
"""Bytes in one of the `_mib` below."""


class Scaling(Section):
    """How a deployment scales and how much it takes on.

    replicas: (fewest, most), scaled on ongoing requests. target_ongoing: requests in work per replica that scaling aims
    at, on the average of the last look_back_s (Serve hears of them every 10 s). up_after_s, down_after_s: how long more
    or fewer replicas are wanted before they are made. max_ongoing: in work per replica at most. max_queued: waiting per
    caller at most; more are refused at once. num_cpus: reserved per replica (0: none, for machines with few cores).
    """

    replicas: tuple[int, int] = (1, 1)
    target_ongoing: float = Field(default=16.0, gt=0)
    look_back_s: float = Field(default=30.0, gt=10)
    up_after_s: float = Field(default=30.0, ge=0)
    down_after_s: float = Field(default=600.0, ge=0)
    max_ongoing: int = Field(default=64, ge=1)
    max_queued: int = Field(default=256, ge=1)
    num_cpus: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if not 0 < self.replicas[0] <= self.replicas[1]:
            raise ValueError(f"replicas {self.replicas} must be (fewest, most), at least one")
        return self


class GatewayConfig(Scaling):
    """The HTTP front.

    in_flight: answers being made per replica at most; one more gets 429 at once. retry_after_s: what a 429 advises.
    deadline_s: an answer's longest time, 504 after it (a request may ask for less). body_bytes: longest body, 413
    beyond. llm_connections: requests to the LLM in flight per replica. allowed_hosts: names besides `localhost` that a
    service without keys may be called by (see `hydra_ray.serve.http.foreign`). user_header: a header that names the
    user, such as `X-OpenWebUI-User-Id`; set it only where all clients come through an application that sets it.
    """

    max_ongoing: int = Field(default=1024, ge=1)
    target_ongoing: float = Field(default=32.0, gt=0)
    in_flight: int = Field(default=64, ge=1)
    retry_after_s: float = Field(default=1.0, gt=0)
    deadline_s: float = Field(default=30.0, gt=0)
    body_bytes: int = Field(default=1 << 20, ge=1024)
    llm_connections: int = Field(default=64, ge=1)
    allowed_hosts: tuple[str, ...] = ()
    user_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")


class RetrieverConfig(Scaling):
    """Histories and indexes. cache_mib: of histories and indexes kept in memory per replica (of encodings as much
    again where `retrieval.method` is `dense`)."""

    cache_mib: int = Field(default=256, ge=1)


class ScorerConfig(Scaling):
    """Encoder, reranker, adapter and heads.

    batch: queries scored together at most; batch_wait_s: how long a batch waits for more. heads_mib: heads kept in
    memory per replica and module; vectors_mib: encodings of texts, likewise. refresh_s: how often the head stores are
    looked at for a new version (a user's own change is seen at once). threads: of PyTorch.
    """

    max_ongoing: int = Field(default=256, ge=1)
    batch: int = Field(default=32, ge=1)
    batch_wait_s: float = Field(default=0.002, ge=0)
    heads_mib: int = Field(default=64, ge=1)
    vectors_mib: int = Field(default=256, ge=1)
    refresh_s: float = Field(default=1.0, gt=0)
    threads: int = Field(default=1, ge=1)


class FitterConfig(Scaling):
    """Heads of single users, in the background. vacuum_s: how long after a deletion the old versions of the head
    stores, which still hold the user, are removed. One replica, always: each would fit all who are queued."""

    max_ongoing: int = Field(default=4, ge=1)
    max_queued: int = Field(default=1000, ge=1)
    vacuum_s: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _alone(self) -> "FitterConfig":
        if self.replicas != (1, 1):
            raise ValueError(f"replicas {self.replicas} of the fitter: it must be one alone, [1, 1]")
        return self


class ServeConfig(Section):
    """What to serve and how.

    run: a run's folder, or its name under `root`. seed: whose training of it (None: the run's first). state: folder for
    users, heads and what else changes (None: `serving` in the run's folder); every node must see it. tenant: whom the
    run's own users belong to.

    llm_url: the black box (None: what the run's config says, `llm.base_url`). keys: file with API keys, one
    `tenant:key` a line, or what `hydra-ray new-key` prints (None: the environment variable HYDRA_RAY_SERVE_KEYS, in the
    same form, comma-separated).
    without_keys: whoever reaches the port is `tenant`; refused beside keys.
    """

    run: str
    root: str = "runs"
    seed: int | None = None
    state: str | None = None
    tenant: str = "default"
    llm_url: str | None = None
    keys: str | None = None
    without_keys: bool = False
    gateway: GatewayConfig = GatewayConfig()
    retriever: RetrieverConfig = RetrieverConfig()
    scorer: ScorerConfig = ScorerConfig()
    fitter: FitterConfig = FitterConfig()
