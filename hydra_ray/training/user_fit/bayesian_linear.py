"""The `bayesian_linear` head: shared head plus a linear residual of the log-odds under a Gaussian prior, solved.

A row's log-odds are o + w · f, with o the shared head's, f = [h, 1] the head's hidden state and a constant, and
w ~ N(0, diag(1 / precision)) the user's residual. That is a mixed-effects logistic regression; w is its posterior mode,
found by Newton's method for all users at once, its uncertainty Laplace's approximation (Rasmussen and Williams 2006,
sections 3.4 and 3.5; Bishop 2006, section 4.5). The problem is convex, the solution unique: no epochs, no stopping.
A user with few rows stays near the shared head, one without rows is exactly there.

Shapes: U users, R rows, F = Z + 1 features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_ray.errors import UserError
from hydra_ray.models.heads import Deltas, Head, scores
from hydra_ray.training.user_fit.padded_users import PaddedUsers, refuse_nonfinite

NEWTON_STEPS = 50
"""At most; 4 to 8 do unless the prior is nearly flat."""
HALVINGS = 30
"""Of a Newton step that does not raise the log-posterior: 2^-30 of it is nothing in float32."""


@dataclass(frozen=True, slots=True)
class BayesianLinearFit:
    """Posterior mode w [U, F] of the residual, weights then bias, and the posterior variances [U, F] of its entries."""

    w: Tensor
    variance: Tensor


@torch.no_grad()
def shared_head_features(head: Head, rows: PaddedUsers) -> tuple[Tensor, Tensor]:
    """The shared head's hidden states h [U, R, Z] and its log-odds [U, R] on the rows."""
    head.eval()
    h_URZ = head.hidden(rows.z, {})
    return h_URZ, scores(head.output(h_URZ, {}))


@torch.no_grad()
def fit_bayesian_linear(
    h_URZ: Tensor, offset_UR: Tensor, label_UR: Tensor, mask_UR: Tensor, precision_F: Tensor
) -> BayesianLinearFit:
    """Each user's residual, independent of the other users.

    h, offset: see `shared_head_features`. label: in [0, 1]. mask: 1 where the row exists. precision: of the prior, one
    number per weight and the bias's last, [Z + 1]. In the dtype and on the device of h. Raises UserError where rows
    that exist hold NaN or infinity, or a precision is not positive.
    """
    if not bool((torch.isfinite(precision_F) & (precision_F > 0)).all()):
        raise UserError(
            f"fit: the prior's precision must be positive and finite, its smallest is {float(precision_F.min())} and "
            f"its largest {float(precision_F.max())}; estimate it again on training users whose features are finite"
        )
    present = mask_UR > 0
    h_URZ = h_URZ.masked_fill(~present.unsqueeze(-1), 0)
    offset_UR, label_UR = offset_UR.masked_fill(~present, 0), label_UR.masked_fill(~present, 0)
    for what, values in (("hidden states", h_URZ), ("the shared head's scores", offset_UR), ("labels", label_UR)):
        refuse_nonfinite(what, values)
    f_URF = torch.cat([h_URZ, present.to(h_URZ.dtype).unsqueeze(-1)], -1)
    solve = _fit_by_rows if f_URF.shape[1] < f_URF.shape[2] else _fit_by_features
    return solve(f_URF, offset_UR, label_UR, mask_UR, precision_F.to(f_URF))


def bayesian_linear_deltas(w_UF: Tensor) -> Deltas:
    """The residuals as deltas of a linear head: the log-odds are the second logit less the first, half of w to each."""
    half_UF2 = torch.stack([-w_UF / 2, w_UF / 2], -1)
    return {"out_weight": half_UF2[:, :-1].contiguous(), "out_bias": half_UF2[:, -1].contiguous()}


def _fit_by_rows(
    f_URF: Tensor, offset_UR: Tensor, label_UR: Tensor, mask_UR: Tensor, precision_F: Tensor
) -> BayesianLinearFit:
    """R x R systems: w = diag(1 / precision) F' a for one number a per row (Rasmussen and Williams, algorithm 3.1)."""
    scaled_URF = f_URF / precision_F
    kernel_URR = scaled_URF @ f_URF.mT
    identity = torch.eye(kernel_URR.shape[-1]).to(kernel_URR)

    def residual(a_UR: Tensor) -> Tensor:
        return (kernel_URR @ a_UR.unsqueeze(-1)).squeeze(-1)

    def factor(slope_UR: Tensor) -> Tensor:
        root_UR = slope_UR.sqrt()
        chol: Tensor = torch.linalg.cholesky(identity + root_UR.unsqueeze(-1) * kernel_URR * root_UR.unsqueeze(-2))
        return chol

    def newton(a_UR: Tensor, g_UR: Tensor, p_UR: Tensor) -> Tensor:
        slope_UR = _slope(p_UR, mask_UR)
        root_UR = slope_UR.sqrt()
        b_UR = slope_UR * g_UR + (label_UR - p_UR) * mask_UR
        inner = torch.cholesky_solve((root_UR * residual(b_UR)).unsqueeze(-1), factor(slope_UR)).squeeze(-1)
        return b_UR - root_UR * inner

    def penalty(a_UR: Tensor, g_UR: Tensor) -> Tensor:
        return (a_UR * g_UR).sum(1) / 2

    a_UR, p_UR = _climb(torch.zeros_like(offset_UR), residual, newton, penalty, offset_UR, label_UR, mask_UR)
    slope_UR = _slope(p_UR, mask_UR)
    known_URF = torch.linalg.solve_triangular(factor(slope_UR), slope_UR.sqrt().unsqueeze(-1) * scaled_URF, upper=False)
    variance_UF = (1 / precision_F - known_URF.square().sum(1)).clamp(min=0)
    return BayesianLinearFit((scaled_URF.mT @ a_UR.unsqueeze(-1)).squeeze(-1), variance_UF)


