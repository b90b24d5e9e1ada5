"""The variants of a bundle, and the search for a good int8 one."""
