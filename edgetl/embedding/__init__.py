"""Photos to embeddings, and the self-test."""
