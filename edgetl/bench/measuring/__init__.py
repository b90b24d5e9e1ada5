"""Measuring: a run of fresh processes, and what each of them does."""
