"""Where heads live, and how many a node has room for."""

import pytest

from hydra_ray.errors import UserError
from hydra_ray.models.heads import parameters_per_user
from hydra_ray.training.joint.head_plan import HeadSizes, plan_heads

GB, WIDTH, BATCH = 10**9, 68, 4096
H100, NODE = 68 * GB, 1000 * GB
"""What a worker may fill of a GPU of 80 GB, and of a node of 1.2 TB."""


def sizes(kind: str, users: int) -> HeadSizes:
    return HeadSizes(users, parameters_per_user(kind, WIDTH, 8), BATCH)


def test_bytes_are_counted_from_shapes() -> None:
    found = HeadSizes(10, 138, 4)
    assert (found.user_bytes, found.table_bytes, found.step_bytes) == (4 * (3 * 138 + 1), 16_600, 4 * 4 * 8 * 138)
    assert found.most(found.step_bytes + 3 * found.user_bytes + 1) == 3


@pytest.mark.parametrize(
    ("kind", "users", "device", "host", "place"),
    [
        ("dense", 10**5, H100, NODE, "device"),
        ("linear", 10**6, H100, NODE, "device"),
        ("linear", 10**8, H100, NODE, "host"),
        ("linear", 10**8, None, NODE, "host"),
        ("linear", 10**8 // 8, H100, NODE // 8, "device"),
        ("dense", 10**5, None, 8 * GB, "host"),
    ],
)
def test_heads_are_on_the_device_where_they_fit(
    kind: str, users: int, device: int | None, host: int, place: str
) -> None:
    assert plan_heads(sizes(kind, users), device, host) == place


def test_what_fits_nowhere_is_refused_with_what_would() -> None:
    with pytest.raises(UserError) as error:
        plan_heads(sizes("linear", 10**8), H100, 120 * GB)
    assert str(error.value).startswith(
        "heads of 100,000,000 users of 138 numbers each, with their optimizer's state, take 166.0 GB on one training "
        "worker, and 0.0 GB a step; its GPU for 68.0 GB (40,952,959 users), its node's memory has room for 120.0 GB "
    )
    with pytest.raises(UserError, match=r"take 710\.6 GB .* its GPU for 68\.0 GB \(\d,\d{3} users\)"):
        plan_heads(HeadSizes(10**5, parameters_per_user("dense", 768, 8), 256), H100, 500 * GB)


def test_a_table_in_the_nodes_memory_needs_room_for_two_steps_rows_on_the_device() -> None:
    found = sizes("dense", 10**6)
    assert (found.ahead_bytes, found.staged_bytes) == (found.step_bytes * 11 // 8, found.step_bytes * 6 // 8)
    node = found.table_bytes + found.staged_bytes
    assert plan_heads(found, found.ahead_bytes, node) == "host"
    for device, host in ((found.ahead_bytes - 1, node), (found.ahead_bytes, node - 1)):
        with pytest.raises(UserError, match=r"^heads of 1,000,000 users of 4,830 numbers each"):
            plan_heads(found, device, host)
