"""Every environment variable that the package sets or reads, with its reason. Nothing else touches `os.environ`."""

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hydra_ray.errors import UserError


class Variable(NamedTuple):
    """An environment variable, the value we give it (None: only read) and why."""

    name: str
    value: str | None
    reason: str


API_KEY = Variable(
    "HYDRA_RAY_LLM_API_KEY", None, "The chat server's key, if `llm.api_key_env` names no other variable; never shown."
)

SERVE_KEYS = Variable(
    "HYDRA_RAY_SERVE_KEYS",
    None,
    "API keys of `hydra-ray serve`, `tenant:key,...`, if `keys` names no file; never shown.",
)

DATABASE_PASSWORD = (
    Variable("PGPASSWORD", None, "Read by PostgreSQL's library: the password for the service's `database`."),
    Variable("PGPASSFILE", None, "Read by PostgreSQL's library: a file of passwords, where PGPASSWORD is unset."),
)

OTEL_ENDPOINTS = (
    Variable("OTEL_EXPORTER_OTLP_ENDPOINT", None, "Read by OpenTelemetry: the collector, with the service's `traces`."),
    Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None, "Likewise, for traces alone and with their path."),
)

OTEL_PROTOCOLS = (
    Variable("OTEL_EXPORTER_OTLP_PROTOCOL", None, "Read by OpenTelemetry, and by us: spans go over HTTP alone."),
    Variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", None, "Likewise."),
)

JOB_CONFIG = Variable("HYDRA_RAY_CONFIG", None, "Set by `hydra-ray submit` for its job: the resolved config as JSON.")

JOB_TASK = Variable("HYDRA_RAY_TASK", None, "Set by `hydra-ray submit` for its job: the text of the task's own file.")

RAY_AUTH_MODE = Variable(
    "RAY_AUTH_MODE",
    None,
    "Read by Ray: `token` or `disabled`. Left as the user set it; unset, Ray 2.60 writes a token of its own for a local"
    " cluster and later demands it from every `ray` command of the machine. `submit` and `deploy` set `token` where it"
    " is unset and there is a token (see `hydra_ray.utils.ray_token`). Tests set `disabled`.",
)

RAY_AUTH_TOKEN = Variable("RAY_AUTH_TOKEN", None, "Read by Ray: the token itself; never shown.")

RAY_AUTH_TOKEN_PATH = Variable(
    "RAY_AUTH_TOKEN_PATH", None, "Read by Ray: the token's file where RAY_AUTH_MODE is `token`."
)

RAY_ADDRESS = Variable(
    "RAY_ADDRESS", None, "Read by Ray: the cluster that `ray.address=auto` joins; a run joins none unless it is set."
)

RAY_TMPDIR = Variable("RAY_TMPDIR", None, "Read by Ray: where it keeps its files and sockets (then in `ray` there).")

TMPDIR = Variable("TMPDIR", None, "Read by Ray where RAY_TMPDIR is unset.")

LOCAL_WORLD_SIZE = Variable(
    "LOCAL_WORLD_SIZE", None, "Set by Ray Train for its workers: how many of them share a node, and so its memory."
)

RAY_USE_TLS = Variable(
    "RAY_USE_TLS", None, "Read by Ray, and by us: 1 if its nodes speak TLS (see `hydra_ray.utils.ray_tls`)."
)

RAY_TLS_SERVER_CERT = Variable("RAY_TLS_SERVER_CERT", None, "Likewise: this machine's certificate, a PEM file.")

RAY_TLS_SERVER_KEY = Variable("RAY_TLS_SERVER_KEY", None, "Likewise: the certificate's private key, a PEM file.")

RAY_TLS_CA_CERT = Variable("RAY_TLS_CA_CERT", None, "Likewise: the authority's certificate, a PEM file.")

RAY_DASHBOARD_ADDRESS = Variable(
    "RAY_DASHBOARD_ADDRESS", None, "Read by Ray's commands, and by `submit` and `deploy` where they get no --address."
)

PROXY_LAYERS = Variable(
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH",
    "hydra_ray.serve.proxy:layers",
    "Read by Ray Serve's HTTP proxies: what they put around every request (see "
    "`hydra_ray.serve.http.middleware.rejection_replay`). On a"
    " cluster it stands in the environment of every node.",
)

LOCAL_ROUTES = Variable(
    "HYDRA_RAY_LOCAL_ROUTES",
    "/llm",
    "Route prefixes that Serve's proxies answer to their own node alone, separated by commas: the black box, which asks"
    " for no key. Empty: none.",
)

