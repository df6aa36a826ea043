"""Which model answers: part of every cache key, so that two models never share an answer."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError

HASHED_WHOLE = 256 * 2**20
EDGE = 2**20


def model_identity(cfg: LLMConfig) -> str:
    """`name@host` for an external server, with the path before /v1 if there is one; `name#fingerprint` of the weights
    for a model that is served locally.

    Raises UserError if the weights cannot be read.
    """
    if cfg.base_url is not None:
        parts = urlsplit(cfg.base_url)
        host = parts.hostname or cfg.base_url
        port = f":{parts.port}" if parts.port else ""
        return f"{cfg.model}@{host}{port}{parts.path.rstrip('/').removesuffix('/v1')}"
    source = weights_source(cfg.serve.source)
    path = Path(source)
    return f"{cfg.model}#{weights_fingerprint(path) if path.is_dir() else source}"


def weights_source(source: str) -> str:
    """The folder or hub id that `llm.serve.source` names; `embedded` and `embedded:<task>` are the package's own.

    Raises UserError if there are no such packaged weights, or the folder is no model.
    """
    name, _, task = source.partition(":")
    if name == "embedded":
        return str(_embedded(task))
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


def _embedded(task: str) -> Path:
    """The packaged weights, or those of them that were trained for one task."""
    from hydra_ray.tiny_llm.export import embedded_path

    folder: Path = embedded_path()
    if task and not (folder / task / "config.json").exists():
        raise UserError(f"llm.serve.source: embedded:{task}: no such packaged weights; `embedded` serves every task")
    return folder / task if task else folder


def weights_fingerprint(folder: Path) -> str:
    """blake2b over the names and contents of a model folder's files, 16 hex digits.

    Files over 256 MiB count with their size and their first and last MiB only: a retrained model differs there too.
    """
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as handle:
            if size <= HASHED_WHOLE:
                while block := handle.read(EDGE):
                    digest.update(block)
            else:
                digest.update(handle.read(EDGE))
                handle.seek(-EDGE, 2)
                digest.update(handle.read(EDGE))
    return digest.hexdigest()
