"""The model that chooses a retriever per question (RSPG, arXiv 2404.05970): one score for each retriever's text.

Before the LLM is asked (RSPG-Pre) a retriever's text is the prompt with its items, afterwards (RSPG-Post) the prompt
and the answer. To the text's score is added a number of each retriever, which RSPG's model lacks: with it the model
starts as the choice of the retriever that serves most training questions. Scores are learned from the answers' rewards
by `retriever_loss`: KL(softmax(m / t) || softmax(c / u)); questions whose rewards are all equal are left out.

Q questions, R retrievers of the pool, N = Q * R texts, D numbers of an embedding.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hydra_ray.models.dual_encoder import Inputs
from hydra_ray.models.encoder import TextEncoder, encode_table, readable
from hydra_ray.models.token_table import TokenTable


class RetrieverSelector(nn.Module):
    """An encoder, a linear layer and a number of each retriever. Untrained, every retriever has the score 0.

    Attributes:
        pool: The retrievers by name. The scores are in this order, which is stored with the weights.
        encoder: The encoder, where it is trained; None: embeddings come from outside.
    """

    def __init__(self, pool: Sequence[str], width: int, encoder: TextEncoder | None = None) -> None:
        """width: D."""
        super().__init__()
        if len(set(pool)) != len(pool) or len(pool) < 2:
            raise ValueError(f"a pool needs two retrievers or more, each once: {', '.join(pool)}")
        self.pool, self.encoder = tuple(pool), encoder
        self.output = nn.Linear(width, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.prior_R = nn.Parameter(torch.zeros(len(pool)))

    @torch.no_grad()
    def start_from(self, rewards_QR: Tensor, teacher: float, student: float) -> None:
        """Sets the number of each retriever to what serves questions best that are not read.

        That is the mean of the teacher's shares, softmax(m / t), as a score.

        Args:
            rewards_QR: float32; NaN where the LLM gave no answer. Of one question at least all are known.
            teacher: Temperature of the rewards.
            student: Temperature of the scores.
        """
        whole_QR = rewards_QR[~rewards_QR.isnan().any(-1)]
        log_share_R = torch.log_softmax(whole_QR / teacher, -1).logsumexp(0)  # finite however small a share is
        self.prior_R.copy_(student * (log_share_R - log_share_R.mean()))

    def forward(self, texts: Inputs) -> Tensor:
        """Scores, float32 [Q, R]. texts: of all retrievers for the first question, then for the second, and so on."""
        if isinstance(texts, Tensor):
            embedded_ND = texts
        else:
            assert self.encoder is not None
            embedded_ND = self.encoder(texts)
        scores: Tensor = self.output(embedded_ND).view(-1, len(self.pool)) + self.prior_R
        return scores

    def get_extra_state(self) -> dict[str, list[str]]:
        """The pool, so that weights are not read in another order."""
        return {"pool": list(self.pool)}

    def set_extra_state(self, state: dict[str, list[str]]) -> None:
        """Raises ValueError where the weights are another pool's, or of another order."""
        if tuple(state["pool"]) != self.pool:
            raise ValueError(f"the selector was trained for {', '.join(state['pool'])}, not {', '.join(self.pool)}")


def selector_tokens(
    tokenizer: Any, max_tokens: int, prompts: Sequence[str], answers: Sequence[str] | None = None
) -> TokenTable:
    """The texts that a selector reads. Where they are too long, the beginning of the prompt is cut: its question stands
    last, and the answer is what RSPG-Post adds to it.

    An answer that is too long alone is read without the prompt, from its beginning.

    Args:
        tokenizer: The encoder's.
        max_tokens: Of a text.
        prompts: One a text.
        answers: One a text, RSPG-Post; None: prompts alone, RSPG-Pre.
    """
    side = tokenizer.truncation_side
    room = max_tokens - tokenizer.num_special_tokens_to_add(pair=answers is not None)
    rows: list[dict[str, list[int]]] = []
    try:
        for i, prompt in enumerate(prompts):
            tokenizer.truncation_side = "left"
            given: list[str | None] = [readable(prompt), None]
            if answers is not None:
                answer = readable(answers[i])
                long = len(tokenizer(answer, add_special_tokens=False)["input_ids"]) >= room
                given = ["" if long else given[0], answer]
                if long:
                    tokenizer.truncation_side = "right"
            cut = "only_second" if given[0] == "" and given[1] else "only_first"
            rows.append(dict(tokenizer(*given, truncation=cut, max_length=max_tokens)))
    finally:
        tokenizer.truncation_side = side
    return TokenTable.from_lists({name: [row[name] for row in rows] for name in rows[0]})


def relative_embeddings(
    encoder: TextEncoder, retrievers: int, prompts: Sequence[str], answers: Sequence[str] | None = None
) -> Tensor:
    """What a frozen encoder makes of the texts, less the mean over a question's retrievers, float32 [Q, R, D].

    A choice depends on the differences alone, and they are small: all texts of a question hold it, and often the same
    items.

    Args:
        encoder: The encoder.
        retrievers: R.
        prompts: Q * R, of all retrievers for the first question, then for the second, and so on.
        answers: The same for RSPG-Post.
    """
    table = selector_tokens(encoder.tokenizer, encoder.max_tokens, prompts, answers)
    embedded_QRD = torch.from_numpy(encode_table(encoder, table)).view(-1, retrievers, encoder.width)
    return embedded_QRD - embedded_QRD.mean(1, keepdim=True)


@torch.no_grad()
def chosen(scores_QR: Tensor, available_QR: Tensor | None = None) -> Tensor:
    """The places of the retrievers with the highest scores, int64 [Q]; ties go to the first. available_QR: bool."""
    if available_QR is not None:
        scores_QR = scores_QR.masked_fill(~available_QR, -torch.inf)
    return scores_QR.argmax(-1)
