"""Training rows: a prompt and its answer as tokens, of which the answer's and the end token are learned."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from hydra_ray.core.prompts import with_system_prompt
from hydra_ray.errors import UserError
from hydra_ray.models.encoder import readable

_MARK = "PROMPT"


@dataclass(frozen=True, slots=True)
class LoraRow:
    """What a user should answer to a prompt. The question stands at the prompt's end."""

    user_id: str
    prompt: str
    answer: str

    def texts(self, who: str) -> tuple[str, str]:
        """Prompt and answer as a tokenizer can read them. who: begins a message. Raises UserError if one is empty."""
        answer, prompt = readable(self.answer).strip(), readable(self.prompt)
        if not answer:
            raise UserError(f"{who} has an empty answer; leave the row out")
        if not prompt.strip():
            raise UserError(f"{who} has an empty prompt; leave the row out")
        return prompt, answer


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A row as tokens.

    Attributes:
        ids: The prompt in the tokenizer's chat layout, the answer, the end token.
        prompt: How many of them are the prompt's; the others are learned.
        cut: Tokens that the prompt has lost at its front.
    """

    ids: tuple[int, ...]
    prompt: int
    cut: int = 0

    @property
    def learned(self) -> int:
        """How many tokens are learned."""
        return len(self.ids) - self.prompt


@dataclass(frozen=True, slots=True)
class UserRows:
    """A user's rows in order, oldest first; there may be none.

    Attributes:
        user_id: Whose.
        rows: Those to learn from.
        held_out: Those that choose the epoch; None: the share `lora.holdout` of `rows`, the last ones.
    """

    user_id: str
    rows: tuple[TokenRow, ...]
    held_out: tuple[TokenRow, ...] | None = None


class RowTokenizer:
    """Tokenises rows as the LLM is asked: in the tokenizer's chat template where it has one, else after its begin
    token.

    A template that ends in white space is followed by the answer at once, any other by a blank and the answer.
    """

    def __init__(self, tokenizer: Any, max_tokens: int, system: str | None = None, section: str = "lora") -> None:
        """max_tokens: of prompt and answer together. system: stands before every prompt, and is never cut. section: of
        the configuration, which messages name. Raises UserError for a template without the message's text, or that
        takes no system prompt."""
        self._tokenizer, self._max_tokens, self._system, self._section = tokenizer, max_tokens, system, section
        before, found, after = self._render(_MARK).rpartition(_MARK)
        if not found:
            raise UserError(f"{section}: the chat template of the base's tokenizer leaves the message out; mend "
                            "chat_template in tokenizer_config.json")  # fmt: skip
        self._head, self._tail = self._tokens(before), self._tokens(after)
        ending = self._render(_MARK)[-1:]
        self._blank = "" if ending.isspace() else " "

    def __call__(self, row: LoraRow, number: int = 0) -> TokenRow:
        """A row's tokens; the prompt is cut from its front where both do not fit, the answer never.

        number: of the row among the user's, for messages. Raises UserError for an empty answer, an empty prompt and
        an answer that leaves no room for a prompt.
        """
        who = f"{self._section}: row {number} of user {row.user_id!r}"
        prompt, answer = row.texts(who)
        learned = [*self._tokens(self._blank + answer), self._tokenizer.eos_token_id]
        body = self._tokens(self._render(prompt))[len(self._head) :]
        room = self._max_tokens - len(self._head) - len(learned)
        if room <= len(self._tail):
            raise UserError(
                f"{who}: the answer takes {len(learned)} tokens with its end, which leaves no room for a prompt within "
                f"{self._section}.max_tokens={self._max_tokens}; raise it or leave the row out"
            )
        cut = max(0, len(body) - room)
        shown = [*self._head, *body[cut:]]
        return TokenRow((*shown, *learned), len(shown), cut)

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _render(self, prompt: str) -> str:
        """The text before the answer."""
        if not getattr(self._tokenizer, "chat_template", None):
            system = f"{self._system}\n\n" if self._system else ""
            return f"{self._tokenizer.bos_token or ''}{system}{prompt}"
        messages = with_system_prompt([{"role": "user", "content": prompt}], self._system)
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            raise UserError(
                f"{self._section}: the chat template of the base's tokenizer takes no such messages ({error}); "
                "mend chat_template in tokenizer_config.json, or set llm.system_prompt=null"
            ) from None


def tokenise_rows(rows: Iterable[LoraRow], users: Sequence[str], tokenize: Callable[..., TokenRow]) -> list[UserRows]:
    """Rows by user, in the order of `users`, those without any included.

    Args:
        rows: In order, of these users only.
        users: Ids.
        tokenize: A `RowTokenizer`.

    Raises:
        UserError: As `RowTokenizer`, and for a row of another user.
    """
    found: dict[str, list[TokenRow]] = {user: [] for user in users}
    for row in rows:
        if row.user_id not in found:
            raise UserError(f"lora: a row belongs to user {row.user_id!r}, who is not among those to be trained")
        of_user = found[row.user_id]
        of_user.append(tokenize(row, len(of_user)))
    return [UserRows(user, tuple(of_user)) for user, of_user in found.items()]
