"""The result must not depend on the number of workers, nor on where a run was cut: every engine over gloo, no Ray."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hydra_ray.config import ModelConfig, TrainConfig
from hydra_ray.training.joint.trainer import trained_heads
from tests.training.tiny import USERS, Part, make_encoder, make_job, make_profiles, make_ranking_examples

BI: Any = "bi_encoder"
CROSS: Any = "cross_encoder"
Case = tuple[int | None, str, str]
CASES: list[Case] = [
    (0, BI, "linear"), (1, BI, "linear"), (2, BI, "linear"), (3, BI, "linear"),
    (0, BI, "dense"), (1, CROSS, "dense"), (2, BI, "dense"), (3, BI, "dense"),
    (0, BI, "low_rank"), (1, BI, "low_rank"), (2, CROSS, "low_rank"), (3, CROSS, "low_rank"),
    (0, BI, "shared"), (1, CROSS, "shared"), (2, BI, "shared"), (3, BI, "shared"),
    (0, BI, "mixture"), (1, BI, "mixture"), (2, BI, "mixture"), (3, BI, "mixture"),
    (None, BI, "linear"), (None, BI, "dense"), (None, BI, "mixture"),
]  # fmt: skip
"""ZeRO stage (None: without DeepSpeed), pair (`cross_encoder` trains the encoder), head kind."""
CUT: list[Case] = [(0, BI, "linear"), (1, CROSS, "low_rank"), (2, BI, "dense"), (3, CROSS, "linear"),
       (1, BI, "mixture"), (None, BI, "dense")]  # fmt: skip
"""Those whose run is cut."""
FRUGAL: dict[Case, dict[str, Any]] = {
    (2, CROSS, "low_rank"): {"offload": "optimizer", "activation_checkpointing": True},
    (3, CROSS, "low_rank"): {"offload": "parameters"},
}
"""Those that are also trained with what saves memory. Here the base lies in CPU memory anyway: DeepSpeed's code for it
runs, and copies from there to there."""
AT = (3, 7, 10)
"""Steps after which it is cut: amid the first epoch (seven steps), at its end, amid the second."""
ATOL = 1e-5
"""Float tolerance: the largest difference seen was 6e-7."""


def train_in_ranks(plans: dict[int, list[Part]], folder: Path) -> None:
    """Trains the plans one after the other, each in as many processes as its key says."""
    command = [sys.executable, "-m", "tests.training.ranks"]
    for world, parts in plans.items():
        plan = folder / f"plan-{world}.pickle"
        plan.write_bytes(pickle.dumps(parts))
        command += [str(plan), str(world)]
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def part(folder: Path, case: Case, out: Path, start: Path | None = None, **more: Any) -> Part:
    """One entry of a plan; `train` in `more` are its settings."""
    stage, pair, kind = case
    model = ModelConfig(
        encoder=str(folder / "encoder"),
        pair=pair,
        freeze_encoder=pair == BI,
        pair_dim=16,
        max_tokens=32,
        dropout=0.0,
    )  # type: ignore[arg-type]
    train = {"epochs": 1, "batch_size": 24, "zero_stage": stage, "encoder_lr": 1e-3, **more.pop("train", {})}
    out.mkdir(parents=True)
    return Part(make_job(folder, model, TrainConfig(**train), kind, out), start, **more)


def result(folder: Path, kind: str) -> tuple[float, dict[str, torch.Tensor]]:
    """The last loss, and everything that was learned by name."""
    lines = next((folder / "metrics").glob(f"*-{kind}.jsonl")).read_text().splitlines()
    read = list(trained_heads(folder / "parts" / kind))
    users = [user for bucket in read for user in bucket.users]
    assert sorted(users) == USERS
    deltas = {name: torch.cat([bucket.deltas[name] for bucket in read]) for name in read[0].deltas}
    order = [users.index(user) for user in USERS]
    learned = {name: value[order] for name, value in deltas.items()}
    return json.loads(lines[-1])["loss"], {**learned, **load_file(folder / "parts" / kind / "base.safetensors")}


def assert_same(one: Path, two: Path, kind: str) -> None:
    loss, learned = result(one, kind)
    other, also = result(two, kind)
    assert other == pytest.approx(loss, rel=1e-5), two
    assert learned.keys() == also.keys()
    for name, value in learned.items():
        assert torch.allclose(value, also[name], atol=ATOL), (two, name, (value - also[name]).abs().max())


def name_of(case: Case) -> str:
    return "-".join(map(str, case))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CASE/1, /2 and /3: trained by so many workers. CASE/whole, and CASE/on-WORLD-STEP: cut and continued there."""
    folder = tmp_path_factory.mktemp("same")
    make_encoder(folder / "encoder")
    make_ranking_examples(folder / "ranking_examples")
    make_profiles(folder / "profiles")
    # Two first: the others go on from its checkpoints.
    plans = {world: [part(folder, case, folder / name_of(case) / str(world)) for case in CASES] for world in (2, 1, 3)}
    plans[2] += [part(folder, case, folder / name_of(case) / "frugal", train=dict(how)) for case, how in FRUGAL.items()]
    often = {"epochs": 2, "checkpoint_interval_s": 0, "checkpoint_steps": 1, "gradient_accumulation_steps": 2}
    for case in CUT:
        here = folder / name_of(case)
        kept = here / "kept"
        plans[2].append(part(folder, case, here / "whole", keep=kept, train=often))
        for at in AT:
            plans[2].append(part(folder, case, here / f"on-2-{at}", kept / f"{at:03d}", train=often))
        plans[2].append(part(folder, case, here / "given-up", die_at=4, train=often))
        for world in (1, 3):
            plans[world].append(part(folder, case, here / f"on-{world}-10", kept / "010", train=often))
    plans[2] += huge_parts(folder)
    train_in_ranks(plans, folder)
    return folder


