"""Every text that a verb prints, one module per noun; results on stdout, warnings, errors and advice on stderr."""

from edgetl.cli.output.common import print_json, show, write_text

__all__ = ["print_json", "show", "write_text"]
