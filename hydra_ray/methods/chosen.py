"""Which methods a comparison shows: those that are named, or all that the configuration permits."""

from collections.abc import Mapping
from dataclasses import dataclass

from hydra_ray.config import Config
from hydra_ray.config.head_kinds import head_kind
from hydra_ray.errors import UserError
from hydra_ray.methods.method import Method, method_named
from hydra_ray.registries import METHODS

ALL = "all"


@dataclass(frozen=True, slots=True)
class ChosenMethods:
    """What is compared.

    Attributes:
        shown: The methods, in the order of the registry.
        named: Those that must not be left out.
        left_out: Method -> why it cannot run, in one line.
    """

    shown: tuple[str, ...]
    named: frozenset[str]
    left_out: Mapping[str, str]

    @property
    def further(self) -> tuple[str, ...]:
        """Those that a run does not show unasked: what `evaluate.methods` has to name."""
        return tuple(name for name in self.shown if not method_named(name).always)


def choose_methods(config: Config, wanted: str) -> ChosenMethods:
    """The methods of a comparison.

    Args:
        config: Of the run. What its `evaluate.methods` names counts as named.
        wanted: `all`, or names with commas between them.

    Raises:
        UserError: A name is no method's, or a method that is named cannot run.
    """
    words = [word for word in (part.strip() for part in wanted.split(",")) if word]
    if not words:
        raise UserError("--methods: names no method; give all, or names with commas between them")
    given = [word for word in words if word != ALL]
    for name in given:
        try:
            METHODS.check(name)
        except UserError as error:
            raise UserError(f"--methods: {error}") from None
    named = dict.fromkeys([*given, *(config.evaluate.methods if ALL in words else ())])
    candidates = METHODS.names() if ALL in words else tuple(named)
    reasons = {name: why for name in candidates if (why := hindrance(config, method_named(name)))}
    for name in named:
        if name in reasons:
            raise UserError(f"--methods: {name} cannot run: {reasons[name]}")
    shown = tuple(name for name in METHODS.names() if name in candidates and name not in reasons)
    return ChosenMethods(shown, frozenset(named), reasons)


def hindrance(config: Config, method: Method) -> str:
    """What a method needs that the configuration does not give, and how to give it; "" if it can run."""
    retrieval = config.retrieval
    names = method.retrievers if method.asks is None else method.asks.retrievers(config)
    if retrieval.ranking is None and any(map(retrieval.reads_ranking, names)):
        return "it retrieves by a ranking, and there is none: set retrieval.ranking to its file"
    if (method.serves_lora or method.serves_weights) and config.llm.base_url is not None:
        return "it trains weights of the LLM, which the run itself must serve: leave out llm.base_url"
    if method.serves_lora and config.llm.in_process:
        return "it trains LoRA adapters of a decoder LM: set llm.serve.engine=vllm with such an LLM"
    if (method.serves_lora or method.serves_weights) and not config.llm.in_process:
        # Here: `methods.lora` registers its methods in their turn.
        from hydra_ray.methods.lora import untrainable

        if why := untrainable(config, adapters=method.serves_lora):
            return why
    if method.adapter == "paper" and not config.evaluate.paper:
        return "evaluate.paper is false"
    if method.adapter == "paper" and config.fit.base_run:
        return "it is trained anew, and fit.base_run keeps an earlier run's bases"
    if method.adapter == "unguarded" and not config.fit.guard:
        return "fit.guard is 0, so that it is the same as hydra"
    if method.adapter == "unguarded" and not head_kind(config.model.head).solver:
        return f"heads of model.head={config.model.head} are not fitted user by user, so that nothing guards them"
    return ""
