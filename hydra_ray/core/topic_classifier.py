"""What a text alone says of its answer, without its author: a linear classifier of text embeddings. Pure.

Shape letters: N texts, D numbers of an embedding, L labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.hashing import stable_seed

PARTS = 5
"""Training users are cut into so many parts; each part's rows are made by a model of the others, so that what a
training user's rows say of the classifier holds for users it has never seen."""
INVERSE_REGULARISATION = 3.0
LEAST_PROBABILITY = 1e-4


@dataclass(frozen=True, slots=True)
class TopicModel:
    """Multinomial logistic regression. weights: float32 [L, D], bias: float32 [L], prior: float32 [L] (shares of the
    labels among the texts it was fitted on), labels: L of them."""

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    prior: NDArray[np.float32]

    def log_ratios(self, embedding_D: NDArray[np.float32]) -> dict[str, float]:
        """log p(label | text) - log p(label) for every label."""
        logits_L = self.weights @ _unit(embedding_D) + self.bias
        p_L = np.exp(logits_L - logits_L.max())
        ratios_L = np.log(p_L / p_L.sum() + LEAST_PROBABILITY) - np.log(self.prior)
        return {label: round(float(x), 4) for label, x in zip(self.labels, ratios_L, strict=True)}


def fit_topics(vectors_ND: NDArray[np.float32], answers: Sequence[str], labels: Sequence[str]) -> TopicModel:
    """A model of the labels that occur at least once; the others' probability is the least there is.

    answers: N labels. With fewer than two distinct ones the texts say nothing, and all ratios are 0.
    """
    from sklearn.linear_model import LogisticRegression

    place = {label: i for i, label in enumerate(labels)}
    y_N = np.array([place[answer] for answer in answers], dtype=np.int64)
    prior_L = (np.bincount(y_N, minlength=len(labels)) + 0.5).astype(np.float32)
    prior_L /= prior_L.sum()
    width = vectors_ND.shape[1] if vectors_ND.ndim == 2 else 1
    if len(set(answers)) < 2:
        return TopicModel(tuple(labels), np.zeros((len(labels), width), np.float32), np.log(prior_L), prior_L)
    unit_ND = vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=200).fit(unit_ND, y_N)
    weights_LD = np.zeros((len(labels), width), np.float32)
    bias_L = np.full(len(labels), -30.0, np.float32)
    if len(model.classes_) == 2:  # scikit-learn keeps the second one's alone
        weights_LD[model.classes_[1]], bias_L[model.classes_] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        weights_LD[model.classes_], bias_L[model.classes_] = model.coef_, model.intercept_
    return TopicModel(tuple(labels), weights_LD, bias_L, prior_L)


def _unit(embedding_D: NDArray[np.float32]) -> NDArray[np.float32]:
    unit_D: NDArray[np.float32] = embedding_D / max(float(np.linalg.norm(embedding_D)), 1e-12)
    return unit_D


def part_of(user_id: str) -> int:
    """The part that a training user belongs to, in [0, PARTS)."""
    return stable_seed("topics", user_id) % PARTS


@dataclass(frozen=True, slots=True)
class TopicModels:
    """`whole`: of all training users, for all others. without: part -> of the training users of the other parts."""

    whole: TopicModel
    without: Mapping[int, TopicModel]

    def of(self, user_id: str, trained_on: bool) -> TopicModel:
        """The model for a user's rows. trained_on: whether the user is one of the training users."""
        return self.without[part_of(user_id)] if trained_on else self.whole

    def save(self, folder: Path) -> None:
        """Writes `topics.npz` into `folder`."""
        arrays = {"labels": np.array(self.whole.labels)}
        for name, model in [("whole", self.whole), *((str(part), model) for part, model in self.without.items())]:
            for array in ("weights", "bias", "prior"):
                arrays[f"{name}_{array}"] = getattr(model, array)
        np.savez(folder / "topics.npz", **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> "TopicModels":
        """What `save` wrote."""
        with np.load(folder / "topics.npz") as file:
            labels = tuple(str(label) for label in file["labels"])

            def model(name: str) -> TopicModel:
                return TopicModel(labels, file[f"{name}_weights"], file[f"{name}_bias"], file[f"{name}_prior"])

            return cls(model("whole"), {part: model(str(part)) for part in range(PARTS)})
