"""The commands around LaMP's files: `score`, `leaderboard`, `rank`, `avocado`. Their arguments, and what they print."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

MODES = {
    "lamp": "outputs stripped and nothing else, as LaMP's scorer reads them",
    "ours": "outputs read as hydra_ray reads an LLM's answers",
}


def add_parsers(commands: Any) -> None:
    """Adds the commands to the command line's subparsers."""
    scoring = commands.add_parser("score", help="score prediction files as LaMP does; one JSON object on stdout")
    file = "FILE|ZIP"
    scoring.add_argument(
        "--golds", type=Path, metavar=file, required=True, help="LaMP's outputs file, or a zip of them"
    )
    scoring.add_argument("--preds", type=Path, metavar=file, required=True, help="predictions in the same layout")
    scoring.add_argument("--task", metavar="ID", help="score this task alone: LaMP_3, lamp_3, or a task's YAML file")
    modes = "; ".join(f"{name}: {about}" for name, about in MODES.items())
    scoring.add_argument("--mode", choices=tuple(MODES), default="ours", help=f"{modes} (ours)")
    scoring.add_argument("--per-question", type=Path, metavar="FILE", help="also write every question's scores there")
    scoring.add_argument(
        "--against", type=Path, metavar=file, help="other predictions: test the difference, question by question"
    )
    board = commands.add_parser("leaderboard", help="pack finished runs' predictions for LaMP's leaderboard")
    board.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or its name under runs/; one a task")
    board.add_argument("--out", type=Path, metavar="FILE.zip", required=True, help="the zip to write")
    board.add_argument("--method", default="hydra", help="row of the result table whose answers are packed (hydra)")
    board.add_argument("--seed", type=int, metavar="S", help="of the runs' seeds, where they have several")
    ranking = commands.add_parser("rank", help="rank all history items for every question, in LaMP's file formats")
    source = ranking.add_mutually_exclusive_group(required=True)
    source.add_argument("--questions", type=Path, metavar="FILE", help="a LaMP questions file")
    source.add_argument("--ingested", type=Path, metavar="DIR", help="an ingested data set: RUNS/steps/ingest-...")
    ranking.add_argument("--split", choices=("train", "test"), help="of the users of an ingested data set (both)")
    ranking.add_argument("--out", type=Path, metavar="FILE", help="write question id -> all item ids, best first")
    ranking.add_argument("--merged", type=Path, metavar="FILE", help="write the questions with sorted profiles")
    ranking.add_argument("--golds", type=Path, metavar="FILE", help="outputs file whose answers --merged carries")
    ranking.add_argument("--config", type=Path, help="YAML file of a run: its data.task, retrieval and model are read")
    ranking.add_argument("overrides", nargs="*", metavar="a.b=c", help="override a key, e.g. retrieval.method=dense")
    mails = commands.add_parser("avocado", help="make LaMP 6's questions of the Avocado collection of mails")
    mails.add_argument("--zips", type=Path, metavar="DIR", required=True, help="Avocado's data/text, a zip a custodian")
    mails.add_argument("--ids", type=Path, metavar="DIR", help="LaMP 6's ids: train_, dev_ and test_questions.json")
    for split in ("train", "dev", "test"):
        mails.add_argument(f"--{split}", type=Path, metavar="FILE", help=f"the ids of {split} (those in --ids)")
    mails.add_argument("--out", type=Path, metavar="DIR", required=True, help="the folder to write LaMP's files to")


def _note(*notes: str) -> None:
    """Prints on stderr, a line each."""
    for note in notes:
        print(f"hydra-ray: {note}", file=sys.stderr, flush=True)


def score(args: argparse.Namespace) -> int:
    """Prints the scores on stdout and what is odd about the predictions on stderr."""
    from hydra_ray.report.score import score_files

    scored = score_files(args.golds, args.preds, args.task, args.mode, args.per_question, args.against)
    _note(*scored.notes)
    print(json.dumps(scored.result, indent=1))
    return 0


def leaderboard(args: argparse.Namespace) -> int:
    """Writes the zip; prints how many answers each task has on stdout, and what is missing on stderr."""
    from hydra_ray.core.lamp_score import some
    from hydra_ray.report.leaderboard import described, pack_leaderboard

    packed = pack_leaderboard(args.runs, args.out, args.method, args.seed)
    notes = [f"{task}: {some('empty answers', lost)}" for task, lost in packed.empty.items()]
    if packed.missing:
        notes.append(f"the leaderboard wants all seven tasks; no run answers {', '.join(packed.missing)}")
    _note(*notes)
    print(described(packed, args.out))
    return 0


def rank(args: argparse.Namespace) -> int:
    """Writes the files; prints what was ranked on stdout and what is odd about the questions on stderr."""
    from hydra_ray.config import load_config
    from hydra_ray.pipeline.rank import write_rankings

    config = load_config(args.config, args.overrides)
    written = write_rankings(
        config,
        questions=args.questions,
        ingested=args.ingested,
        split=args.split,
        out=args.out,
        merged=args.merged,
        golds=args.golds,
        config_file=args.config,
    )
    _note(*written.notes)
    print(json.dumps({"method": config.retrieval.method, "questions": written.questions, "items": written.items}))
    return 0


def avocado(args: argparse.Namespace) -> int:
    """Writes the files; prints how many questions each split has on stdout, and which mails are missing on stderr."""
    from hydra_ray.core.lamp_score import some
    from hydra_ray.data.avocado import MISSING_FILE, build_avocado, id_files

    files = id_files(args.ids, {"train": args.train, "dev": args.dev, "test": args.test})
    made = build_avocado(args.zips, files, args.out)
    if made.missing:
        lost = some("mails that no zip holds", made.missing)
        where = args.out / MISSING_FILE
        _note(f"{lost}; questions with one are left out; all: {where}")
    print(json.dumps({split: built._asdict() for split, built in made.splits.items()}))
    return 0


COMMANDS = {"score": score, "leaderboard": leaderboard, "rank": rank, "avocado": avocado}
