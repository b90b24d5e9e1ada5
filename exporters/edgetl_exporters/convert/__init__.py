"""One module per conversion between formats."""
