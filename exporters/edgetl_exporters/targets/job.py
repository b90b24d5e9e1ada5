"""The input of every target's proof, and how its embeddings become a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof, ProofKind
from edgetl.stats import Proportion
from edgetl.types import Array, Embeddings, Pixels, to_json
from edgetl_exporters import parity


@dataclasses.dataclass(frozen=True)
class ProofJob:
    """A written bundle, and photos whose float embeddings are known.

    Attributes:
        bundle: whose variants are proved.
        tensors: uint8 [n, h, w, 3], the photos as its models take them.
        expected: float32 [n, d], the float network's embeddings of them; None without a float network.
        classifier: the network's own last layer, float32 [c, d] and [c], if it has one.
        truth: int [n], the photos' classes as that layer counts them; None if they are not labelled.
        few: how many of the photos an emulator embeds: about one second each.
    """

    bundle: Bundle
    tensors: Pixels
    expected: Embeddings | None
    classifier: tuple[Array, Array] | None = None
    truth: Array | None = None
    few: int = 20

    def sample(self) -> ProofJob:
        """The same with `few` photos at most, evenly spread."""
        chosen = np.linspace(0, len(self.tensors) - 1, min(self.few, len(self.tensors))).astype(int)
        truth = None if self.truth is None else self.truth[chosen]
        expected = None if self.expected is None else self.expected[chosen]
        return dataclasses.replace(self, tensors=self.tensors[chosen], expected=expected, truth=truth)

    def proof(
        self, target: str, variant: str, proved_on: str, kind: ProofKind, embeddings: Embeddings, details: Mapping[str, Any] | None = None
    ) -> Proof:
        """The row of a variant's embeddings float32 [n, d] of the photos.

        Beside the cosines, `details` holds the share of photos with the same nearest other photo as in float, and the share for which the
        network's own classifier names the same class as in float.
        """
        compared = None if self.expected is None else parity.measure(self.expected, embeddings, 0.0)
        agreement: dict[str, Any] = {} if compared is None else {"neighbour_agreement": compared.neighbour_agreement}
        top1 = None
        if self.classifier is not None:
            named = _classes(self.classifier, embeddings)
            top1 = self._share(named, self.truth)
            if self.expected is not None:
                float_ = _classes(self.classifier, self.expected)
                agreement |= {"class_agreement": self._share(named, float_), "float_top1": self._share(float_, self.truth)}
        return Proof(
            target,
            variant,
            proved_on,
            kind,
            len(embeddings),
            None if compared is None else compared.cosine_mean,
            None if compared is None else compared.cosine_min,
            top1,
            to_json({**agreement, **(details or {})}),
        )

    @staticmethod
    def _share(classes: Array, others: Array | None) -> Proportion | None:
        return None if others is None else Proportion(int((classes == others).sum()), len(classes))


def _classes(classifier: tuple[Array, Array], embeddings: Embeddings) -> Array:
    """The best class of each embedding; with several levels the classifier reads the last part, the last stage."""
    weights, bias = classifier
    best: Array = (embeddings[:, -weights.shape[1] :] @ weights.T + bias).argmax(1)
    return best
