"""What a fit of users' heads is: whose heads, of which kind, on which answers and which frozen base."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from hydra_ray.config import Config
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.sampling import UserSample
from hydra_ray.core.types import Split, User
from hydra_ray.data.reader import read_users
from hydra_ray.inference.types import Component
from hydra_ray.models.heads import Head
from hydra_ray.pipeline.llm_rows import buckets_of
from hydra_ray.pipeline.ranking_examples import read_ranking_examples
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer, fingerprint, load_scorer
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.features import UserFeatures, empty_features, features_of, fingerprint_of
from hydra_ray.utils.device import CPU

TUNING_USERS = 256
"""Training users that the pull of new heads is chosen on: their mean loss is then known to a few per cent."""
ROWS_AT_ONCE = 50_000
"""Texts, of queries and rows together, whose embeddings are read in one scan."""


@dataclass(frozen=True)
class FitSpec:
    """One fit: whose heads, on which answers and which base. Pickles; every path is absolute.

    chosen: the users who get heads. roles: who trains and who is tested, and on which split's items (None: as their
    rows were made). users: the ingested histories. features: folder of the kept pair embeddings. previous: an
    earlier fit on the same base, whose users with unchanged rows keep their heads, or None.
    """

    config: Config
    component: Component
    kind: str
    splits: tuple[Split, ...]
    chosen: tuple[str, ...]
    answered: Path
    users: Path
    base: Path
    embedding_store: Path | None
    features: Path
    previous: Path | None
    roles: UserSample | None

    def scorer(self, device: torch.device = CPU, budget: int | None = None) -> TrainedScorer:
        """The base, with a head of the kind that is fitted (`bayesian_linear` is trained as `linear`). device, budget:
        see `TrainedScorer`."""
        return TrainedScorer(
            load_scorer(self.base, self.kind, self.config.model.encoder),
            None,
            self.embedding_store,
            device=device,
            budget=budget,
        )

    def head(self, scorer: TrainedScorer) -> Head:
        """The shared head that users' heads are fitted from."""
        head = scorer.scorer.head
        assert isinstance(head, Head)
        return head

    def by_bucket(self) -> dict[int, list[str]]:
        """The users who get heads, by bucket, ascending."""
        found: dict[int, list[str]] = {}
        for user in self.chosen:
            found.setdefault(bucket_of(user, self.config.data.buckets), []).append(user)
        return dict(sorted(found.items()))

    def encoded(self, scorer: TrainedScorer, bucket: int, known: Mapping[str, str] | None = None) -> list[UserFeatures]:
        """A bucket's users and their features, computed now. Whatever else a fit does works from these alone, so that
        a subclass may take them from elsewhere.

        known: user -> fingerprint of rows that need no encoding; users with those come without rows.
        """
        users = {examples[0].user_id: examples for examples in self.examples(bucket, self.splits)}
        marks = {user: fingerprint_of(examples) for user, examples in users.items()}
        changed = [user for user, mark in marks.items() if not known or known.get(user) != mark]
        found = {user.user_id: user for user in encode(scorer, [users[user] for user in changed])}
        width = scorer.scorer.head.width
        return [
            found[user] if user in found else replace(empty_features(user, width), fingerprint=mark)
            for user, mark in marks.items()
        ]

    def tuning_examples(self) -> list[list[RankingExample]]:
        """The ranking examples of up to TUNING_USERS training users who have two queries or more."""
        # Bucket by bucket, so that no more is read than is used.
        found = (examples for bucket in buckets_of(self.answered) for examples in self.examples(bucket, ("train",)))
        return list(islice((examples for examples in found if len(examples) > 1), TUNING_USERS))

    def examples(self, bucket: int, splits: Sequence[Split]) -> Iterator[list[RankingExample]]:
        """The ranking examples of each user of a bucket."""
        for split in splits:
            users = None if self.roles is None else self.roles.read_as(split)
            yield from (
                example
                for example in read_ranking_examples(self.config, self.component, self.answered, [bucket], split, users)
                if example
            )

    def histories(self, users: Collection[str]) -> Iterator[User]:
        """The ingested histories of these users."""
        parts = [(None, users)] if self.roles is None else self.roles.by_source(users)
        for split, ids in parts:
            yield from read_users(self.users, split, ids)

    def spec(self, scorer: TrainedScorer) -> HeadSpec:
        """What the heads are."""
        model, head = self.config.model, scorer.scorer.head
        shapes = head.delta_shapes()
        return HeadSpec(self.kind, model.pair_dim, model.rank, shapes, fingerprint(self.base), self.config.data.buckets)


def encode(scorer: TrainedScorer, users: Sequence[list[RankingExample]]) -> list[UserFeatures]:
    """Features of users from their ranking examples; the kept embeddings of many users' texts are read in one scan."""
    found: list[UserFeatures] = []
    for part in parts_of_users(users):
        examples = [example for of_user in part for example in of_user]
        scorer.prefetch(
            (text for example in examples for text in (example.query, *example.candidates)), encode_missing=True
        )
        pair_embeddings = iter(scorer.pair_embeddings(examples))
        found += [features_of(of_user, list(islice(pair_embeddings, len(of_user)))) for of_user in part]
    return found


def parts_of_users(
    users: Sequence[list[RankingExample]], rows: int = ROWS_AT_ONCE
) -> Iterator[list[list[RankingExample]]]:
    """Users' ranking examples in parts of about as many rows; a user is never cut."""
    part: list[list[RankingExample]] = []
    count = 0
    for examples in users:
        part.append(examples)
        count += sum(1 + len(example.candidates) for example in examples)
        if count >= rows:
            yield part
            part, count = [], 0
    if part:
        yield part
