"""A running service's users brought up to a later run, in both back ends."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hydra_ray.core.types import HistoryItem, User
from hydra_ray.data.users_writer import BucketWriter
from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, UserKey
from hydra_ray.pipeline.previous_run import STEPS, write_steps
from hydra_ray.pipeline.step import MANIFEST
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.state import update_state as subject
from hydra_ray.serve.state.folders import heads_folder
from hydra_ray.serve.state.init_state import init_state
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.update_state import StateUpdate, served_from, update_state
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.trained_scorer import fingerprint
from tests.pipeline.fitted_world import users
from tests.serve.made_up import item
from tests.serve.state.made_run import USER_IDS, write_some_heads

GROWN, SAME, DELETED, OWN, PRUNED = USER_IDS[:5]
NEWCOMER = "somebody new"


class Service:
    """A state that was made of a run, and later runs of it."""

    def __init__(self, made: RunArtifacts, state: ServiceState, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made, self.state, self.root = made, state, root
        monkeypatch.setattr(subject, "load_run_artifacts", lambda folder, seed: made)
        init_state(made, state, "me", lambda line: None)
        self.store = state.open_users()

    def later_run(self, name: str, grown: dict[str, list[HistoryItem]], heads: dict[str, float]) -> Path:
        """A run of fit-users: users with further items, and heads of some, constant numbers each."""
        steps = {"ingest": self._step(f"ingest-{name}")}
        by_bucket = {3: [User(NEWCOMER, "test", tuple(grown.get(NEWCOMER, [])), ())]}
        for user, bucket in users():
            items = (*user.items, *grown.get(user.user_id, []))
            by_bucket.setdefault(bucket, []).append(replace(user, items=items))
        for bucket, some in by_bucket.items():
            with BucketWriter(steps["ingest"], bucket) as writer:
                for user in some:
                    writer.add(user)
        (steps["ingest"] / "counts.json").write_text(json.dumps({"buckets": 8}))
        for component in COMPONENTS:
            base, step = fingerprint(self.made.base[component]), self.root / "steps" / f"fit-{component}-{name}"
            (value,) = set(heads.values())
            write_some_heads(step, "bayesian_linear", base, list(heads), value)
            (step / MANIFEST).write_text("{}")
            steps[f"fit-{component} seed 0"] = step
        write_steps(self.root / name, {label: step.name for label, step in steps.items()})
        return self.root / name

    def update(self, later: Path, add_users: bool = False) -> str:
        served = served_from(Path("served"), self.state.folder, self.state.database)
        return update_state(served, later, add_users)

    def head(self, user: str, component: Component = "adapter") -> float | None:
        store = HeadStore.open(str(heads_folder(self.state.folder, component)))
        found, arrays = store.get([key(user).stored])
        return float(arrays["out_bias"][0, 0]) if found[0] else None

    def _step(self, name: str) -> Path:
        (self.root / "steps" / name).mkdir(parents=True)
        (self.root / "steps" / name / MANIFEST).write_text("{}")
        return self.root / "steps" / name


def key(user: str) -> UserKey:
    return UserKey("me", user)


@pytest.fixture
def service(made: RunArtifacts, state: ServiceState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(made, state, tmp_path, monkeypatch)


def test_new_items_and_heads_come_and_what_users_changed_stays(service: Service) -> None:
    store = service.store
    pruned = store.items(key(PRUNED))[0].item_id
    store.delete(key(DELETED))
    store.append(key(OWN), [item(7)])
    store.remove_item(key(PRUNED), pruned)
    grown = {user: [item(100), item(101)] for user in (GROWN, DELETED, OWN, PRUNED, NEWCOMER)}
    line = service.update(service.later_run("tonight", grown, dict.fromkeys([GROWN, SAME, DELETED, OWN], 5.0)))
    assert "6 items added" in line
    assert "heads of 9 users are those of tonight" in line  # all others are as the later run has them
    assert "2 users with changes of their own queued" in line
    assert "2 users left out" in line

    found = store.history(key(GROWN))
    assert found is not None
    state, items = found
    assert [some.item_id for some in items[-2:]] == [item(100).item_id, item(101).item_id]
    assert (state.fit, state.fitted_revision) == ("done", state.revision)
    assert (service.head(GROWN), service.head(SAME)) == (5.0, 5.0)
    version = HeadStore.open(str(heads_folder(service.state.folder, "adapter"))).version
    assert 0 < state.heads["adapter"] <= version

    for user, own in ((OWN, True), (PRUNED, False)):
        known = store.state(key(user))
        assert known is not None
        assert known.fit == "queued"
        assert (item(7).item_id in {some.item_id for some in store.items(key(user))}) == own
    assert pruned not in {some.item_id for some in store.items(key(PRUNED))}
    assert store.state(key(DELETED)) is None
    assert store.state(key(NEWCOMER)) is None


def test_a_second_update_counts_from_the_first_and_the_same_twice_changes_nothing(service: Service) -> None:
    first = service.later_run("first", {GROWN: [item(100)]}, {GROWN: 5.0})
    service.update(first)
    before = {user: service.store.history(key(user)) for user in USER_IDS}
    assert service.update(first).startswith("0 items added")
    after = {user: service.store.history(key(user)) for user in USER_IDS}
    assert {user: found and found[1] for user, found in before.items()} == {
        user: found and found[1] for user, found in after.items()
    }
    service.store.remove_item(key(GROWN), item(100).item_id)
    second = service.later_run("second", {GROWN: [item(100), item(101)]}, {GROWN: 6.0})
    write_steps(first, json.loads((second / STEPS).read_text()))  # every night's run has the same name
    service.update(first)
    ids = [some.item_id for some in service.store.items(key(GROWN))]
    assert item(101).item_id in ids
    assert item(100).item_id not in ids  # it was deleted here


class KilledError(BaseException):
    """Where the process ends."""


@pytest.mark.parametrize("before", ["set_fit", "give_heads"])
def test_an_update_that_was_killed_goes_on(service: Service, before: str) -> None:
    later = service.later_run("tonight", {user: [item(100)] for user in (GROWN, OWN)}, dict.fromkeys(USER_IDS, 5.0))
    service.store.append(key(OWN), [item(7)])
    with pytest.MonkeyPatch.context() as patch:
        kind = StateUpdate if before == "give_heads" else type(service.store)

        def killed(*_: object, **__: object) -> None:
            raise KilledError

        patch.setattr(kind, before, killed)
        with pytest.raises(KilledError):
            service.update(later)
    assert not (service.state.folder / subject.UPDATED).exists()
    line = service.update(later)
    assert f"heads of {len(USER_IDS) - 1} users are those of tonight, 1 users with changes of their own queued" in line
    states = {user: service.store.state(key(user)) for user in USER_IDS}
    assert {user for user, state in states.items() if state and state.fit == "queued"} == {OWN}
    assert {service.head(user) for user in USER_IDS if user != OWN} == {5.0}
    assert all(item(100) in service.store.items(key(user)) for user in (GROWN, OWN))


def test_a_user_who_is_to_keep_the_shared_head_loses_the_own_one(service: Service) -> None:
    fitted = USER_IDS[5]
    assert service.head(fitted) == 2.0
    service.update(service.later_run("tonight", {}, {GROWN: 5.0}))
    assert service.head(fitted) is None
    assert service.head(USER_IDS[1], "reranker") == 1.0  # trained with the base
    found = service.store.state(key(fitted))
    assert found is not None
    assert found.heads["adapter"] == HeadStore.open(str(heads_folder(service.state.folder, "adapter"))).version


def test_unknown_users_are_added_where_that_is_asked_for(service: Service) -> None:
    later = service.later_run("tonight", {NEWCOMER: [item(100)]}, {NEWCOMER: 5.0})
    assert "left out" not in service.update(later, add_users=True)
    assert service.store.items(key(NEWCOMER)) == [item(100)]
    assert service.head(NEWCOMER) == 5.0


def test_heads_of_another_base_are_refused_and_nothing_changes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tests.serve.state.test_update_state.fingerprint", lambda base: "another")
        later = service.later_run("tonight", {GROWN: [item(100)]}, {GROWN: 5.0})
    before = service.store.history(key(GROWN))
    with pytest.raises(UserError, match="base"):
        service.update(later)
    assert service.store.history(key(GROWN)) == before


def test_a_folder_without_a_state_is_one_line(service: Service, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no service's state .*--state"):
        served_from(Path("served"), tmp_path / "none", None)


def test_a_state_of_another_run_and_an_unfinished_run_are_one_line(service: Service, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"steps.json: No such file.*fit-users"):
        service.update(tmp_path / "none")
    service.made = replace(service.made, name="another")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "load_run_artifacts", lambda folder, seed: service.made)
        with pytest.raises(UserError, match="is of run 'a-run', not of 'another'"):
            service.update(tmp_path / "none")
