from hydra_ray.serve.types import InvalidError, InvalidRowsError, RowMistake


def test_mistakes_name_their_field() -> None:
    assert str(InvalidError("items[1].answer", "is none")) == "items[1].answer: is none"


def test_of_many_mistakes_the_first_is_worded_and_the_others_counted() -> None:
    one, two = RowMistake(3, "text", "is missing"), RowMistake(9, "date", "is no date")
    assert str(InvalidRowsError([one])) == "nothing was imported: row 3: text: is missing"
    assert str(InvalidRowsError([one, two])).endswith("row 3: text: is missing; 1 more, see `problems`")
    assert InvalidRowsError([one, two]).problems == (one, two)
