"""A pipeline as one folder that can be carried elsewhere.

pipeline.json   format, name, seed, config, the strength of new heads' prior, the run's figures
task.yaml       the task
reranker/, adapter/   base and shared head (`hydra_ray.training.artifacts.trained_scorer`)
topics/         topic models, where the adapter reads them
encoder/        the encoder, where it is a folder of its own
ingest/         an empty data set: no user travels along
README.md       the model card
"""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.training.artifacts.trained_scorer import BASE, MODEL
from hydra_ray.version import __version__

FORMAT = 1
PIPELINE, TASK, TOPICS, ENCODER, INGEST, CARD = (
    "pipeline.json", "task.yaml", "topics", "encoder", "ingest", "README.md",
)  # fmt: skip


def write_folder(bundle: RunArtifacts, folder: Path) -> Path:
    """Writes the folder; returns it. Raises UserError if something is there already, or it cannot be written."""
    folder = folder.expanduser().absolute()
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder}: there is something in it already; give a folder that does not exist yet")
        folder.mkdir(parents=True, exist_ok=True)
        for component in COMPONENTS:
            (folder / component).mkdir()
            for name in (MODEL, BASE):
                shutil.copyfile(bundle.base[component] / name, folder / component / name)
        if bundle.topics:
            shutil.copytree(bundle.topics, folder / TOPICS)
        encoder = Path(bundle.config.model.encoder)
        if encoder.is_dir():
            shutil.copytree(encoder, folder / ENCODER)
        (folder / INGEST).mkdir()
        (folder / INGEST / "counts.json").write_text(json.dumps({"buckets": bundle.config.data.buckets}))
        task = bundle.task.model_dump(mode="json")
        (folder / TASK).write_text(yaml.safe_dump(task, sort_keys=False, allow_unicode=True), encoding="utf-8")
        (folder / CARD).write_text(model_card(bundle), encoding="utf-8")
        whole = {
            "format": FORMAT,
            "hydra_ray": __version__,
            "name": bundle.name,
            "seed": bundle.seed,
            "created": bundle.created,
            "tuned": dict(bundle.tuned),
            "config": bundle.config.model_dump(mode="json"),
        }
        # The last: without it, the folder is no pipeline.
        (folder / PIPELINE).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}; give a folder that can be written") from None
    return folder


def read_folder(folder: Path) -> RunArtifacts:
    """What `write_folder` wrote. Raises UserError if it is none, is broken, or of another version of hydra_ray."""
    folder = folder.expanduser().absolute()
    file = folder / PIPELINE
    try:
        whole: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if whole["format"] != FORMAT:
            raise UserError(f"{file}: format {whole['format']}, this hydra_ray reads {FORMAT}; save the pipeline anew")
        config = Config.model_validate(whole["config"])
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no saved pipeline ({PIPELINE} is missing); give a folder that save() wrote"
        ) from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; make it readable") from None
    except ValidationError as error:
        first = ".".join(str(part) for part in error.errors()[0]["loc"]) or "config"
        raise UserError(f"{file}: made by another hydra_ray ({first}: {error.errors()[0]['msg']}); save the pipeline "
                        "anew") from None  # fmt: skip
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file}: broken; save the pipeline anew") from None
    topics = folder / TOPICS
    return RunArtifacts(
        name=str(whole["name"]),
        config=_moved(config, folder),
        seed=int(whole["seed"]),
        base={component: folder / component for component in COMPONENTS},
        heads=dict.fromkeys(COMPONENTS, ()),
        tuned=whole["tuned"],
        users=folder / INGEST,
        topics=topics if topics.exists() else None,
        created=int(whole["created"]),
    )


def _moved(config: Config, folder: Path) -> Config:
    """The config with the task and, where it was carried along, the encoder of the folder."""
    data = config.data.model_copy(update={"task": str(folder / TASK)})
    model = config.model
    if (folder / ENCODER).exists():
        model = model.model_copy(update={"encoder": str(folder / ENCODER)})
    return config.model_copy(update={"data": data, "model": model})


def model_card(bundle: RunArtifacts) -> str:
    """README.md of the folder: what it is, how it is used, what it was made from."""
    config, task = bundle.config, bundle.task
    model = config.model
    llm = config.llm.model + (f" at {config.llm.base_url}" if config.llm.base_url else f" ({config.llm.serve.source})")
    return f"""# {bundle.name}: personal answers for the task {task.name}

A reranker and an adapter of HYDRA (arXiv 2406.02888), as hydra_ray {__version__} trained them. They
personalise an LLM that is reached as text in, text out: the reranker chooses the items of a user's history that the LLM
is shown, the adapter chooses among the LLM's answers.

```python
import hydra_ray

pipe = hydra_ray.HydraPipeline.load("this folder", llm="http://localhost:8000/v1")
pipe.personalize("a question", history=[{{"text": "...", "answer": "...", "date": "2024-05-17"}}]).answer
```

| | |
|---|---|
| task | {task.name}, {task.kind}: {" ".join(task.instruction.split())} |
| answers | {len(task.labels) or "free text"}{" labels" if task.labels else ""} |
| LLM that it was trained with | {llm} |
| encoder | {model.encoder}, {"frozen" if model.freeze_encoder else "trained along"} |
| heads | {model.head} |
| data | {config.data.source}{f", {Path(config.data.root).name}" if config.data.root else ""} |
| seed | {bundle.seed} |

It holds the shared heads alone. Nothing in it comes from a single user's history but what the training users' data left
in the weights. `fit` makes a user's own heads. With another LLM than the one above, its scores are less certain:
train anew.
"""
