import numpy as np
import pyarrow.parquet as pq
import torch

from hydra_ray.core.types import HistoryItem, Question, User
from hydra_ray.models.mixture import PRESENT, PROFILE
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.profiles import PROFILE_ITEMS, Profiles, profile_of, profiles_to_table, read_profiles


def user(count: int) -> User:
    items = tuple(HistoryItem(f"i{n}", f"text {n}", f"text {n}", f"answer {n}" if n else "", "") for n in range(count))
    questions = (Question("q", "?", "gold", tuple(range(count - 1))),)
    return User("u", "test", items, questions)


def encode(texts: list[str]) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray([[len(text), ord(text[-1])] for text in texts], dtype=np.float32)


def test_a_profile_is_the_newest_records_that_every_question_may_see() -> None:
    profile = profile_of(user(5), 7)
    assert profile.items == ("i0", "i1", "i2", "i3")
    assert profile.texts[:2] == ("text 0", "text 1\nanswer 1")
    assert len(profile_of(user(PROFILE_ITEMS + 9), 7).items) == PROFILE_ITEMS
    assert profile_of(user(PROFILE_ITEMS + 9), 7).items[-1] == f"i{PROFILE_ITEMS + 7}"


def test_the_record_that_a_query_asks_is_left_out(tmp_path) -> None:  # type: ignore[no-untyped-def]
    pq.write_table(profiles_to_table([profile_of(user(4), 7)]), tmp_path / "part.parquet")
    profiles = Profiles(read_profiles(tmp_path, [7]), encode)
    examples = [RankingExample("u", 7, query, "?", ("x",), (1.0,)) for query in ("p:i1", "h:i0", "q:i2", "p:other")]
    batch = profiles.of_examples([*examples, RankingExample("stranger", 7, "p:i1", "?", ("x",), (1.0,))])
    assert batch[PRESENT].tolist() == [[1, 0, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert torch.equal(batch[PROFILE][0], batch[PROFILE][3])
    assert read_profiles(tmp_path, [6]) == []
