"""Lance's errors as ours."""

import pytest
from lance.commit import CommitConflictError

from hydra_ray.errors import UserError
from hydra_ray.store.heads.lance_io import ConflictError, LanceError, lance_errors


def test_a_message_is_one_line_without_places_in_rust() -> None:
    raised = ValueError(
        "LanceError(IO): Generic local error: no such\n  file, /home/builder/.cargo/lance-1/src/io.rs:12:34"
    )
    with pytest.raises(LanceError) as caught, lance_errors("heads"):
        raise raised
    assert str(caught.value) == "no such file"
    with pytest.raises(LanceError) as caught, lance_errors("heads"):
        raise OSError("x" * 500)
    assert len(str(caught.value)) == 300


@pytest.mark.parametrize("words", ["No space left on device (os error 28)", "Disk quota exceeded"])
def test_a_full_disk_is_the_users_to_mend(words: str) -> None:
    with (
        pytest.raises(UserError, match=r"^heads: the disk is full .*last published version is intact"),
        lance_errors("heads"),
    ):
        raise OSError(words)


def test_a_conflict_is_another_kind_of_error() -> None:
    with pytest.raises(ConflictError, match="another writer"), lance_errors("heads"):
        raise CommitConflictError("another writer")


@pytest.mark.parametrize(
    "error", [UserError("ours"), LanceError("read before"), ConflictError("before"), KeyError("x")]
)
def test_all_else_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, lance_errors("heads"):
        raise error
    assert caught.value is error
