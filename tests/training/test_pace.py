from hydra_ray.training.pace import Pace


def test_a_line_every_few_seconds_says_what_is_left() -> None:
    now, lines = 0.0, list[str]()
    pace = Pace(lines.append, 2, lambda: now)
    for epoch in range(2):
        for number in range(1, 5):
            now += 2.0
            pace.step(epoch, number, 4)
    assert lines == ["epoch 1/2 step 3/4 ETA 10 s", "epoch 2/2 step 2/4 ETA 4 s"]


def test_a_training_that_goes_on_counts_its_own_steps_alone() -> None:
    now, lines = 0.0, list[str]()
    pace = Pace(lines.append, 3, lambda: now)
    now = 30.0
    pace.step(2, 1, 2)
    assert lines == ["epoch 3/3 step 1/2 ETA 30 s"]