LOOPBACK = Variable(
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
    "0",
    "Read by Ray when it is imported: 0 gives the one node of a local cluster the address 127.0.0.1, on any system, so"
    " that none of Ray's ports can be reached from other machines. Not set where a cluster is joined.",
)

PROXY_HEALTH = Variable(
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S",
    "1",
    "Read by Serve's controller: a proxy that died is replaced after three looks, 30 s by default.",
)

PROXY_READY = Variable(
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S",
    "60",
    "Read by Serve's controller: a proxy that takes longer to start is given up, after 5 s by default, which a busy"
    " machine does not keep.",
)

# What a process needs before it starts a local Ray (set only where the user has not).
DRIVER = (
    Variable("RAY_USAGE_STATS_ENABLED", "0", "No run reports its use to anyone unasked."),
    Variable("RAY_TRAIN_V2_ENABLED", "1", "The trainer is written for Train V2."),
    Variable("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5", "A worker's report waits for the next look: 2 s by default."),
    Variable("TOKENIZERS_PARALLELISM", "false", "The tokenisers' threads and forked workers do not mix."),
    Variable("RAY_BACKEND_LOG_LEVEL", "fatal", "Ray's C++ notes on standard error are no news for a run's user."),
)

FOOTER_READERS = Variable(
    "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS",
    None,
    "Read by Ray Data; unset, one a node (see `hydra_ray.utils.ray_data`).",
)

# What must stand before Lance is imported (see `hydra_ray.store`).
STORE = (Variable("LANCE_LOG", "error", "Lance's notes (a dataset `will be created`) are no news for a store's user."),)

# What a training worker runs with; it must stand before DeepSpeed is imported.
TRAIN = (Variable("TOKENIZERS_PARALLELISM", "false", "The tokenisers' threads and forked workers do not mix."),)

TRAIN_CPU = (Variable("DS_ACCELERATOR", "cpu", "DeepSpeed looks for GPUs otherwise."),)

TRAIN_THREADS = Variable(
    "OMP_NUM_THREADS",
    None,
    "PyTorch's threads of a training worker on CPU: as many as it has reserved CPUs, for they spin while they wait.",
)

# The network interface of a training worker (see `hydra_ray.training.joint.network_interface`).
NETWORK_INTERFACE = (
    Variable("GLOO_SOCKET_IFNAME", None, "Read by gloo; unset, it asks the hostname, which may resolve to 127.0.1.1."),
    Variable("NCCL_SOCKET_IFNAME", None, "Read by NCCL; unset, it takes the first that is up, Docker's bridge too."),
)

# What the vLLM replica and its engine process run with.
ENGINE = (
    Variable("VLLM_NO_USAGE_STATS", "1", "No run reports its use to anyone unasked."),
    Variable("VLLM_LOGGING_LEVEL", "ERROR", "The progress lines of `served_llm` say what the user needs."),
    Variable("TOKENIZERS_PARALLELISM", "false", "One short prompt at a time: threads cost more than they bring."),
)

ENGINE_CPU = (
    Variable("VLLM_CPU_OMP_THREADS_BIND", "nobind", "Other processes share the cores; binding makes them queue."),
)

ENGINE_THREADS = Variable(
    "OMP_NUM_THREADS", None, "PyTorch's threads of an engine on CPU (`llm.serve.threads`); Ray sets 1 for its replica."
)

ENGINE_ALONE = (
    Variable("VLLM_ENABLE_V1_MULTIPROCESSING", "0", "Without it vLLM puts a worker's process behind a CPU engine's."),
)

