"""LaMP's scores, against scikit-learn and rouge_score on files made by hand."""

import math

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, mean_squared_error

from hydra_ray.core.lamp_score import Mode, TaskOutputs, per_question, resolve_task, score_task
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError

TITLES = [
    ("The cat sat on the mat", "A cat sat on a mat"),
    ("Running faster than before!", "run fast, before"),
    ("Zürich's 10 best cafés", "The 10 best cafes of Zürich"),
    ("one two three four", "four three two one"),
    ("nothing shared", "completely different words"),
    ("an empty answer", ""),
]
LABELLED = {
    "LaMP_1": [("[1]", "[1]"), ("[2]", " [2]\n"), ("[2]", "[1]"), ("[1]", "1")],
    "LaMP_2M": [("sci-fi", "sci-fi"), ("comedy", "dark comedy"), ("dark comedy", "dark comedy"), ("comedy", "Comedy"),
                ("classic", "no idea")],
    "LaMP_2N": [("politics", "politics"), ("food & drink", "food and drink"), ("sports", " sports "),
                ("travel", "politics")],
}  # fmt: skip
RATED = [("5", "5"), ("1", "4"), ("3", "bad"), ("4", ""), ("2", "3.5"), ("1", "none"), ("3", "1"), ("4", " 4.0 ")]


def outputs(task_id: str, texts: list[str], where: str = "golds.json") -> TaskOutputs:
    return TaskOutputs(where, task_id, [(f"q{i}", text) for i, text in enumerate(texts)])


def scored(task_id: str, pairs: list[tuple[str, str]], mode: Mode = "lamp"):  # type: ignore[no-untyped-def]
    golds = outputs(task_id, [gold for gold, _ in pairs])
    return score_task(golds, outputs(task_id, [text for _, text in pairs], "preds.json"), resolve_task(golds), mode)


@pytest.mark.parametrize("task_id", LABELLED)
def test_labels_are_scored_as_scikit_learn_does(task_id: str) -> None:
    labels = load_task(task_id.lower()).labels
    pairs = LABELLED[task_id]
    true = [labels.index(gold) for gold, _ in pairs]
    found = [labels.index(text.strip()) if text.strip() in labels else -1 for _, text in pairs]
    metrics = scored(task_id, pairs).metrics
    assert metrics["accuracy"] == pytest.approx(accuracy_score(true, found), abs=1e-9)
    f1 = f1_score(true, found, labels=range(len(labels)), average="macro", zero_division=0)
    assert metrics["f1"] == pytest.approx(f1, abs=1e-9)


def test_ratings_are_scored_as_scikit_learn_does() -> None:
    true = [float(gold) for gold, _ in RATED]
    # What is no number is the farther end of the scale: of 3 the upper one.
    found = [5.0, 4.0, 5.0, 1.0, 3.5, 5.0, 1.0, 4.0]
    metrics = scored("LaMP_3", RATED).metrics
    assert metrics["MAE"] == pytest.approx(mean_absolute_error(true, found), abs=1e-9)
    assert metrics["RMSE"] == pytest.approx(math.sqrt(mean_squared_error(true, found)), abs=1e-9)


@pytest.mark.parametrize("task_id", ["LaMP_4", "LaMP_5", "LaMP_6", "LaMP_7"])
def test_texts_are_scored_as_rouge_score_does(task_id: str) -> None:
    reference = RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
    found = [reference.score(gold, text.strip()) for gold, text in TITLES]
    metrics = scored(task_id, TITLES).metrics
    assert metrics["rouge-1"] == pytest.approx(np.mean([score["rouge1"].fmeasure for score in found]), abs=1e-9)
    assert metrics["rouge-L"] == pytest.approx(np.mean([score["rougeL"].fmeasure for score in found]), abs=1e-9)


def test_by_hand() -> None:
    # 6 and 6 words of which 4 are shared; 4 and 3 words of which one is.
    assert scored("LaMP_4", TITLES[:2]).values["rouge-1"] == pytest.approx([4 / 6, 2 / 7])
    assert scored("LaMP_1", LABELLED["LaMP_1"]).metrics == {"accuracy": 0.5, "f1": pytest.approx((0.5 + 2 / 3) / 2)}
    assert scored("LaMP_3", RATED[:3]).metrics == {"MAE": pytest.approx(5 / 3), "RMSE": pytest.approx((13 / 3) ** 0.5)}


