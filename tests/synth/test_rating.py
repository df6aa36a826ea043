from hydra_ray.synth.rating_words import SCALES


def test_scales_are_monotone() -> None:
    assert all(list(scale) == sorted(scale) and set(scale) <= set(range(1, 6)) for scale in SCALES.values())
