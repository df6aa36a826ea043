import torch

from hydra_ray.models.heads import scores
from hydra_ray.models.retriever_head import WEIGHT, RetrieverHead


def test_the_shared_head_is_the_retriever_and_a_user_weighs_its_products() -> None:
    torch.manual_seed(0)
    query_UD, item_URD, weight_UD = torch.randn(3, 5), torch.randn(3, 4, 5), torch.randn(3, 5)
    head, products_URD = RetrieverHead(5), query_UD[:, None] * item_URD
    plain, own = scores(head(products_URD, {})), scores(head(products_URD, {WEIGHT: weight_UD}))
    assert torch.allclose(plain, torch.einsum("ud,urd->ur", query_UD, item_URD), atol=1e-5)
    assert torch.equal(scores(head(products_URD, head.zeros(3))).argsort(), plain.argsort())
    # The same as another query, by which any index of the items' embeddings can be searched.
    assert torch.allclose(own, torch.einsum("ud,urd->ur", query_UD * (1 + weight_UD), item_URD), atol=1e-5)
