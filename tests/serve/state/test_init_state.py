"""A state folder from a run: here the folders of one, made by the code that a run's steps call."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hydra_ray.config import RerankerConfig
from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey, UserState
from hydra_ray.serve.bundle import RunArtifacts
from hydra_ray.serve.state import init_state as preparing
from hydra_ray.serve.state.folders import USERS, heads_folder
from hydra_ray.serve.state.init_state import init_state
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from hydra_ray.store.heads.head_store import HeadStore
from tests.pipeline.fitted_world import users, write_base
from tests.serve.state.made_run import USER_IDS, write_some_heads
from tests.serve.state.postgres_server import PostgresServer

Contents = tuple[dict[str, object], dict[str, dict[str, float]]]


def contents(state: Path) -> Contents:
    """Everything that a state folder says, by user."""
    store = SQLiteUserStore.open(state / USERS)
    known = {user.user_id: store.history(user) for user, _ in store.users("me", "", 99)}
    heads: dict[str, dict[str, float]] = {}
    for component in ("reranker", "adapter"):
        copied = HeadStore.open(str(heads_folder(state, component)))  # type: ignore[arg-type]
        ids = copied.users()
        assert copied.verify() == []
        values = copied.get(ids)[1]["out_bias"][:, 0].tolist()
        heads[component] = {UserKey.of_stored(user).user_id: v for user, v in zip(ids, values, strict=True)}
    return dict(known), heads


@pytest.fixture(scope="module")
def whole(made: RunArtifacts, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """What a state says that was made at one go."""
    state = tmp_path_factory.mktemp("whole")
    init_state(made, ServiceState(state), "me", lambda line: None)
    return contents(state)


def test_everybody_and_every_head_under_their_new_ids(made: RunArtifacts, tmp_path: Path) -> None:
    lines: list[str] = []
    init_state(made, ServiceState(tmp_path / "state"), "me", lines.append)
    known, heads = contents(tmp_path / "state")
    assert heads["reranker"] == dict.fromkeys(USER_IDS[:4], 1.0) | dict.fromkeys(USER_IDS[4:9], 2.0)
    assert heads["adapter"] == dict.fromkeys(USER_IDS[4:9], 2.0)
    versions = {m: HeadStore.open(str(heads_folder(tmp_path / "state", m))).version for m in made.heads}
    assert HeadStore.open(str(heads_folder(tmp_path / "state", "reranker"))).spec.kind == "bayesian_linear"
    for i, (user, _) in enumerate(users()):
        own = {component: versions[component] for component in made.heads if user.user_id in heads[component]}
        state = UserState(len(user.items), 1, own, "imported" if i < 9 else "never", 1 if i < 9 else None)
        assert known[user.user_id] == (state, list(user.items))
    assert len(lines) == 1
    assert lines[0].startswith("prepare: 12 users, 9 reranker heads, 5 adapter heads in ")


def test_a_finished_state_is_left_as_its_users_changed_it(made: RunArtifacts, tmp_path: Path) -> None:
    state, lines = tmp_path / "state", []
    init_state(made, ServiceState(state), "me", lines.append)
    store, gone, kept = SQLiteUserStore.open(state / USERS), UserKey("me", USER_IDS[0]), UserKey("me", USER_IDS[1])
    heads = HeadStore.open(str(heads_folder(state, "reranker")))
    store.delete(gone, {"reranker": heads.delete([gone.stored])})
    store.append(kept, store.items(kept)[:1])
    store.append(UserKey("me", "new"), [])
    before = contents(state)
    init_state(made, ServiceState(state), "me", lines.append)
    assert contents(state) == before
    assert len(lines) == 1


STEPS = [
    "SQLiteUserStore.create",
    "SQLiteUserStore.import_users",
    "HeadStore.create",
    "HeadStore.publish",
    "SQLiteUserStore.import_heads",
]


STORES = {"SQLiteUserStore": SQLiteUserStore, "HeadStore": HeadStore}


@pytest.mark.parametrize("step", STEPS)
def test_killed_and_called_again(
    made: RunArtifacts, whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    name, method = step.split(".")
    real, calls = getattr(STORES[name], method), []

    def killed_after(*args: object, **kwargs: object) -> object:
        found = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == 2 or method == "create":
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(STORES[name], method, killed_after)
        with pytest.raises(KeyboardInterrupt):
            init_state(made, ServiceState(tmp_path / "state"), "me", lambda line: None)
    assert not (tmp_path / "state" / "serving.json").exists()
    init_state(made, ServiceState(tmp_path / "state"), "me", lambda line: None)
    assert contents(tmp_path / "state") == whole


def test_batches_are_bounded(
    made: RunArtifacts, whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "AT_ONCE", 100)
    assert all(sum(map(len, batch.values())) == 1 for batch in preparing.batches(made, "me", 8))
    init_state(made, ServiceState(tmp_path / "state"), "me", lambda line: None)
    assert contents(tmp_path / "state") == whole


def test_a_kind_without_heads(made: RunArtifacts, tmp_path: Path) -> None:
    init_state(
        replace(made, heads={"reranker": (), "adapter": ()}), ServiceState(tmp_path / "state"), "me", lambda line: None
    )
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == [".lock", "serving.json", "users"]
    assert all(s.fit == "never" for _, s in SQLiteUserStore.open(tmp_path / "state" / USERS).users("me", "", 99))


def test_a_state_of_something_else(made: RunArtifacts, tmp_path: Path) -> None:
    state = tmp_path / "state"
    init_state(made, ServiceState(state), "me", lambda line: None)
    shutil.copytree(made.base["adapter"], tmp_path / "base")
    description = json.loads((tmp_path / "base" / "model.json").read_text())
    (tmp_path / "base" / "model.json").write_text(json.dumps({**description, "fingerprint": "other"}))
    others = [
        (replace(made, name="b-run"), "me", "another run: 'a-run' where 'b-run' is to be served"),
        (replace(made, base={**made.base, "adapter": tmp_path / "base"}), "me", "another base of the adapter: "),
        (replace(made, heads={**made.heads, "adapter": ()}), "me", "another heads of the adapter: "),
        (made, "you", "another tenant: 'me' where 'you' is to be served; give another folder, or remove this one"),
    ]
    for bundle, tenant, message in others:
        with pytest.raises(UserError, match=message):
            init_state(bundle, ServiceState(state), tenant, lambda line: None)
    (state / "serving.json").write_text(json.dumps({**json.loads((state / "serving.json").read_text()), "format": 0}))
    with pytest.raises(UserError, match="another format: 0 where 1"):
        init_state(made, ServiceState(state), "me", lambda line: None)
    (state / "serving.json").write_text("{")
    with pytest.raises(UserError, match=r"serving\.json: broken"):
        init_state(made, ServiceState(state), "me", lambda line: None)
    (state / "serving.json").unlink()
    with pytest.raises(UserError, match=r"holds users, but serving\.json is missing"):
        init_state(made, ServiceState(state), "me", lambda line: None)


def test_a_base_that_reads_other_features_than_this_version_makes(made: RunArtifacts, tmp_path: Path) -> None:
    config = made.config.model_copy(update={"reranker": RerankerConfig(features="score_and_recency")})
    old = replace(made, config=config, base={"reranker": write_base(tmp_path, config, feature_width=1)})
    with pytest.raises(UserError, match=r"base: the reranker was trained on 1 features .* makes 2; run it"):
        init_state(old, ServiceState(tmp_path / "state"), "me", lambda line: None)
    assert not (tmp_path / "state").exists()


def test_labels_that_leave_no_room_in_a_prompt_are_found_before_anything_is_made(
    made: RunArtifacts, tmp_path: Path
) -> None:
    llm = made.config.llm.model_copy(update={"base_url": "http://127.0.0.1:1/v1", "max_prompt_tokens": 64})
    data = made.config.data.model_copy(update={"task": "lamp_2m"})
    short = replace(made, config=made.config.model_copy(update={"llm": llm, "data": data}))
    with pytest.raises(UserError, match=r"task lamp_2m: instruction and labels take \d+ of the 64 tokens"):
        init_state(short, ServiceState(tmp_path / "state"), "me", lambda line: None)
    assert not (tmp_path / "state").exists()


def test_a_broken_run_and_a_folder_that_cannot_be(made: RunArtifacts, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.json is missing; .* run it again"):
        init_state(
            replace(made, base={"reranker": tmp_path}), ServiceState(tmp_path / "state"), "me", lambda line: None
        )
    foreign = write_some_heads(tmp_path / "foreign", "linear", "other", USER_IDS[:1], 1.0)
    with pytest.raises(UserError, match="holds heads of another base: 'other'"):
        init_state(
            replace(made, heads={"reranker": (foreign,)}), ServiceState(tmp_path / "state"), "me", lambda line: None
        )
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="give a folder that can be written"):
        init_state(made, ServiceState(tmp_path / "file"), "me", lambda line: None)


def test_users_in_a_database(made: RunArtifacts, whole: Contents, tmp_path: Path, postgres: PostgresServer) -> None:
    url, lines = postgres.new_url(), list[str]()
    state = ServiceState(tmp_path / "state", url)
    init_state(made, state, "me", lines.append)
    assert len(lines) == 1
    assert not (state.folder / USERS).exists()
    store = state.open_users()
    assert {user.user_id: store.history(user) for user, _ in store.users("me", "", 99)} == whole[0]
    store.append(UserKey("me", "new"), [])
    init_state(made, state, "me", lines.append)
    assert len(store.users("me", "", 99)) == 13

    with pytest.raises(UserError, match="its users are in a PostgreSQL database: give its URL as `database`"):
        init_state(made, ServiceState(state.folder), "me", lines.append)
    with pytest.raises(UserError, match="does not hold the users of this state folder"):
        init_state(made, ServiceState(state.folder, postgres.new_url()), "me", lines.append)
    with pytest.raises(UserError, match="holds the users of another state folder"):
        init_state(made, ServiceState(tmp_path / "other", url), "me", lines.append)
    init_state(made, ServiceState(tmp_path / "files"), "me", lines.append)
    with pytest.raises(UserError, match="files keeps its users in files: stop the service and move them"):
        init_state(made, ServiceState(tmp_path / "files", url), "me", lines.append)
