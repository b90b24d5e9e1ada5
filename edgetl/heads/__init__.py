"""Heads: linear classifiers of cached embeddings, trained in milliseconds from one shared state."""

from edgetl.heads.head import Head
from edgetl.heads.learner import Fit, Learner

__all__ = ["Fit", "Head", "Learner"]