ENGINE_LORA = (
    Variable("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "1", "Adapters are loaded when a request names them."),
    Variable("VLLM_PLUGINS", "lora_filesystem_resolver", "Finds an adapter by its path; no other plug-in is wanted."),
)

ENGINE_LORA_FOLDER = Variable(
    "VLLM_LORA_RESOLVER_CACHE_DIR", None, "Where the served model looks for adapters (`llm.serve.lora.folder`)."
)

CPU_KV_CACHE = Variable(
    "VLLM_CPU_KVCACHE_SPACE", None, "GiB for the key-value cache (`llm.serve.kv_cache_gib`); unset, vLLM takes half."
)

HF_HUB_OFFLINE = Variable(
    "HF_HUB_OFFLINE", "1", "Set where the weights are a local folder: no look at the hub, no delay without network."
)


class Secret:
    """A key on its way to another process: pickles, but is never printed."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "[key]"


def set_defaults() -> None:
    """Sets the variables of DRIVER for this process and its children, unless the user has."""
    _set(DRIVER)


def set_service_defaults() -> None:
    """Sets what a process needs before it starts a local Ray that serves, unless the user has."""
    _set((*DRIVER, PROXY_LAYERS, PROXY_HEALTH, PROXY_READY))


def local_routes() -> list[str]:
    """What LOCAL_ROUTES holds."""
    return [route.strip() for route in os.environ.get(LOCAL_ROUTES.name, LOCAL_ROUTES.value or "").split(",")]


_set_loopback = [False]


def set_local_ray(local: bool) -> None:
    """Keeps a Ray that is started next to this machine, unless the user has decided; or, for one that is joined, not.

    Ray reads the variable when it is imported, its processes when they start.
    """
    if local and LOOPBACK.name not in os.environ:
        os.environ[LOOPBACK.name], _set_loopback[0] = LOOPBACK.value or "", True
    elif not local and _set_loopback[0]:
        del os.environ[LOOPBACK.name]
        _set_loopback[0] = False
    if local and "ray" not in sys.modules:
        set_token_mode()  # Ray's own default, of which it would warn otherwise
    constants: Any = sys.modules.get("ray._private.ray_constants")
    if constants is not None:
        constants.ENABLE_RAY_CLUSTER = os.environ.get(LOOPBACK.name, "1").lower() not in ("0", "false")


def set_token_mode() -> None:
    """Makes Ray's clients send the token, unless the user has decided."""
    os.environ.setdefault(RAY_AUTH_MODE.name, "token")


def set_store_defaults() -> None:
    """Sets the variables of STORE, unless the user has; Lance reads them once, when it is imported."""
    _set(STORE)


def _set(variables: tuple[Variable, ...]) -> None:
    for variable in variables:
        os.environ.setdefault(variable.name, variable.value or "")


def set_network_interface(name: str) -> None:
    """Names the interface of NETWORK_INTERFACE, unless the user has."""
    for variable in NETWORK_INTERFACE:
        os.environ.setdefault(variable.name, name)


_set_readers = [""]  # what `set_footer_readers` set last


def set_footer_readers(count: int) -> None:
    """How many actors Ray Data starts to read Parquet footers, unless the user has set it."""
    if os.environ.get(FOOTER_READERS.name, _set_readers[0]) == _set_readers[0]:
        os.environ[FOOTER_READERS.name] = _set_readers[0] = str(count)


def train_variables(*, cpus: float, gpu: bool) -> dict[str, str]:
    """The environment of a training worker that has reserved so many CPUs."""
    threads = {} if gpu else {TRAIN_THREADS.name: str(max(1, int(cpus)))}
    return {v.name: v.value or "" for v in (*TRAIN, *(() if gpu else TRAIN_CPU))} | threads


def read(variable: Variable) -> str:
    """What a variable holds that others set; empty if it is unset."""
    return os.environ.get(variable.name, "")


def engine_variables(*, cpu: bool, alone: bool, kv_cache_gib: int, weights: str) -> dict[str, str]:
    """The environment of a vLLM replica that loads `weights` (a folder or a hub id). alone: with the model in the
    engine's own process."""
    variables = {
        v.name: v.value or "" for v in (*ENGINE, *(ENGINE_CPU if cpu else ()), *(ENGINE_ALONE if alone else ()))
    }
    if cpu:
        variables[CPU_KV_CACHE.name] = str(kv_cache_gib)
    if Path(weights).is_dir():
        variables[HF_HUB_OFFLINE.name] = HF_HUB_OFFLINE.value or ""
    return {name: os.environ.get(name, value) for name, value in variables.items()}


def engine_lora(folder: str) -> dict[str, str]:
    """What makes an engine load LoRA adapters from a folder by their path in there."""
    return {v.name: v.value or "" for v in ENGINE_LORA} | {ENGINE_LORA_FOLDER.name: folder}


def engine_threads(count: int) -> dict[str, str]:
    """What makes an engine on CPU compute on `count` threads."""
    return {ENGINE_THREADS.name: str(count)}


def with_threads(count: int) -> dict[str, str]:
    """This process's environment for an engine that computes on `count` threads."""
    return {**os.environ, **engine_threads(count)}


def user_variable(name: str) -> str:
    """What a variable holds that the user's config names (`$NAME` in `llm.headers`); empty if it is unset."""
    return os.environ.get(name, "").strip()


def api_key(variable: str) -> Secret:
    """The key in the environment variable that `llm.api_key_env` names, empty if it is unset.

    Raises UserError, without the key, if it holds what no HTTP header can.
    """
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"environment variable {variable} (llm.api_key_env) is no key: it holds blanks or odd characters"
        )
    return Secret(key)


def serve_keys() -> Secret:
    """What HYDRA_RAY_SERVE_KEYS holds (see `hydra_ray.serve.http.keys`), empty if it is unset."""
    return Secret(os.environ.get(SERVE_KEYS.name, "").strip())
