"""Integer recipes, calibration and what prepares a network for them."""
