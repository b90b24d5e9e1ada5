"""Chooses a bundle for given photos."""
