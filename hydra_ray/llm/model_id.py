"""Which model answers: part of every cache key, so that two models never share an answer."""

import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit

from hydra_ray.config import LLMConfig, is_secret
from hydra_ray.errors import UserError
from hydra_ray.llm.address import CHAT, query_of
from hydra_ray.utils.model_digest import model_digest

VERSION_NAMES = frozenset({"api-version", "api_version", "version", "v"})
"""Query items that say how to speak with a server, not what answers."""


def model_identity(cfg: LLMConfig) -> str:
    """What answers a request, so that no two share a cached answer: `server_identity`, and after a `+` a digest of the
    settings that change the answers (system prompt, top_p, extra body, parameters left out, query of either setting but
    for versions and secrets, beams, number format), if there are any.

    Raises UserError if the weights cannot be read.
    """
    left_out = sorted(name for name in ("max_tokens", "temperature") if cfg.parameters.get(name, name) is None)
    query = {
        name: value
        for name, value in query_of(cfg.base_url or "", cfg.query).items()
        if not is_secret(name) and name.lower() not in VERSION_NAMES
    }
    settings = {
        "system_prompt": cfg.system_prompt or None,
        "top_p": cfg.top_p,
        "extra_body": cfg.extra_body or None,
        "left_out": left_out or None,
        "query": query or None,
        "num_beams": cfg.serve.num_beams if cfg.in_process and cfg.serve.num_beams > 1 else None,
        "dtype": cfg.serve.dtype if cfg.base_url is None and cfg.serve.dtype != "float32" else None,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    if not given:
        return server_identity(cfg)
    text = json.dumps(given, sort_keys=True, default=str)
    return f"{server_identity(cfg)}+{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def server_identity(cfg: LLMConfig) -> str:
    """`name@host` for an external server, with the path before /v1 if there is one; `name#fingerprint` of the weights
    for a model that is served locally.

    Raises UserError if the weights cannot be read.
    """
    if cfg.base_url is not None:
        parts = urlsplit(cfg.base_url.strip())
        host = parts.hostname or cfg.base_url
        try:
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            port = ""
        path = parts.path.rstrip("/").removesuffix(CHAT).rstrip("/")
        return f"{cfg.model}@{host}{port}{path.removesuffix('/v1')}"
    source = weights_source(cfg.serve.source)
    folder = Path(source)
    return f"{cfg.model}#{model_digest(folder) if folder.is_dir() else source}"


def weights_source(source: str) -> str:
    """The folder or hub id that `llm.serve.source` names; `bundled` and `bundled:<task>` are the package's own.

    Raises UserError if there are no such packaged weights, or the folder is no model.
    """
    if is_bundled(source):
        return str(_bundled(source.partition(":")[2]))
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise UserError(
                f"llm.serve.source: {path} holds no config.json: give a folder that `save_pretrained` wrote"
            )
        return str(path.resolve())
    if path.is_absolute() or source.startswith((".", "~")):
        raise UserError(f"llm.serve.source: {source}: no such folder")
    return source


def is_bundled(source: str) -> bool:
    """Whether `llm.serve.source` names one of the package's own models."""
    return source.partition(":")[0] == "bundled"


def _bundled(task: str) -> Path:
    """The packaged weights, or those of them that were trained for one task."""
    from hydra_ray.tiny_llm.export import embedded_path

    folder: Path = embedded_path()
    if task and not (folder / task / "config.json").exists():
        raise UserError(f"llm.serve.source: bundled:{task}: no such packaged weights; `bundled` serves every task")
    return folder / task if task else folder
