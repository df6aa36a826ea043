"""What a run would do, found out without doing it; imports nothing heavy."""

from pathlib import Path

from hydra_ray.config import Config
from hydra_ray.core.tasks import load_task
from hydra_ray.data.sources import data_root, find_sources
from hydra_ray.llm.identity import model_identity


def dry_run(config: Config) -> str:
    """Checks what can be checked without work, and says what a run would do. Raises UserError for bad input."""
    task = load_task(config.data.task)
    if config.data.source == "synthetic":
        source = f"a synthetic world of {config.data.synth.users} users"
    else:
        files = find_sources(config.data, data_root(config.data), Path(config.root).expanduser())
        source = ", ".join(file.name for file in files)
    protocol = config.protocol
    queries = protocol.pseudo_queries + (protocol.train_questions or 1)
    users = (protocol.train_users or 0) + (protocol.test_users or 0)
    bound = len(protocol.seeds) * users * queries * (config.retrieval.n + 1)
    box = config.llm.base_url or f"vLLM on Ray Serve, {config.llm.serve.source}"
    return "\n".join(
        [
            f"task        {task.name} ({task.kind}, {task.primary_metric})",
            f"data        {source}",
            f"black box   {model_identity(config.llm)} at {box}",
            f"users       {protocol.train_users or 'all'} train, {protocol.test_users or 'all'} test, "
            f"{len(protocol.seeds)} seed(s)",
            f"LLM calls   at most about {bound:,} for feedback and candidates" if users else "LLM calls   all users",
            f"results     {Path(config.root).expanduser() / config.name}",
        ]
    )
