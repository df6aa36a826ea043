"""The command line: `hydra-ray COMMAND --config FILE [a.b=c ...]`. Parses, calls, turns mistakes into one line."""

import argparse
import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra_ray import bench_commands, compare_commands, lamp_commands
from hydra_ray.dry_run_arguments import add_dry_run, check_dry_run
from hydra_ray.errors import UserError
from hydra_ray.jobs import commands as job_commands
from hydra_ray.pipeline import fetch_command
from hydra_ray.serve import key_commands
from hydra_ray.serve.state import commands as state_commands
from hydra_ray.utils.terminal import is_output_closed, on_hangup, on_terminate, use_plain_characters
from hydra_ray.version import __version__

STAGES: dict[str, str] = {
    "run": "every stage, then the result table",
    "ingest": "user histories to Parquet by user bucket, with a list of the rejects",
    "label": "reranker feedback: every retrieved item alone as the example",
    "train-reranker": "shared base and user heads of the reranker",
    "generate": "adapter candidates: samples after the reranker's examples",
    "train-adapter": "shared base and user heads of the adapter",
    "fit-users": "heads of new users, base frozen",
    "evaluate": "every method's answers to the test users' questions",
    "report": "report.json, report.md, report.html and predictions",
}
STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk or a folder refuses: the user's to mend, like a mistake in the input."""
INTERRUPTED = "hydra-ray: interrupted; the same command continues where it stopped"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 a mistake in the input (one line on stderr), 130 interrupted, 141 output has no reader, 143
    ended by SIGTERM. 1 where the signal went to the whole process group, as `timeout` sends it: Ray on this machine
    then ends with it, and Ray ends this process."""
    use_plain_characters()
    interrupt = _Interrupt()
    on_hangup(interrupt)
    on_terminate(interrupt.terminate)
    try:
        return _dispatch(_parse(argv))
    except UserError as error:
        print(f"hydra-ray: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as failure:
        if isinstance(failure, BrokenPipeError) and is_output_closed():
            return 141
        if failure.errno not in STORAGE:
            raise
        where = failure.filename or "a file"
        print(f"hydra-ray: error: {where}: {failure.strerror}; mend that and run the same command again, what is done "
              "stays", file=sys.stderr)  # fmt: skip
        return 2
    except KeyboardInterrupt:
        if interrupt.terminated:
            return 143
        print(INTERRUPTED, file=sys.stderr)
        return 130


class _Interrupt:
    """Interrupts once: a second signal must not cut the shutdown short."""

    def __init__(self) -> None:
        self._done = self.terminated = False

    def terminate(self) -> None:
        """By SIGTERM. Says so at once: Ray may end this process before it has left what it was doing."""
        if not self._done:
            self.terminated = True
            with contextlib.suppress(OSError):
                os.write(sys.stderr.fileno(), f"{INTERRUPTED}\n".encode())
        self()

    def __call__(self) -> None:
        if not self._done:
            self._done = True
            raise KeyboardInterrupt


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Overrides may stand anywhere; argparse alone takes positional arguments in one place only."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest and (not hasattr(args, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.overrides = [*args.overrides, *rest]
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hydra-ray", description="Personalise an LLM that is reached only as an API.")
    parser.add_argument("--version", action="version", version=f"hydra-ray {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in STAGES.items():
        stage = commands.add_parser(name, help=about, description=about)
        _config_arguments(stage)
        add_dry_run(stage)
        if name == "fit-users":
            about_base = "keep that run's bases, fit only users with new history"
            stage.add_argument("--base-run", metavar="RUN", help=about_base)
    fetch_command.add_parser(commands)
    synth = commands.add_parser("synth", help="write a synthetic world in LaMP's layout")
    synth.add_argument("--users", type=int, default=150, help="how many, training and test users together (150)")
    synth.add_argument("--task", choices=("tagging", "rating", "headline"), default="tagging", help="(tagging)")
    synth.add_argument("--seed", type=int, default=0, help="another one makes other users (0)")
    synth.add_argument("--out", type=Path, required=True, help="folder for the files")
    init = commands.add_parser("init-task", help="look at a file of rows, write a task and a config to start from")
    init.add_argument("file", metavar="FILE", help="rows in CSV, JSON, JSON Lines or Parquet; a file, folder or URL")
    init.add_argument("--out", type=Path, default=Path(), help="folder for NAME_task.yaml and NAME.yaml (this one)")
    init.add_argument("--name", help="of the two files (default: FILE's)")
    init.add_argument("--force", action="store_true", help="overwrite files that are there")
    for option, about in (("user", "of the user's id"), ("id", "of the item's id"), ("date", "of the date"),
                          ("answer", "of the user's answer")):  # fmt: skip
        init.add_argument(f"--{option}", metavar="COLUMN", help=f"the column {about} (default: guessed)")
    init.add_argument("--text", metavar="COLUMN", action="append", default=[],
                      help="a column of the text; may be repeated (default: guessed)")  # fmt: skip
    tiny = commands.add_parser("tiny-llm", help="train a small LLM for machines without a model hub")
    tiny.add_argument("action", choices=("train",))
    tiny.add_argument("--config", type=Path, help="YAML with the training's settings")
    tiny.add_argument("--out", type=Path, help="folder for weights, tokenizer and manifest")
    _print_config_argument(tiny)
    tiny.add_argument("overrides", nargs="*", metavar="a.b=c", help="override a setting, e.g. steps=1000")
    submit = job_commands.add_parsers(commands)
    submit.add_argument("--stage", choices=tuple(STAGES), default="run", help="what the job does (run)")
    _config_arguments(submit)
    serving = commands.add_parser("serve", help="serve a finished run on this machine, with an OpenAI-compatible API")
    serving.add_argument("--run", help="the run's folder, or its name under `root`")
    serving.add_argument(
        "--llm-url", help="address of the LLM, e.g. http://host/v1 (default: the run's, started if need be)"
    )
    serving.add_argument(
        "--host", default="127.0.0.1", help="interface to listen on; others than this machine need keys"
    )
    serving.add_argument("--port", type=int, default=8000, help="of the service (8000)")
    serving.add_argument("--metrics-port", type=int, help="for Prometheus, on this machine alone (default: a free one)")
    serving.add_argument("--keys", metavar="FILE", help="API keys, one tenant:key a line (see new-key)")
    serving.add_argument("--address", help="of a running Ray cluster to join (default: one of its own)")
    serving.add_argument("--config", type=Path, help="YAML file with the service's settings (docs/configuration.md)")
    _print_config_argument(serving)
    serving.add_argument("overrides", nargs="*", metavar="a.b=c", help="override a key, e.g. scorer.threads=2")
    key_commands.add_parsers(commands)
    deploy = commands.add_parser("deploy", help="check a Serve config file and deploy it to a cluster")
    deploy.add_argument("file", type=Path, metavar="FILE", help="Serve config file, as in configs/serve/")
    deploy.add_argument("--address", help="the cluster's dashboard, e.g. http://127.0.0.1:8265")
    deploy.add_argument("--check-only", action="store_true", help="check the file and stop; needs no cluster")
    _print_config_argument(deploy)
    deploy.add_argument("--yes", action="store_true", help="remove or replace others' applications without asking")
    deploy.add_argument("--keep-failed", action="store_true", help="leave what fails as it is; do not roll back")
    deploy.add_argument("--timeout", type=float, default=1800.0, metavar="S", help="seconds until all must be running")
    compare_commands.add_parsers(commands)
    lamp_commands.add_parsers(commands)
    state_commands.add_parsers(commands)
    config = commands.add_parser("config", help="what a key of a configuration means; which keys there are")
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    explained = actions.add_parser("explain", help="description, type and default of a key, or what a section holds")
    explained.add_argument("key", metavar="KEY", help="such as train.batch_size, or train")
    actions.add_parser("keys", help="every key with its default")
    bench_commands.add_parsers(commands)
    return parser


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="YAML file; says only what differs from the defaults")
    _print_config_argument(parser)
    parser.add_argument("overrides", nargs="*", metavar="a.b=c", help="override a key of the config")


def _print_config_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--print-config", action="store_true", help="print the whole configuration, with comments, and stop"
    )


def _dispatch(args: argparse.Namespace) -> int:
    if args.command in STAGES:
        return _stage(args)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "fetch": fetch_command.fetch,
        "synth": _synth,
        "init-task": _init_task,
        "tiny-llm": _tiny_llm,
        "submit": _submit,
        "jobs": job_commands.jobs,
        "doctor": job_commands.doctor,
        "serve": _serve,
        "deploy": _deploy,
        "config": _config,
        **bench_commands.COMMANDS,
        **compare_commands.COMMANDS,
        **key_commands.COMMANDS,
        **lamp_commands.COMMANDS,
        **state_commands.COMMANDS,
    }
    return commands[args.command](args)


def _stage(args: argparse.Namespace) -> int:
    from hydra_ray.config import ValueOverride, dump_config, load_config

    base_run = getattr(args, "base_run", None)
    flags = [ValueOverride(("fit", "base_run"), base_run)] if base_run else []
    config = load_config(args.config, [*args.overrides, *flags])
    if args.print_config:
        print(dump_config(config), end="")
        return 0
    if args.dry_run:
        from hydra_ray.pipeline.dry_run import dry_run

        print(dry_run(config, args.command, offline=args.offline))
        return 0
    check_dry_run(args)
    from hydra_ray.pipeline.stages import run_stage

    return run_stage(args.command, config)


def _synth(args: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from hydra_ray.config import SynthConfig
    from hydra_ray.synth.write import write_world

    try:
        config = SynthConfig(users=args.users, task=args.task, seed=args.seed)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--{first['loc'][0]}: {first['msg']} (got {first['input']!r})") from None

    def progress(done: int, users: int) -> None:
        print(f"synth: {done}/{users} users", file=sys.stderr, flush=True)

    summary = write_world(config, args.out, progress)
    print(f"{args.out}: {summary.train_users} train and {summary.dev_users} dev users, "
          f"best attainable {json.dumps(summary.attainable)}")  # fmt: skip
    return 0


def _init_task(args: argparse.Namespace) -> int:
    from hydra_ray.init_task import init_task
    from hydra_ray.init_task.guess import Given

    given = Given(args.user, args.id, args.date, tuple(args.text), args.answer)
    print("\n".join(init_task(args.file, args.out, given, args.name, args.force)))
    return 0


def _tiny_llm(args: argparse.Namespace) -> int:
    from hydra_ray.config import dump_config, load_settings
    from hydra_ray.tiny_llm.config import TinyLLMConfig

    config = load_settings(TinyLLMConfig, args.config, args.overrides)
    if args.print_config:
        print(dump_config(config), end="")
        return 0
    if args.out is None:
        raise UserError("--out: give a folder for weights, tokenizer and manifest")
    from hydra_ray.tiny_llm.train import run

    run(config, args.out)
    return 0


def _submit(args: argparse.Namespace) -> int:
    from hydra_ray.config import dump_config, load_config
    from hydra_ray.jobs.submit import submit

    if args.print_config:
        print(dump_config(load_config(args.config, args.overrides)), end="")
        return 0
    return submit(args.stage, args.config, args.overrides, args.address, wait=not args.no_wait, restarts=args.restarts)


def _serve(args: argparse.Namespace) -> int:
    from hydra_ray.config import ValueOverride, dump_config, load_settings
    from hydra_ray.serve.config import ServeConfig

    given = {"run": args.run, "llm_url": args.llm_url, "keys": args.keys}
    flags = [ValueOverride((name,), value) for name, value in given.items() if value is not None]
    config = load_settings(ServeConfig, args.config, [*args.overrides, *flags])
    if args.print_config:
        print(dump_config(config), end="")
        return 0
    from hydra_ray.serve.local import serve_run

    return serve_run(config, args.host, args.port, address=args.address, metrics_port=args.metrics_port)


def _config(args: argparse.Namespace) -> int:
    from hydra_ray.config.reference import entries, explain
    from hydra_ray.config_schemas import schemas

    if args.action == "explain":
        print(explain(args.key, schemas()))
        return 0
    for name, schema in schemas().items():
        print(f"# {name}")
        for entry in entries(schema):
            if entry.section is None:
                print(f"{entry.path}: {entry.default}")
    return 0


def _deploy(args: argparse.Namespace) -> int:
    if args.print_config:
        from hydra_ray.serve.deploy.config_file import print_file

        print(print_file(args.file), end="")
        return 0
    from hydra_ray.serve.deploy.command import deploy

    return deploy(
        args.file,
        args.address,
        check_only=args.check_only,
        yes=args.yes,
        keep_failed=args.keep_failed,
        timeout_s=args.timeout,
    )


def stage_main(stage: str) -> int:
    """What a file in `jobs/` runs: its stage, with the arguments of the process."""
    return main([stage, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
