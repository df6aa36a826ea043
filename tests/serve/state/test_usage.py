"""The contract of a store of usage, kept by an SQLite file and by PostgreSQL."""

from datetime import UTC, datetime

from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.usage import Slot, Used


def test_usage_is_added_up(state: ServiceState) -> None:
    state.create_users(4, "service")
    one, two, today = state.open_usage(), state.open_usage(), f"{datetime.now(UTC):%Y-%m-%d}"
    slot, other = Slot("acme", "k", "ci", today, 100), Slot("other", "l", "", today, 100)
    assert one.add({slot: Used(2, 1, 10)}, 100) == {"k": Used(2, 0, 10)}
    assert two.add({slot: Used(1, 0, 5), other: Used(7)}, 100) == {"k": Used(3, 0, 15), "l": Used(7)}
    assert one.add({Slot("acme", "k", "new name", today, 106): Used(1)}, 106) == {"k": Used(1)}
    assert one.add({}, 100) == {}  # that minute is long over
    kept = Slot("acme", "k", "new name", today, 0)
    assert two.days("acme", today) == [(kept, Used(4, 1, 15))]
    assert two.days("acme", "2999-01-01") == two.days("nobody", today) == []
    everything = [(kept, Used(4, 1, 15)), (Slot("other", "l", "", today, 0), Used(7))]
    assert one.all_days() == everything
    one.put_days([(kept, Used(9, 9, 9))])
    assert one.all_days() == [(kept, Used(9, 9, 9)), everything[1]]
