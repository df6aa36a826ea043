import pytest
from pydantic import ValidationError

from hydra_ray.serve.config import FitterConfig, GatewayConfig, Scaling, ScorerConfig, ServeConfig


@pytest.mark.parametrize("replicas", [(0, 1), (3, 2), (-1, -1)])
def test_replicas_are_fewest_and_most(replicas: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match=r"must be \(fewest, most\), at least one"):
        Scaling(replicas=replicas)
    assert Scaling(replicas=(2, 3)).replicas == (2, 3)


def test_only_what_computes_may_have_a_gpu() -> None:
    assert ScorerConfig(num_gpus=0.5).num_gpus == 0.5
    with pytest.raises(ValidationError, match=r"0\.5 would lie idle here; scorer and fitter can use a GPU"):
        GatewayConfig(num_gpus=0.5)


def test_without_a_database_there_is_one_fitter() -> None:
    several = FitterConfig(replicas=(1, 2))
    with pytest.raises(ValidationError, match="without a `database` the fitter must be one alone"):
        ServeConfig(run="r", fitter=several)
    assert ServeConfig(run="r", fitter=several, database="postgresql://db/users").fitter.replicas == (1, 2)


def test_keys_come_from_one_place() -> None:
    with pytest.raises(ValidationError, match="keys_in_database: there is no `database`"):
        ServeConfig(run="r", keys_in_database=True)
    url = "postgresql://db/users"
    with pytest.raises(ValidationError, match="keys_in_database: `keys` is set, too"):
        ServeConfig(run="r", keys_in_database=True, database=url, keys="keys")
    with pytest.raises(ValidationError, match="keys_in_database: `allow_anonymous` is set, too"):
        ServeConfig(run="r", keys_in_database=True, database=url, allow_anonymous=True)
    assert ServeConfig(run="r", keys_in_database=True, database=url).keys is None
    assert ServeConfig(run="r", keys="keys", database=url).keys == "keys"


def test_a_database_is_named_without_its_password() -> None:
    with pytest.raises(ValidationError, match="PGPASSWORD") as raised:
        ServeConfig(run="r", database="postgresql://anna:very-secret@db/users")
    assert "very-secret" not in str(raised.value).split("[type=")[0]
