"""What caches hear of deletions, from SQLite files and from PostgreSQL."""

from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import UserStore
from tests.serve.made_up import ANNA, item


def test_deletions_are_news_once(store: UserStore, state: ServiceState) -> None:
    deletions, other = state.deletions(), state.open_users()
    store.append(ANNA, [item(0), item(1)])
    assert not deletions.new()
    for delete in (lambda: other.remove_item(ANNA, item(0).item_id), lambda: other.delete(ANNA)):
        delete()
        state.deletions().announce()
        assert [deletions.new(), deletions.new()] == [True, False]
