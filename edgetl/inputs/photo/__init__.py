"""Photos: opening, preparing, measuring."""
