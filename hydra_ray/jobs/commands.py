"""The commands `submit`, `jobs` and `doctor`: their arguments, and what they print."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra_ray.jobs.client import Job


def add_parsers(commands: Any) -> argparse.ArgumentParser:
    """Adds the commands to the command line's subparsers; returns that of `submit`, which takes a config, too."""
    submitting: argparse.ArgumentParser = commands.add_parser("submit", help="run a stage as a Ray job on a cluster")
    _address(submitting)
    submitting.add_argument("--no-wait", action="store_true", help="return once the job is accepted")
    submitting.add_argument(
        "--restarts", type=int, default=3, metavar="N",
        help="submit a job again that was lost with its node, at most so often; it continues (3)",
    )  # fmt: skip
    jobs = commands.add_parser("jobs", help="the jobs of a cluster: list, logs, stop")
    actions = jobs.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the submitted jobs, oldest first")
    logs = actions.add_parser("logs", help="what a job has printed")
    stop = actions.add_parser("stop", help="stop a job; the same run continues when it is submitted again")
    for parser in (logs, stop):
        parser.add_argument("job", metavar="JOB", help="its id, as `submit` and `list` print it")
    logs.add_argument("--follow", action="store_true", help="go on until the job has ended; its exit code is returned")
    for parser in (listing, logs, stop):
        _address(parser)
    examined = commands.add_parser("doctor", help="look at every node of a cluster for what a run would stumble over")
    examined.add_argument("--address", default="auto", help="host:port of the cluster's head (default: this machine's)")
    examined.add_argument(
        "--config", type=Path, help="YAML file of a run: its root, llm.base_url and archive are tried"
    )
    examined.add_argument("--database", metavar="URL", help="PostgreSQL of a service, tried from every node, too")
    examined.add_argument("overrides", nargs="*", metavar="a.b=c", help="override a key of the config")
    return submitting


def _address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", default=None, help="the cluster's dashboard, e.g. http://127.0.0.1:8265")


def jobs(args: argparse.Namespace) -> int:
    """Lists, shows or stops jobs. Raises UserError for an unknown job or a cluster that does not answer."""
    from hydra_ray.jobs.client import JobClient
    from hydra_ray.jobs.follow import exit_code, follow

    client = JobClient(args.address)
    if args.action == "list":
        print("\n".join(line(job) for job in client.jobs()) or f"no jobs at {client.address}")
    elif args.action == "stop":
        running = client.stop(args.job)
        print(f"{args.job}: {'stopping' if running else 'had ended'}")
    elif args.follow:
        return exit_code(follow(client, args.job))
    else:
        print(client.logs(args.job), end="")
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Looks at a cluster's nodes. Raises UserError for a bad config, and where no cluster answers."""
    from hydra_ray.config import load_config
    from hydra_ray.jobs.doctor import Services
    from hydra_ray.jobs.doctor import doctor as examine

    config = load_config(args.config, args.overrides) if args.config or args.overrides else None
    if config is None:
        return examine(args.address, None, Services(database=args.database))
    return examine(args.address, Path(config.root), Services(config.llm.base_url, config.archive, args.database))


def line(job: Job) -> str:
    """A job in a line: id, status, when it began (UTC), stage and run."""
    began = datetime.fromtimestamp(job.began, UTC).strftime("%Y-%m-%d %H:%M") if job.began else "-"
    about = " ".join(job.metadata.get(name, "-") for name in ("stage", "run"))
    return f"{job.job_id}  {job.status:9}  {began:16}  {about}"
