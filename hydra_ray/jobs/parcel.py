"""What travels with a submitted job: the resolved config and the task's own file. Weights, data and keys do not."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra_ray.config import Config
from hydra_ray.env import JOB_CONFIG, JOB_TASK
from hydra_ray.errors import UserError
from hydra_ray.utils.atomic_io import write_text

MOST_BYTES = 100_000
"""Linux allows 128 KiB in one variable of a process's environment."""
TASKS = "tasks"
"""Folder below the run's root that holds the task files of submitted jobs: workers read them, and so does `serve`."""


def pack(config: Config) -> dict[str, str]:
    """The job's environment variables.

    Raises UserError: a relative root, which names another folder on every node; a task file that cannot be read, or
    that is too long.
    """
    if not Path(config.root).is_absolute():
        raise UserError(
            f"root: {config.root!r} is relative, and jobs start in a folder of Ray's: write the absolute path of a "
            "folder that every node sees, as root=/shared/runs"
        )
    made = {JOB_CONFIG.name: json.dumps(config.model_dump(mode="json"))}
    if is_file(config.data.task):
        try:
            made[JOB_TASK.name] = Path(config.data.task).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise UserError(f"data.task: {config.data.task}: {reason}; correct the path") from None
    for name, text in made.items():
        if len(text.encode()) > MOST_BYTES:
            what = f"data.task: {config.data.task}" if name == JOB_TASK.name else "the config"
            raise UserError(f"{what}: longer than the {MOST_BYTES:,} bytes that can travel with a job; shorten it")
    return made


def unpack(variables: Mapping[str, str]) -> dict[str, Any]:
    """The config of the job, whose task file now lies below its root, where every node reads it.

    Raises UserError if it cannot be written there.
    """
    config: dict[str, Any] = json.loads(variables[JOB_CONFIG.name])
    text = variables.get(JOB_TASK.name)
    if text:
        digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        file = Path(config["root"]) / TASKS / digest / Path(config["data"]["task"]).name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, text)
        except OSError as error:
            raise UserError(f"{error.filename or file}: {error.strerror}: root must be a folder that the job's node "
                            "can write") from None  # fmt: skip
        config["data"]["task"] = str(file)
    return config


def notes(config: Config) -> Iterator[str]:
    """What the submitter should know: which paths stay behind, and how the LLM's key gets to the workers."""
    paths = {
        "root": config.root,
        "data.root": config.data.root,
        "retrieval.ranking": config.retrieval.ranking,
        "model.encoder": config.model.encoder,
        "llm.serve.source": config.llm.serve.source if config.llm.base_url is None else None,
        "llm.tokenizer": config.llm.tokenizer,
        **{f"plugins[{i}]": name for i, name in enumerate(config.plugins)},
    }
    stay = [f"{key}={value}" for key, value in paths.items() if value and str(value).startswith(("/", "~"))]
    yield f"every node must see {', '.join(stay)}: files do not travel"
    if is_file(config.data.task):
        yield f"data.task={config.data.task} travels; the job keeps it in {config.root}/{TASKS}"
    if config.llm.base_url is not None:
        yield (
            f"the LLM's key does not travel, as Ray shows a job's environment: {config.llm.api_key_env} must stand in "
            "the environment of every node's Ray (on Kubernetes from a Secret, see cluster/README.md)"
        )


def is_file(task: str) -> bool:
    """Whether a task is a file of the user's and not one of the package's names."""
    return task.endswith((".yaml", ".yml"))
