"""What can be learned from, one kind a folder."""
