"""The linear algebra of the heads."""
