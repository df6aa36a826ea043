import torch

from hydra_ray.config import ModelConfig
from hydra_ray.models.pair_encoders import ConceptEncoder, InteractionEncoder, make_concepts, make_interaction


def test_the_length_of_an_embedding_does_not_matter() -> None:
    torch.manual_seed(0)
    model = InteractionEncoder(6, 4)
    query, candidates = torch.randn(2, 1, 6), torch.randn(2, 3, 6)
    pair = model(query.expand(2, 3, 6), candidates)
    assert pair.shape == (2, 3, 4)
    torch.testing.assert_close(model(5 * query.expand(2, 3, 6), 0.1 * candidates), pair)


def test_a_text_holds_a_concept_if_one_of_its_sentences_does() -> None:
    torch.manual_seed(0)
    model = ConceptEncoder(3, 3, symmetric=True, dropout=0.0)
    with torch.no_grad():
        model.centres.copy_(torch.eye(3))
    one, other = torch.eye(3)[0], torch.eye(3)[1]
    code = model.code(torch.stack([torch.stack([one, other]), torch.stack([one, torch.zeros(3)]), torch.zeros(2, 3)]))
    assert code[0, 0] > 0.99
    assert code[0, 1] > 0.99
    assert code[0, 2] < 0.01
    assert code[1, 0] > 0.99
    assert code[1, 1] < 0.01
    assert code[2].tolist() == [0.0, 0.0, 0.0]  # no sentence, no concept


def test_both_texts_are_read_alike_where_they_are_of_a_kind() -> None:
    torch.manual_seed(0)
    model = ConceptEncoder(4, 5, symmetric=True, dropout=0.0)
    query = torch.randn(2, 3, 4)
    pair = model(query, query.unsqueeze(1))
    torch.testing.assert_close(pair, 4 * model.code(query).square().unsqueeze(1))
    adapter = ConceptEncoder(4, 5, symmetric=False, dropout=0.0)
    assert adapter(query, torch.randn(2, 7, 1, 4)).shape == (2, 7, 5)


def test_widths_come_from_the_configuration() -> None:
    config = ModelConfig(pair_dim=8)
    assert make_interaction(6, config, True).query.weight.shape == (8, 6)
    assert make_concepts(6, config, True).centres.shape == (8, 6)
    assert make_concepts(6, config, True).candidate is None
    assert make_concepts(6, config, False).candidate is not None
