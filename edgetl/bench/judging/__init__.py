"""Judging: what records say about each other, and about a budget."""
