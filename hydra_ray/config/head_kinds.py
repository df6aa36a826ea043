"""The kinds of users' heads as far as they need no tensors. `hydra_ray.models.heads` says what each is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hydra_ray.registries import HEADS
from hydra_ray.utils.registry import resolve


@dataclass(frozen=True, slots=True)
class HeadKind:
    """A value of `model.head`.

    Functions and classes may be given as "module:name", which is imported when it is first needed.

    Attributes:
        make: (numbers that it reads of a row, configuration of the model) -> the shared head, a
            `hydra_ray.models.heads.Head` or a class with its interface.
        solver: Fits new users' heads (`hydra_ray.training.user_fit.solver.Solver`); None: there is nothing to fit.
        trained_as: The kind that base and heads are trained as jointly; "": this one.
        routed: Whether a router makes users' heads from their history (`hydra_ray.models.mixture`).
        own_prior: Whether the fit learns a prior in place of `fit.l2`.
        starts_shared: Whether its shared head has the weights of `shared` and no others, so that users' heads may
            start from a base that was trained without any (`fit.start`).
    """

    make: str | Callable[[int, Any], Any]
    solver: str | Callable[[], Any] | None = "hydra_ray.training.user_fit.solver:Descent"
    trained_as: str = ""
    routed: bool = False
    own_prior: bool = False
    starts_shared: bool = False

    def new(self, width: int, model: Any) -> Any:
        """A new shared head. model: the model's configuration."""
        return resolve(self.make)(width, model)

    def new_solver(self) -> Any:
        """What fits new users' heads. For kinds that have such a thing."""
        assert self.solver is not None
        return resolve(self.solver)()


_HEADS, _SOLVERS = "hydra_ray.models.heads", "hydra_ray.training.user_fit.solver"
HEADS.register("dense")(HeadKind(f"{_HEADS}:DenseHead", starts_shared=True))
HEADS.register("low_rank")(HeadKind(f"{_HEADS}:LowRankHead"))
HEADS.register("linear")(HeadKind(f"{_HEADS}:LinearHead", starts_shared=True))
# Trained as `shared`, a base need not learn what users differ in: on the synthetic world `bayesian_linear` heads
# reached .750 on such a base and .892 on that of `linear`.
HEADS.register("bayesian_linear")(
    HeadKind(f"{_HEADS}:LinearHead", f"{_SOLVERS}:UnderPrior", trained_as="linear", own_prior=True, starts_shared=True)
)
HEADS.register("mixture")(HeadKind("hydra_ray.models.mixture:make_facets", None, routed=True))
HEADS.register("shared")(HeadKind(f"{_HEADS}:Head", None))


def head_kind(name: str) -> HeadKind:
    """A registered kind of head. Raises UserError if there is none of this name."""
    found: HeadKind = HEADS.get(name)
    return found


def joint_kind(name: str) -> str:
    """The kind that base and heads of a kind are trained as, which differs where only the fit of new users does."""
    return head_kind(name).trained_as or name
