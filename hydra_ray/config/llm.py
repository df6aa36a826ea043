"""The sections `llm` and `llm.serve`: the LLM and how it is reached."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hydra_ray.config.resources import LLMResources
from hydra_ray.config.section import HEADER_NAME, Section, is_secret
from hydra_ray.errors import UserError


class ServeLoraConfig(Section):
    """LoRA adapters that a request may name."""

    folder: str | None = Field(
        default=None,
        description="Folder that every node sees; an adapter in PEFT's format somewhere in it is asked for by its path "
        "in there. `null`: the model is served without adapters, unless a method of the run trains some.",
    )
    max_rank: int = Field(default=16, ge=1, le=512, description="Highest rank of an adapter.")
    max_adapters: int = Field(
        default=8, ge=1, description="Different adapters in one batch; requests for others wait for a later one."
    )
    cached_adapters: int = Field(default=64, ge=1, description="Adapters that stay in memory.")


class ServeLLMConfig(Section):
    """The model of a run whose `llm.base_url` is unset: vLLM on Ray Serve, started by the run (`resources.llm` says how
    many replicas, and whether they run on GPUs), or an encoder-decoder in the workers of `resources.ask`."""

    engine: Literal["vllm", "transformers"] = Field(
        default="vllm",
        description="`vllm`: vLLM on Ray Serve. `transformers`: for encoder-decoders such as FlanT5, which vLLM does "
        "not serve; nothing is served, each worker of `resources.ask` holds the weights and answers.",
    )
    source: str = Field(
        default="bundled",
        description="Folder or hub id with the model's weights. `bundled` is the small model that comes with this "
        "package, good for trying things out only.",
    )
    max_model_len: int = Field(
        default=1536,
        ge=64,
        description="The model's context window in tokens; memory grows with it. Of an encoder-decoder: tokens of the "
        "prompt alone.",
    )
    max_num_seqs: int = Field(
        default=128,
        ge=1,
        description="Sequences that a replica works on at once. With `transformers`: of a batch, each beam being one.",
    )
    num_beams: int = Field(
        default=1,
        ge=1,
        description="Beams of an answer at temperature 0, with `transformers`; samples are drawn without beams.",
    )
    dtype: str = Field(default="float32", description="Number format of the weights, such as `bfloat16` on GPUs.")
    kv_cache_gib: int = Field(default=1, ge=1, description="Memory for the key-value cache on CPU, in GiB.")
    threads: int | None = Field(
        default=None,
        ge=1,
        description="Threads of a replica on CPU. `null`: all cores of its node (or what `resources.llm.num_cpus` "
        "reserves), but one for the bundled model, which is too small for more. With `transformers`: of a worker of "
        "`resources.ask`, likewise.",
    )
    host: str = Field(default="127.0.0.1", description="Interface that a replica on CPU listens on.")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port that a replica on CPU listens on. `null`: a free one; a file for `deploy` needs a number.",
    )
    start_timeout_s: float = Field(
        default=300.0, gt=0, description="Seconds until the model must have answered; large weights need more."
    )
    lora: ServeLoraConfig = Field(default=ServeLoraConfig(), description="LoRA adapters that are served with it.")

    @model_validator(mode="after")
    def _of_its_engine(self) -> "ServeLLMConfig":
        if self.engine == "vllm":
            if self.num_beams > 1:
                raise ValueError(f"num_beams: {self.num_beams} beams need engine: transformers; give 1")
            return self
        if self.source.partition(":")[0] == "bundled":
            raise ValueError("source: the packaged LLM is a decoder, and engine: transformers answers with "
                             "encoder-decoders; give one's folder or hub id, such as google/flan-t5-base")  # fmt: skip
        if self.lora.folder is not None:
            raise ValueError("lora.folder: adapters need engine: vllm; leave it out")
        return self


class LLMConfig(Section):
    """The LLM: an OpenAI-compatible chat endpoint."""

    base_url: str | None = Field(
        default=None,
        description="The endpoint, such as `https://host/v1`. `null`: the run starts the model that `llm.serve` "
        "describes.",
    )
    model: str = Field(default="hydra-tiny", description="Model name that is sent with every request.")
    api_key_env: str = Field(
        default="HYDRA_RAY_LLM_API_KEY", description="Environment variable that holds the API key."
    )
    concurrency: int = Field(default=64, ge=1, description="Requests in flight, all workers of the run together.")
    timeout_s: float = Field(
        default=120.0,
        gt=0,
        description="Seconds that one request to a server may take. After a timeout the next attempt has twice as "
        "long, up to four times. An LLM that the workers hold (`llm.serve.engine: transformers`) takes its time.",
    )
    retries: int = Field(
        default=5,
        ge=0,
        description="Further attempts after a failure that may pass. Waiting for a rate limit does not count as one.",
    )
    retry_backoff_s: float = Field(
        default=0.5, gt=0, description="Seconds before the first further attempt; longer before each later one."
    )
    accept_useless: bool = Field(
        default=False,
        description="Go on although more than a fifth of a stage's answers are empty, refused, cut off or name no "
        "label.",
    )
    supports_n: bool | None = Field(
        default=None,
        description="Whether the server answers `n` > 1 with one call. `null`: found out with the first request.",
    )
    requests_per_minute: float | None = Field(
        default=None,
        gt=0,
        description="Rate limit that all workers of the run keep together. What the server's headers and refusals "
        "demand is kept as well.",
    )
    tokens_per_minute: float | None = Field(
        default=None, gt=0, description="As `requests_per_minute`, for prompt and answer tokens."
    )
    system_prompt: str | None = Field(default=None, description="Put before every prompt.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus sampling, sent with every request.")
    extra_body: dict[str, Any] = Field(
        default={}, description="Further fields of the request's JSON, such as `{reasoning_effort: low}`."
    )
    parameters: dict[Literal["max_tokens", "temperature", "top_p", "n", "seed"], str | None] = Field(
        default={},
        description="Names that the server uses instead of these, such as `{max_tokens: max_completion_tokens}`; "
        "`null` leaves one out. What a server refuses by name is found out without it.",
    )
    auth_header: str = Field(
        default="Authorization",
        pattern=HEADER_NAME,
        description="Header that carries the key: `Authorization` as `Bearer KEY`, any other (Azure: `api-key`) as it "
        "is.",
    )
    headers: dict[Annotated[str, Field(pattern=HEADER_NAME)], str] = Field(
        default={},
        description="Further headers of every request. `$NAME` stands for an environment variable; a secret must be "
        "given that way.",
    )
    query: dict[str, str] = Field(default={}, description="Further query items of every request; as `headers`.")
    ca_bundle: str | None = Field(
        default=None, description="PEM file with the certificate authorities of a server that the system does not know."
    )
    max_calls: int | None = Field(
        default=None, ge=0, description="Hard budget of one run in LLM calls; cached answers are free."
    )
    max_cost: float | None = Field(
        default=None, ge=0, description="Hard budget of one run in the currency of the prices, of which one is needed."
    )
    price_prompt: float = Field(default=0.0, ge=0, description="Price of a million prompt tokens.")
    price_completion: float = Field(default=0.0, ge=0, description="Price of a million answer tokens.")
    prompt: Literal["default", "lamp"] = Field(
        default="default",
        description="Layout of the prompts: `default` (examples, best last, then the question) or `lamp` (LaMP's own "
        "for its tasks, to compare with published figures).",
    )
    max_prompt_tokens: int | None = Field(
        default=None,
        ge=64,
        description="Longest prompt. `null`: what `llm.serve.max_model_len` leaves for it, 3072 for a `base_url`.",
    )
    max_item_tokens: int = Field(
        default=192, ge=8, description="Longest text, and longest answer, of a history item in a prompt."
    )
    tokenizer: str | None = Field(
        default=None,
        description="What counts prompt tokens: a folder with a tokenizer.json, or a hub id. `null`: that of "
        "`llm.serve`, and an estimate that suits every script for a `base_url`.",
    )
    serve: ServeLLMConfig = Field(default=ServeLLMConfig(), description="The model that the run starts itself.")

    @property
    def in_process(self) -> bool:
        """Whether the workers that ask hold the LLM themselves."""
        return self.base_url is None and self.serve.engine == "transformers"

    @property
    def priced(self) -> bool:
        """Whether prices are known; without them a cost is unknown, not zero."""
        return bool(self.price_prompt or self.price_completion)

    @field_validator("headers", "query", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        """YAML reads `2024-10-21` as a date and `1` as a number."""
        if not isinstance(value, dict):
            return value
        return {name: str(text) if isinstance(text, date | int | float) else text for name, text in value.items()}

    @field_validator("headers", "query")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        """A config is printed, and kept with every run."""
        for name, text in value.items():
            if not text.isprintable():
                raise ValueError(f"{name}: holds characters that cannot be sent")
            if is_secret(name) and "$" not in text:
                raise ValueError(f"{name}: a secret does not belong in a config: put it into an environment variable "
                                 f"and write {name}: $VARIABLE")  # fmt: skip
        return value

    @field_validator("extra_body")
    @classmethod
    def _own_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = {
            "model": "llm.model", "messages": "llm.system_prompt", "top_p": "llm.top_p", "n": "adapter.num_samples",
            "temperature": "adapter.temperature", "max_tokens": "the task's max_answer_tokens",
            "max_completion_tokens": "the task's max_answer_tokens",
        }  # fmt: skip
        for name, instead in taken.items():
            if name in value:
                raise ValueError(f"{name}: cannot be set here; use {instead}")
        for name in ("seed", "stream"):
            if name in value:
                raise ValueError(f"{name}: cannot be set here")
        return value

    @model_validator(mode="after")
    def _asked_over_http(self) -> "LLMConfig":
        for name in ("extra_body", "parameters") if self.in_process else ():
            if getattr(self, name):
                raise ValueError(f"{name}: no server is asked with serve.engine: transformers; leave it out")
        return self

    def is_direct(self, wanted: LLMResources) -> bool:
        """Whether the model that is served is vLLM's own server on a port of its own, in one replica, instead of Ray
        Serve LLM behind its HTTP proxy: on a CPU, or with LoRA adapters.

        wanted: the replicas. Raises UserError if there are adapters and several replicas.
        """
        if self.serve.lora.folder is not None and wanted.bounds != (1, 1):
            raise UserError("resources.llm.num_workers: LoRA adapters are served by one replica: give 1")
        return wanted.is_direct or self.serve.lora.folder is not None


class LLMApplicationConfig(LLMConfig):
    """`args` of an application that serves a model in a Serve file: the section `llm` of a run, and `resources`."""

    resources: LLMResources = Field(default=LLMResources(), description="The replicas, as `resources.llm` of a run.")

    @model_validator(mode="after")
    def _can_be_called(self) -> "LLMApplicationConfig":
        if self.in_process:
            raise ValueError("serve.engine: transformers answers in a run's own workers; an application serves vllm")
        if self.is_direct(self.resources) and self.base_url is None and self.serve.port is None:
            raise ValueError("serve.port: not set: others must know where to call this model; set it, to 8199 say")
        return self
