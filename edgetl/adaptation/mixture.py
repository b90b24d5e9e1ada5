"""Held-out logits as a mixture of normal distributions, one per class: the distribution that logits of new photos should have."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.types import Array

_SHRINK = 0.05
_STEPS = 40


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Normal distributions with one shared covariance, in coordinates of the logits minus their mean where it is the identity.

    Attributes:
        projection: logits @ this are the coordinates, float64 [c, c - 1].
        centres: each class's mean, float64 [c, c - 1].
        balance: each class's share of the photos, float64 [c].
    """

    projection: Array
    centres: Array
    balance: Array

    @classmethod
    def fit(cls, held: Array, classes: Array) -> Mixture | None:
        """Fits the mixture; None if a class has fewer than two photos with held-out logits.

        Args:
            held: logits of each photo from a head trained without it, float64 [n, c]; -inf for a class without other photos.
            classes: the class of each, int [n].
        """
        number = held.shape[1]
        usable = np.isfinite(held).all(1)
        held, classes = held[usable], classes[usable]
        counts = np.bincount(classes, minlength=number)
        if counts.min() < 2:
            return None
        # An orthonormal basis of the logits minus their mean, which has no influence on the prediction.
        basis = np.linalg.svd(np.eye(number) - 1 / number)[0][:, : number - 1]
        rows = held @ basis
        means = np.eye(number)[classes].T @ rows / counts[:, None]
        rest = rows - means[classes]
        scatter = rest.T @ rest / max(len(rows) - number, 1)
        level = np.trace(scatter) / (number - 1)
        if not level > 0:
            return None
        whitened = np.linalg.inv(np.linalg.cholesky((1 - _SHRINK) * scatter + _SHRINK * level * np.eye(number - 1))).T
        return cls(basis @ whitened, means @ whitened, counts / counts.sum())

    def likelihood(self, logits: Array) -> Array:
        """Log-likelihood of logits float [n, c] of each photo, up to a constant, nats, float64 [n]."""
        return _log_sum(self._joint(logits @ self.projection, np.zeros(self.centres.shape[1]), 1.0, self.balance))

    def balance_gain(self, logits: Array) -> float:
        """How much better, nats per photo, the logits fit with any class balance than with that of the training.

        In both cases the photos may be shifted and scaled as a whole, so that another light alone makes no difference. (Expectation
        maximisation, Dempster, Laird and Rubin 1977; of the balance as in Saerens, Latinne and Decaestecker 2002.)
        """
        z = logits @ self.projection
        moved = z.mean(0) - self.balance @ self.centres
        same = self._fit_balance(z, moved, free=False)
        return max(self._fit_balance(z, start, free=True) for start in (moved, np.zeros_like(moved))) - same

    def _fit_balance(self, z: Array, offset: Array, *, free: bool) -> float:
        """Mean log-likelihood after fitting an offset, a common spread and, if `free`, the class balance."""
        spread, balance = 1.0, self.balance
        for _ in range(_STEPS):
            joint = self._joint(z, offset, spread, balance)
            shares = np.exp(joint - _log_sum(joint)[:, None])
            if free:
                balance = (shares.sum(0) + self.balance) / (len(z) + 1)  # one photo of the training's balance keeps every share above zero
            offset = (z - shares @ self.centres).mean(0)
            spread = max(float((shares * self._squares(z, offset)).sum()) / z.size, _SHRINK)
        return float(_log_sum(self._joint(z, offset, spread, balance)).mean())

    def _joint(self, z: Array, offset: Array, spread: float, balance: Array) -> Array:
        """Log of each class's share times its density, float64 [n, c]."""
        return np.log(balance) - self._squares(z, offset) / (2 * spread) - z.shape[1] / 2 * np.log(spread)  # type: ignore[no-any-return]

    def _squares(self, z: Array, offset: Array) -> Array:
        """Squared distance of each row from each class's centre, float64 [n, c]."""
        centres = self.centres + offset
        squares: Array = (z * z).sum(1)[:, None] - 2 * z @ centres.T + (centres * centres).sum(1)
        return np.maximum(squares, 0)


def _log_sum(joint: Array) -> Array:
    top = joint.max(1)
    total: Array = top + np.log(np.exp(joint - top[:, None]).sum(1))
    return total
