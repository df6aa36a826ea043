"""Relative paths of a config, made absolute: other processes work elsewhere."""

from pathlib import Path

from hydra_ray.config.run import Config
from hydra_ray.utils.plugins import is_file

PACKAGED = ("minilm", "bundled")
"""Names of what packages bring along; a folder of that name does not count."""


def with_whole_paths(config: Config) -> Config:
    """The config with absolute paths: `data.root`, `retrieval.ranking`, the files of `plugins`, and what of
    `data.task`, `model.encoder`, `llm.tokenizer` and `llm.serve.source` is a path here and not a name."""
    data, llm = config.data, config.llm
    root = data.root if data.root is None or "://" in data.root else str(Path(data.root).expanduser().absolute())
    named = {"task": data.task} if data.task.endswith((".yaml", ".yml")) else {}
    data = data.model_copy(update={"root": root, **{name: _whole(path) for name, path in named.items()}})
    serve = llm.serve.model_copy(update={"source": _whole(llm.serve.source)})
    llm = llm.model_copy(update={"serve": serve, "tokenizer": _whole(llm.tokenizer) if llm.tokenizer else None})
    model = config.model.model_copy(update={"encoder": _whole(config.model.encoder)})
    plugins = tuple(str(Path(name).expanduser().absolute()) if is_file(name) else name for name in config.plugins)
    ranking = config.retrieval.ranking
    whole = str(Path(ranking).expanduser().absolute()) if ranking else None
    retrieval = config.retrieval.model_copy(update={"ranking": whole})
    parts = {"plugins": plugins, "data": data, "llm": llm, "model": model, "retrieval": retrieval}
    return config.model_copy(update=parts)


def _whole(path: str) -> str:
    """A path as it counts from anywhere, if there is such a file or folder here; else the text as it is (a hub id)."""
    here = Path(path).expanduser()
    return str(here.absolute()) if path.partition(":")[0] not in PACKAGED and here.exists() else path
