import torch

from hydra_ray.models.dual_encoder import DualEncoder


def test_untrained_it_is_the_dot_product() -> None:
    texts = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [4.0, 0.0, 0.0]])
    query, items = torch.tensor([0, 1]), torch.tensor([[1, 2], [0, 2]])
    assert DualEncoder(3)(texts, query, items).tolist() == [[2.0, 4.0], [2.0, 0.0]]


def test_the_matrix_turns_queries_alone() -> None:
    model = DualEncoder(2)
    assert model.projection is not None
    with torch.no_grad():
        model.projection.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))  # swaps the two numbers
    texts = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    assert model(texts, torch.tensor([0]), torch.tensor([[0, 1]])).tolist() == [[0.0, 5.0]]
    assert [name for name, _ in model.named_parameters()] == ["projection.weight"]
