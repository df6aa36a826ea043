"""An answered question."""

from collections.abc import Mapping

from hydra_ray.core.labeling import Row
from hydra_ray.pipeline.stage_rows import EvalRow


def answered_row(texts: Mapping[str, tuple[str, ...]]) -> EvalRow:
    """A question with the texts of its calls."""
    query = Row("u", "q", "what?", "amber", (), answers=tuple(texts.values()))
    return EvalRow(query, tuple(texts), True, ("birch",), {}, {}, ())
