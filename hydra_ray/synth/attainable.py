"""The best scores anyone can reach in the synthetic world, from its noise alone."""

from itertools import product

from rouge_score.rouge_scorer import RougeScorer

from hydra_ray.errors import UserError
from hydra_ray.synth.headline_words import SLOTS, TEMPLATES
from hydra_ray.synth.scene import NOISE


def attainable(task: str) -> dict[str, float]:
    """metric -> its expected value for a system that knows every user's taste and answers without noise.

    tagging: a noisy answer is always another tag, so accuracy is 1 - NOISE. rating: a noisy score is one off, so MAE is
    NOISE. headline: a noisy headline has another template around the same phrase, so ROUGE-1 is 1 - NOISE + NOISE x the
    mean ROUGE-1 F between two templates (over one phrase per slot; every phrase of a slot has as many words).
    """
    if task == "tagging":
        return {"accuracy": 1 - NOISE}
    if task == "rating":
        return {"mae": NOISE}
    if task != "headline":
        raise UserError(f"synth.task: unknown task {task!r}: give one of tagging, rating, headline")
    scorer = RougeScorer(["rouge1"], use_stemmer=False)
    pairs = [(a, b) for a, b in product(TEMPLATES, TEMPLATES) if a != b]
    scores = [scorer.score(a.format(slot[0]), b.format(slot[0]))["rouge1"].fmeasure for a, b in pairs for slot in SLOTS]
    return {"rouge1": 1 - NOISE + NOISE * sum(scores) / len(scores)}
