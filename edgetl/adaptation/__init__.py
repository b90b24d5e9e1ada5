"""Adapts a head to unlabelled photos of a new place or camera."""