def huge_parts(folder: Path) -> list[Part]:
    """huge/checkpoint and huge/result: the first update makes heads infinite, which the next loss would show; in the
    former those of one user, on the one rank that owns the user, after a checkpoint of a good run."""
    start = folder / name_of(CUT[0]) / "kept" / f"{AT[0]:03d}"
    parts = []
    for name, begin, batch in (("checkpoint", start, 6), ("result", None, 168)):
        out = folder / "huge" / name
        train = {
            "user_lr": 1e39,
            "batch_size": batch,
            "checkpoint_interval_s": 0 if begin else 3600,
            "checkpoint_steps": 1,
        }
        parts.append(part(folder, CUT[0], out, begin, train=train, keep=out / "kept", fails=True))
    return parts


@pytest.mark.cluster
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_one_two_and_three_workers_learn_the_same(trained: Path, case: Case) -> None:
    folder = trained / name_of(case)
    for world in (2, 3):
        assert_same(folder / "1", folder / str(world), case[-1])


@pytest.mark.cluster
@pytest.mark.parametrize("case", [case for case in CASES if case[0] is None], ids=name_of)
def test_without_deepspeed_the_same_is_learned(trained: Path, case: Case) -> None:
    assert_same(trained / name_of(case) / "2", trained / name_of((0, *case[1:])) / "2", case[-1])


@pytest.mark.cluster
@pytest.mark.parametrize("case", FRUGAL, ids=name_of)
def test_what_saves_memory_changes_nothing(trained: Path, case: Case) -> None:
    assert_same(trained / name_of(case) / "2", trained / name_of(case) / "frugal", case[-1])


@pytest.mark.cluster
@pytest.mark.parametrize("case", CUT, ids=name_of)
def test_a_cut_run_goes_on_to_the_same_result_on_any_number_of_workers(trained: Path, case: Case) -> None:
    folder = trained / name_of(case)
    for name in (*[f"on-2-{at}" for at in AT], "on-1-10", "on-3-10"):
        assert_same(folder / "whole", folder / name, case[-1])
    assert not (folder / "given-up" / "parts" / case[-1]).exists()
    steps = [
        json.loads(line)["step"] for line in next((folder / "whole").glob("metrics/*.jsonl")).read_text().splitlines()
    ]
    assert steps == sorted(set(steps))


@pytest.mark.cluster
def test_what_is_not_finite_is_not_saved_and_the_last_checkpoint_is_kept(trained: Path) -> None:
    begun, fresh = ((trained / "huge" / name / "error-0").read_text() for name in ("checkpoint", "result"))
    where = "t (linear): weights or heads are not finite after epoch 1 step"
    advice = "lower train.base_lr or train.user_lr."
    assert begun == f"{where} {AT[0] + 1}; {advice} The checkpoint after {AT[0]} steps is kept"
    assert fresh == f"{where} 1; {advice} It has no checkpoint yet"
    assert not any((trained / "huge").glob("*/kept"))
    assert not any((trained / "huge").rglob("*.safetensors"))
