import pytest

from hydra_ray.bench.serve_load import Seen
from hydra_ray.bench.serve_site import all_well, seed, service_config
from hydra_ray.errors import UserError


def test_no_two_loads_have_one_seed() -> None:
    assert len({seed() for _ in range(5)}) == 5


def test_a_figure_of_failures_is_none() -> None:
    well = Seen()
    well.status += [200, 200]
    assert all_well(well, "a load") is well
    well.status.append(503)
    with pytest.raises(RuntimeError, match=r"a load: statuses \[200, 503\]"):
        all_well(well, "a load")


def test_settings_are_the_services() -> None:
    assert service_config(["gateway.replicas=[2,2]"]).gateway.replicas == (2, 2)
    with pytest.raises(UserError, match="gatway"):
        service_config(["gatway.replicas=[2,2]"])
