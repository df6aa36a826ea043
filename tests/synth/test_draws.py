from hydra_ray.synth.draws import Draws


def test_a_stream_is_a_function_of_its_parts() -> None:
    first, again, other = Draws("world", 1), Draws("world", 1), Draws("world", 2)
    numbers = [first.uniform() for _ in range(1100)]  # beyond the first block
    assert [again.uniform() for _ in range(1100)] == numbers
    assert [other.uniform() for _ in range(1100)] != numbers
    assert all(0 <= number < 1 for number in numbers)
    assert 0.45 < sum(numbers) / len(numbers) < 0.55


def test_whole_numbers_reach_both_ends() -> None:
    draws = Draws("ends")
    assert {draws.below(3) for _ in range(200)} == {0, 1, 2}
    assert {draws.between(4, 6) for _ in range(200)} == {4, 5, 6}
    assert {draws.pick("ab") for _ in range(200)} == {"a", "b"}


def test_a_sample_holds_different_ones_and_leaves_the_options() -> None:
    options = list(range(10))
    found = Draws("sample").sample(options, 6)
    assert len(set(found)) == 6
    assert set(found) <= set(range(10))
    assert options == list(range(10))
    assert sorted(Draws("all").sample(options, 10)) == options
