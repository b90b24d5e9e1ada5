"""What a backbone can be opened from."""
