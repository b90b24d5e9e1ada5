"""Publishes what a camera sees, for other programs."""
