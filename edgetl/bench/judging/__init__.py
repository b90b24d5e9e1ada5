"""Judging: records against each other, and against a budget."""
