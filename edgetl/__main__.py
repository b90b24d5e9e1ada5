"""`python -m edgetl`: the command line, where its script is not on the PATH."""

from edgetl.cli import main

main(prog_name="edgetl")
