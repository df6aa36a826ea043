import numpy as np

from hydra_ray.training.joint.concepts import SAMPLE, _sample, kmeans


def test_centres_are_those_of_the_clusters_and_of_unit_length() -> None:
    east, north = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    points = np.stack([east] * 5 + [north] * 5)
    centres = kmeans(points, 2, seed=0)
    assert sorted(centres.round(4).tolist()) == [[0.0, 1.0], [1.0, 0.0]]
    assert np.array_equal(kmeans(points, 2, seed=0), centres)


def test_fewer_points_than_centres_are_filled_up_with_directions() -> None:
    centres = kmeans(np.array([[3.0, 4.0]], np.float32), 3, seed=0)
    assert centres.dtype == np.float32
    np.testing.assert_allclose(centres[0], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-6)


def test_many_sentences_are_sampled_the_same_every_time() -> None:
    sentences = [f"sentence {i:05d}" for i in range(SAMPLE + 500)]
    drawn = _sample(sentences, 1)
    assert len(drawn) == len(set(drawn)) == SAMPLE
    assert drawn == sorted(drawn) == _sample(sentences, 1) != _sample(sentences, 2)
    assert _sample(sentences[:10], 1) == sentences[:10]
