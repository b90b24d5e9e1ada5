"""Which backbone suits these photos."""
