"""Which texts an encoder reads for a step of the run: everything that the step will look up, by the users' buckets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hydra_ray.config import Config, ModelConfig
from hydra_ray.config.head_kinds import head_kind
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import Split, User
from hydra_ray.data.reader import read_users
from hydra_ray.inference.types import Component
from hydra_ray.models.sentence_embeddings import encoded_pieces
from hydra_ray.pipeline.llm_rows import buckets_of
from hydra_ray.pipeline.ranking_examples import read_ranking_examples
from hydra_ray.training.user_fit.profiles import profile_of


class TextSource(Protocol):
    """Pickles; every path is absolute."""

    @property
    def model(self) -> ModelConfig:
        """Whose encoder reads the texts."""

    def buckets(self) -> list[int]:
        """All buckets of users, ascending."""

    def texts(self, buckets: Sequence[int]) -> Iterator[str]:
        """The texts of some buckets; a text may come more than once."""


@dataclass(frozen=True)
class ExampleTexts:
    """What training, fitting and evaluating a component reads.

    Attributes:
        config: As the component reads it (`read_by`).
        component: Which one.
        answered: Folder of the step whose rows are learned from.
        users: Folder of the ingested histories.
        chosen: User -> the split of the data whose items stand for the user; for heads that read profiles.
    """

    config: Config
    component: Component
    answered: Path
    users: Path
    chosen: Mapping[str, Split]

    @property
    def model(self) -> ModelConfig:
        """See TextSource."""
        return self.config.model

    def buckets(self) -> list[int]:
        """See TextSource."""
        return buckets_of(self.answered)

    def texts(self, buckets: Sequence[int]) -> Iterator[str]:
        """See TextSource."""
        model = self.model
        for examples in read_ranking_examples(self.config, self.component, self.answered, buckets):
            found = (text for example in examples for text in (example.query, *example.candidates))
            yield from encoded_pieces(found, model.pair, model.sentences)
        if head_kind(model.head).routed:
            for user in users_of(self.users, self.chosen, buckets, self.config.data.buckets):
                yield from profile_of(user, 0).texts


@dataclass(frozen=True)
class HistoryTexts:
    """Whole histories, which dense retrieval and `adapter.history_similarity` read.

    Attributes:
        config: Of the run.
        users: Folder of the ingested histories.
        chosen: User -> the split of the data whose items stand for the user.
    """

    config: Config
    users: Path
    chosen: Mapping[str, Split]

    @property
    def model(self) -> ModelConfig:
        """See TextSource."""
        return self.config.text_encoder

    def buckets(self) -> list[int]:
        """See TextSource."""
        return sorted({bucket_of(user, self.config.data.buckets) for user in self.chosen})

    def texts(self, buckets: Sequence[int]) -> Iterator[str]:
        """See TextSource."""
        dense, alike = self.config.retrieval.encodes, self.config.adapter.history_similarity
        task = load_task(self.config.data.task)
        for user in users_of(self.users, self.chosen, buckets, self.config.data.buckets):
            own = [*(item.text for item in user.items), *(question.text for question in user.questions)]
            if alike:
                yield from own
            if dense:
                yield from (item.corpus for item in user.items)
                yield from map(task.search_text, own)


def users_of(folder: Path, chosen: Mapping[str, Split], buckets: Sequence[int], count: int) -> Iterator[User]:
    """The chosen users of some of `count` buckets, each from the split that stands for the user."""
    wanted = set(buckets)
    ids = {user for user in chosen if bucket_of(user, count) in wanted}
    splits: tuple[Split, Split] = ("train", "test")
    for split in splits:
        yield from read_users(folder, split, {user for user in ids if chosen[user] == split})
