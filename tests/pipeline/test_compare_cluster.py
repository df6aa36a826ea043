"""Every method there is, compared by one command on a synthetic world behind the packaged LLM."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest

from hydra_ray.config import load_config
from hydra_ray.llm.model_id import model_identity
from hydra_ray.llm.response_cache import ResponseCache
from hydra_ray.pipeline.lora_serving import with_weights
from hydra_ray.pipeline.method_costs import asked_rows
from hydra_ray.registries import METHODS
from tests.docs.pages import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

CONFIG = ROOT / "configs" / "quickstart.yaml"
USERS = 6
SMALL = ("name=all", "protocol.train_users=10", f"protocol.test_users={USERS}", "data.synth.users=24",
         "llm.max_calls=4000", "retrieval.similarity=dot", "retrieval.top_n=6", "reranker.num_history_queries=2",
         "protocol.pseudo_queries=2", "resources.train.num_workers=1", "resources.fit.num_workers=1",
         "lora.lr=0.03", "lora.task_lr=0.03", "lora.epochs=3", "finetune.lr=0.001", "finetune.epochs=2",
         "finetune.holdout=0", "evaluate.bootstrap=200")  # fmt: skip
LORA = ("task_lora_k0", "peft_k0", "oppu_k0", "oppu_pag_k1")


@dataclass(frozen=True)
class Compared:
    """What the command has left. printed: on both streams."""

    root: Path
    overrides: tuple[str, ...]
    printed: str
    comparison: dict[str, Any]

    def steps(self) -> dict[str, Path]:
        """Label -> folder."""
        names = json.loads((self.root / "all" / "steps.json").read_text())
        return {label: self.root / "steps" / key for label, key in names.items()}

    def answers(self, row: str) -> list[dict[str, Any]]:
        """Of a row with a step of its own."""
        folder = self.steps()[f"method-{row} seed 0"] / "answers"
        rows: list[dict[str, Any]] = pads.dataset(folder, format="parquet").to_table().to_pylist()
        return rows


def compare(root: Path) -> Compared:
    overrides = (f"root={root}", *SMALL)
    words = [sys.executable, "-m", "hydra_ray.cli", "compare", "--config", str(CONFIG), *overrides, "--methods", "all"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1700, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    comparison = json.loads((root / "all" / "compare" / "compare.json").read_text())
    return Compared(root, overrides, done.stdout + done.stderr, comparison)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return compare(tmp_path_factory.mktemp("all") / "runs")


def test_every_method_stands_in_the_table(compared: Compared) -> None:
    known = METHODS._homes.keys()  # without the methods of plug-ins that other tests load
    rankings = {name for name in known if name.startswith("ranking_")}  # of a file that is read
    assert compared.comparison["methods"].keys() == known - rankings
    assert compared.comparison["left_out"].keys() == rankings
    assert "Traceback" not in compared.printed
    for name in compared.comparison["methods"]:
        assert f"\n{name} " in compared.printed
    for label in compared.steps():
        if label.startswith("method-"):
            rows = compared.answers(label.split()[0].removeprefix("method-"))
            assert len(rows) == USERS, label
            assert not any(error for row in rows for error in row["errors"]), label


def test_they_learn_from_the_same_answers(compared: Compared) -> None:
    learned = {file.name for file in (compared.root / "steps").glob("train-method-*/*.json")}
    assert {"retriever.json", "heads.json", "selector.json", "facets.json", "finetuned.json"} <= learned
    # What HYDRA's reranker, ROPG, its heads and the facets learn from is the label step's, asked once.
    assert len(list((compared.root / "steps").glob("label-*"))) == 1
    asked = {}
    for file in (compared.root / "steps").glob("summarise*/manifest.json"):
        manifest = json.loads(file.read_text())
        asked[manifest["step"]] = manifest["counts"]["requests"], manifest["counts"]["cached"]
    assert asked["summarise-users"] == (16, 0)
    assert asked["summarise"] == (USERS, USERS)  # the evaluated users' serve both


def test_users_are_answered_by_their_own_lora(compared: Compared) -> None:
    texts = {row: tuple(sorted(str(one["texts"]) for one in compared.answers(row))) for row in LORA}
    assert len(set(texts.values())) == len(LORA)  # other adapters, other answers
    adapters = (compared.root / "steps").glob("train-method-*/served/*/adapter_config.json")
    assert {json.loads(file.read_text())["r"] for file in adapters} == {8, 16}  # alone, and with the task's


def test_a_fine_tuned_llm_answers_for_its_rows_alone(compared: Compared) -> None:
    """Its answers are kept under its own weights. (Under the LLM's are those of `zero_shot`, to the same prompts.)"""
    config = load_config(CONFIG, list(compared.overrides))
    trained = compared.steps()["train-method-finetuned_k0 seed 0"]
    own = model_identity(with_weights(config, trained / "model").llm)
    ledger = ResponseCache(compared.root / "cache" / "llm.sqlite", "costs")
    unknown = {
        row: sum(used.unknown for asked in asked_rows(compared.steps()[f"method-{row} seed 0"], ledger, own)
                 for used in asked.used)
        for row in ("finetuned_k0", "recency_k1")
    }  # fmt: skip
    ledger.close()
    assert unknown == {"finetuned_k0": 0, "recency_k1": USERS}


def test_a_second_comparison_trains_and_asks_nothing(compared: Compared) -> None:
    files = {file: file.stat().st_mtime_ns for file in (compared.root / "steps").rglob("manifest.json")}
    again = compare(compared.root)
    assert again.comparison["methods"].keys() == compared.comparison["methods"].keys()
    assert "this run: 0 LLM calls" in again.printed
    assert {file: file.stat().st_mtime_ns for file in (compared.root / "steps").rglob("manifest.json")} == files
