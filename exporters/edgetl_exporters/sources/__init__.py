"""Sources of networks: the table and timm, keras.applications, and your own files."""
