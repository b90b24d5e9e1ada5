"""The learning rule: linear discriminant analysis whose statistics are updated exactly, photo by photo, in any order.

The state of C class slots and embeddings of d values; a fresh one is all zeros:

- `counts` [C], photos per class, and `sums` [C, d] of their power-normalised embeddings; m = sums / counts are the class means;
- `within` [d, d]: W (W + alpha I)^-1, where W is the within-class scatter of :mod:`edgetl.heads.algorithms.lda`. With
  P = I - within it is alpha (W + alpha I)^-1, and all values lie in [-1, 1];
- `squares` [C]: m^T P m, so that a prediction needs one product with `within` and not C of them.

A photo x that comes to (sign +1) or goes from (sign -1) a class of n photos with mean m changes W by g u u^T with u = x - m and
g = sign n / (n + sign) (Welford 1962), hence P by -P u (P u)^T g / (alpha + g u^T P u) (Sherman and Morrison 1950). This is streaming LDA
(Hayes and Kanan 2020) with edgetl's scatter, which is not divided by a count, in place of their fixed shrinkage.

Why this rule, and how exact its state is in float32: docs/evidence/trainer.md.
"""

from __future__ import annotations

from typing import Any

from edgetl_exporters.trainer.expression import FREE, Signature, Tensor

ALPHA = 0.03
"""Default regularisation, in units of squared power-normalised embeddings."""
TEMPERATURE = 8.0
"""The logits times the number of photos are divided by this, at ALPHA: docs/evidence/trainer.md."""

_TINY = 1e-30
_NEVER = 1e30
_APART = 4.0
"""The largest g |u|^2 of a photo: the squared distance of two embeddings of length 1."""

State = dict[str, Tensor]


def add_train(model: Any, dim: int, rooted: int, slots: int, alpha: float) -> None:
    """Adds the signature `train`: (embedding, target, state) -> state.

    `target` [C] is 1 at the photo's class and 0 elsewhere; -1 instead of 1 forgets a learned photo. All zeros change nothing, nor
    does forgetting a photo that cannot have been learned: no scatter with g u u^T leaves less than alpha^2 / (alpha + g |u|^2) of alpha,
    with g |u|^2 <= 4.

    Args:
        model: the model, changed.
        dim: values of an embedding, d.
        rooted: of how many of its last values roots are taken (:mod:`edgetl.heads.linalg.normalisation`).
        slots: the most classes, C.
        alpha: the regularisation.
    """
    signature = Signature.add(model, "train", slots)
    embedding, target, state = signature.tensor("embedding", (1, dim)), signature.tensor("target", (FREE,)), _state(signature, dim)
    x, chosen = _power_normalise(embedding, rooted), target.magnitude() * signature.constant([1.0] * slots).first(target)
    n, sign = (chosen * state["counts"]).sum(0), target.sum(0)
    mean = (chosen.reshape(FREE, 1) * state["sums"]).sum(0) / n.at_least(1)
    apart = x - mean
    along = apart - apart.times(state["within"])
    gain, least = sign * n / (n + sign).at_least(1), alpha**2 / (alpha + _APART)
    left = gain * (apart * along).sum(1).reshape(1) + alpha
    kept = ((left - least / 2) * _NEVER).at_least(0).at_most(1) * (n + sign + 1).at_least(0).at_most(1)
    sign, change, gain = sign * kept, target * kept, gain * kept / left.at_least(least / 2)
    within = state["within"] + along.reshape(dim, 1) * (along * gain)
    counts, sums = state["counts"] + change, state["sums"] + change.reshape(FREE, 1) * x
    moved = mean + sign * apart / (n + sign).at_least(1)
    own = (moved * (moved - moved.times(within))).sum(1).reshape(1)
    means_along = along.times(state["sums"]).reshape(FREE) / state["counts"].at_least(1)
    others = state["squares"] - gain * means_along * means_along
    squares = others + chosen * (own - others)
    state_after = {"counts": counts, "sums": sums, "squares": squares, "within": within}
    signature.finish({"embedding": embedding, "target": target, **state}, state_after)


def add_predict(model: Any, dim: int, rooted: int, slots: int, alpha: float, temperature: float) -> None:
    """Adds the signature `predict`: (embedding, state) -> logits and probabilities [C]; a class without photos has probability 0.

    Args:
        model: the model, changed.
        dim: as for :func:`add_train`.
        rooted: as for :func:`add_train`.
        slots: as for :func:`add_train`.
        alpha: as for :func:`add_train`.
        temperature: the logits x^T A m - m^T A m / 2 with A = (W + alpha I)^-1 are multiplied by the number of photos, as a covariance
            would be divided by it, and divided by this.
    """
    signature = Signature.add(model, "predict", slots)
    embedding, state = signature.tensor("embedding", (1, dim)), _state(signature, dim)
    counts = state["counts"]
    x = _power_normalise(embedding, rooted)
    solved = x - x.times(state["within"])
    along = solved.times(state["sums"]).reshape(FREE) / counts.at_least(1)
    logits = (along - state["squares"] * 0.5) * (counts.sum(0) * (1 / (alpha * temperature)))
    there = counts.at_most(1).at_least(0)
    logits = logits * there + (there - 1) * signature.constant([_NEVER] * slots).first(counts)
    probabilities = logits.reshape(1, FREE).softmax().reshape(FREE) * there
    signature.finish({"embedding": embedding, **state}, {"logits": logits, "probabilities": probabilities})


def _state(signature: Signature, dim: int) -> State:
    shapes = {"counts": (FREE,), "sums": (FREE, dim), "squares": (FREE,), "within": (dim, dim)}
    return {name: signature.tensor(name, shape) for name, shape in shapes.items()}


def _power_normalise(x: Tensor, rooted: int) -> Tensor:
    """:func:`edgetl.heads.linalg.normalisation.power_normalise` of one embedding [1, d]; a zero embedding stays zero."""
    dim = x.shape[1]
    last = x if rooted == dim else x.part(dim - rooted, dim)
    roots = last / last.magnitude().at_least(_TINY).root()
    if rooted < dim:
        roots = x.part(0, dim - rooted).beside(roots * _length(last) / _length(roots))
    return roots / _length(roots)


def _length(x: Tensor) -> Tensor:
    return (x * x).sum(1).at_least(_TINY).root()
