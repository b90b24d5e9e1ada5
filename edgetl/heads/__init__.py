"""Heads: linear classifiers of cached embeddings, trained in milliseconds from one shared state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetl.heads.head import Head

if TYPE_CHECKING:
    from edgetl.heads.learner import Fit, Learner

__all__ = ["Fit", "Head", "Learner"]


def __getattr__(name: str) -> Any:
    """Loads the learner when it is first used: predicting needs only a head."""
    if name not in ("Fit", "Learner"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edgetl.heads import learner

    return getattr(learner, name)
