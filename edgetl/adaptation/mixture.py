"""Left-out logits as a mixture of normal distributions, one per class: what the logits of other photos should look like."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.types import Array

_SHRINK = 0.05
_STEPS = 40


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Normal distributions with one shared covariance, in coordinates where it is the identity (those of logits less their mean).

    Attributes:
        projection: logits @ this are the coordinates, float64 [c, c - 1].
        centres: each class's mean, float64 [c, c - 1].
        mix: each class's share of the photos, float64 [c].
    """

    projection: Array
    centres: Array
    mix: Array

    @classmethod
    def of(cls, held: Array, classes: Array) -> Mixture | None:
        """Fits the mixture; None where a class has fewer than two photos that could be left out.

        Args:
            held: logits of each photo from a head trained without it, float64 [n, c]; -inf for a class of which nothing was left.
            classes: the class of each, int [n].
        """
        number = held.shape[1]
        usable = np.isfinite(held).all(1)
        held, classes = held[usable], classes[usable]
        counts = np.bincount(classes, minlength=number)
        if counts.min() < 2:
            return None
        # An orthonormal basis of what is left when the mean of the logits is taken off: their common part says nothing.
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
        """Log-likelihood of each photo up to a constant, nats, float64 [n], of logits float [n, c]."""
        return _log_sum(self._joint(logits @ self.projection, np.zeros(self.centres.shape[1]), 1.0, self.mix))

    def other_mix(self, logits: Array) -> float:
        """How much better, nats per photo, the logits are explained where the classes may come in any shares, instead of in those taught.

        Either way the photos may be moved and spread as a whole, so that another light alone makes no difference. (Expectation
        maximisation, Dempster, Laird and Rubin 1977; of the mix as in Saerens, Latinne and Decaestecker 2002.)
        """
        z = logits @ self.projection
        moved = z.mean(0) - self.mix @ self.centres
        taught = self._fitted(z, moved, free=False)
        return max(self._fitted(z, start, free=True) for start in (moved, np.zeros_like(moved))) - taught

    def _fitted(self, z: Array, offset: Array, *, free: bool) -> float:
        """Mean log-likelihood after fitting an offset, a common spread and, if `free`, the mix."""
        spread, mix = 1.0, self.mix
        for _ in range(_STEPS):
            joint = self._joint(z, offset, spread, mix)
            shares = np.exp(joint - _log_sum(joint)[:, None])
            if free:
                mix = (shares.sum(0) + self.mix) / (len(z) + 1)  # one photo's worth of the taught mix keeps every share above zero
            offset = (z - shares @ self.centres).mean(0)
            spread = max(float((shares * self._squares(z, offset)).sum()) / z.size, _SHRINK)
        return float(_log_sum(self._joint(z, offset, spread, mix)).mean())

    def _joint(self, z: Array, offset: Array, spread: float, mix: Array) -> Array:
        """Log of each class's share times its density, float64 [n, c]."""
        return np.log(mix) - self._squares(z, offset) / (2 * spread) - z.shape[1] / 2 * np.log(spread)  # type: ignore[no-any-return]

    def _squares(self, z: Array, offset: Array) -> Array:
        """Squared distance of each row from each class's centre, float64 [n, c]."""
        centres = self.centres + offset
        squares: Array = (z * z).sum(1)[:, None] - 2 * z @ centres.T + (centres * centres).sum(1)
        return np.maximum(squares, 0)


def _log_sum(joint: Array) -> Array:
    top = joint.max(1)
    total: Array = top + np.log(np.exp(joint - top[:, None]).sum(1))
    return total
