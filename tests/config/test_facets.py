"""The section `facets`: mixtures that cannot be."""

import pytest

from hydra_ray.config import load_config
from hydra_ray.errors import UserError


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("facets.top=8", r"top=8 of facets=7: give a number that is not greater"),
        ("facets.top=1", r"facets\.top"),
        ("facets.hidden=6", r"facets\.hidden"),
        ("facets.holdout=0", r"facets\.holdout"),
    ],
)
def test_a_mixture_that_cannot_be_is_one_line(override: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as error:
        load_config(None, [override])
    assert "\n" not in str(error.value)
