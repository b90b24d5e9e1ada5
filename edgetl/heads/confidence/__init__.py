"""How sure a head is, and when it rejects."""