def test_our_reading_finds_labels_and_numbers_in_answers() -> None:
    assert scored("LaMP_1", [("[1]", "1"), ("[2]", "The answer is [2].")], "ours").metrics["accuracy"] == 1
    assert scored("LaMP_2N", LABELLED["LaMP_2N"], "ours").metrics["accuracy"] == 0.75
    assert scored("LaMP_3", [("4", "Score: 4.0"), ("5", "five stars")], "ours").metrics["MAE"] == 0
    assert scored("LaMP_4", [("The end", "Headline: The end")], "ours").metrics["rouge-1"] == 1


ODD = [("1", "7"), ("1", "nan"), ("4", "inf"), ("2", "-3"), ("5", "5")]


def test_numbers_off_the_scale_are_counted_as_unreadable() -> None:
    ours = scored("LaMP_3", ODD, "ours")
    assert ours.unreadable == ("q0", "q1", "q2", "q3")
    assert ours.values["absolute_error"].tolist() == [4, 4, 3, 3, 0]
    theirs = scored("LaMP_3", ODD, "lamp")
    assert theirs.unreadable == ours.unreadable
    # LaMP takes finite numbers as they are; on nan and inf its scorer stops.
    assert theirs.values["absolute_error"].tolist() == [6, 4, 3, 5, 0]


def test_unreadable_labels_and_texts_are_counted() -> None:
    assert scored("LaMP_2M", LABELLED["LaMP_2M"]).unreadable == ("q3", "q4")
    assert scored("LaMP_5", TITLES).unreadable == ("q5",)


def test_each_question_is_listed_with_what_it_adds() -> None:
    rows = per_question(scored("LaMP_3", [("5", "4"), ("1", "1")]))
    assert rows == [
        {"id": "q0", "gold": "5", "prediction": "4", "absolute_error": 1.0, "squared_error": 1.0},
        {"id": "q1", "gold": "1", "prediction": "1", "absolute_error": 0.0, "squared_error": 0.0},
    ]


def test_predictions_may_stand_in_any_order() -> None:
    golds = outputs("LaMP_1", ["[1]", "[2]"])
    found = TaskOutputs("preds.json", "LaMP_1", [("q1", "[2]"), ("q0", "[1]")])
    assert score_task(golds, found, load_task("lamp_1")).metrics["accuracy"] == 1


@pytest.mark.parametrize(("text", "task"), [("comedy", "lamp_2m"), ("politics", "lamp_2n")])
def test_the_labels_say_which_lamp_2_it_is(text: str, task: str) -> None:
    golds = outputs("LaMP_2", [text, text])
    assert resolve_task(golds).name == task
    assert score_task(golds, outputs("LaMP_2", [text, "x"]), resolve_task(golds)).metrics["accuracy"] == 0.5


def test_the_caller_names_the_task_of_oppus_label_files() -> None:
    movies = outputs("LaMP_8", ["comedy"])
    assert resolve_task(movies, "LaMP_2M").name == "lamp_2m"
    news = outputs("LaMP_2", ["politics"])
    assert resolve_task(news, "LaMP_2N").name == "lamp_2n"


def message(golds: TaskOutputs, found: TaskOutputs, name: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        score_task(golds, found, resolve_task(golds, name))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_ids_that_do_not_fit_are_named() -> None:
    golds = outputs("LaMP_1", ["[1]"] * 6)
    found = TaskOutputs("preds.json", "LaMP_1", [("q0", "[1]"), ("q0", "[2]"), ("q9", "[1]"), ("q1", "[1]")])
    line = message(golds, found)
    assert line.startswith("preds.json: 1 repeated (q0); 4 missing (q2, q3, q4, ...); 1 extra (q9): ")
    assert "golds.json" in line
    twice = TaskOutputs("golds.json", "LaMP_1", [("q0", "[1]"), ("q0", "[1]")])
    assert message(twice, twice).startswith("golds.json: 1 repeated (q0)")
    assert "holds no outputs" in message(outputs("LaMP_1", []), found)


def test_another_tasks_files_are_refused() -> None:
    golds = outputs("LaMP_4", ["a"])
    assert message(golds, outputs("LaMP_5", ["a"], "preds.json")).startswith("preds.json: holds outputs of LaMP_5")
    assert message(golds, golds, "LaMP_5").startswith("golds.json: holds outputs of LaMP_4, not of LaMP_5")
    ratings = outputs("LaMP_3", ["5", "6"])
    assert message(ratings, ratings).startswith("golds.json: 1 without an answer of lamp_3 (q1)")
    assert "--task" in message(outputs("my_task", ["a"]), golds)
    with pytest.raises(UserError, match="unknown task 'LaMP_9'"):
        resolve_task(golds, "LaMP_9")
