"""Every text that a verb prints, one module per noun; results on stdout, warnings, errors and advice on stderr."""

from edgetl.cli.output.common import PROPORTION, named, print_json, proportion, show, when, write_text

__all__ = ["PROPORTION", "named", "print_json", "proportion", "show", "when", "write_text"]
