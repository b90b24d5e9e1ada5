"""The algorithms of a head, one a module."""