def _fit_by_features(
    f_URF: Tensor, offset_UR: Tensor, label_UR: Tensor, mask_UR: Tensor, precision_F: Tensor
) -> BayesianLinearFit:
    """F x F systems, for users with more rows than features."""

    def residual(w_UF: Tensor) -> Tensor:
        return (f_URF @ w_UF.unsqueeze(-1)).squeeze(-1)

    def factor(p_UR: Tensor) -> Tensor:
        curvature_UFF = f_URF.mT @ (_slope(p_UR, mask_UR).unsqueeze(-1) * f_URF)
        chol: Tensor = torch.linalg.cholesky(curvature_UFF + torch.diag(precision_F))
        return chol

    def newton(w_UF: Tensor, g_UR: Tensor, p_UR: Tensor) -> Tensor:
        error_UR = (label_UR - p_UR) * mask_UR
        slope_UF = (f_URF.mT @ error_UR.unsqueeze(-1)).squeeze(-1) - precision_F * w_UF
        return w_UF + torch.cholesky_solve(slope_UF.unsqueeze(-1), factor(p_UR)).squeeze(-1)

    def penalty(w_UF: Tensor, g_UR: Tensor) -> Tensor:
        return (w_UF.square() * precision_F).sum(1) / 2

    zero_UF = torch.zeros_like(f_URF[:, 0])
    w_UF, p_UR = _climb(zero_UF, residual, newton, penalty, offset_UR, label_UR, mask_UR)
    return BayesianLinearFit(w_UF, torch.cholesky_inverse(factor(p_UR)).diagonal(dim1=-2, dim2=-1))


def _climb(
    x_U: Tensor,
    residual: Callable[[Tensor], Tensor],
    newton: Callable[[Tensor, Tensor, Tensor], Tensor],
    penalty: Callable[[Tensor, Tensor], Tensor],
    offset_UR: Tensor,
    label_UR: Tensor,
    mask_UR: Tensor,
) -> tuple[Tensor, Tensor]:
    """Newton's method with step halving on the log-posterior of parameters x [U, ...]; returns x and p(label) [U, R].

    residual: x -> its log-odds g [U, R], linear. newton: (x, g, p) -> the next x. penalty: (x, g) -> -log prior [U].
    """
    tolerance = 10 * torch.finfo(x_U.dtype).eps

    def value(x: Tensor, g: Tensor) -> Tensor:
        s_UR = offset_UR + g
        loss_UR = (torch.nn.functional.softplus(s_UR) - label_UR * s_UR) * mask_UR
        return -loss_UR.sum(1) - penalty(x, g)

    g_UR = torch.zeros_like(offset_UR)
    value_U = value(x_U, g_UR)
    for _ in range(NEWTON_STEPS):
        step_U = newton(x_U, g_UR, torch.sigmoid(offset_UR + g_UR)) - x_U
        step_g_UR = residual(step_U)
        size_U = torch.ones_like(value_U).unsqueeze(1)
        for _ in range(HALVINGS):
            new_U = value(x_U + size_U * step_U, g_UR + size_U * step_g_UR)
            worse_U = new_U < value_U - tolerance * (1 + value_U.abs())
            if not bool(worse_U.any()):
                break
            size_U = torch.where(worse_U.unsqueeze(1), size_U / 2, size_U)
        x_U, g_UR = x_U + size_U * step_U, g_UR + size_U * step_g_UR
        gain_U, value_U = new_U - value_U, new_U
        if bool((gain_U <= tolerance * (1 + value_U.abs())).all()):
            break
    return x_U, torch.sigmoid(offset_UR + g_UR)


def _slope(p_UR: Tensor, mask_UR: Tensor) -> Tensor:
    """The slope of the sigmoid at each row; 0 where there is no row."""
    return p_UR * (1 - p_UR) * mask_UR
