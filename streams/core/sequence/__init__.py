"""Sequences: evidence of a site in, alerts about what followed on what out. Rules are data, see `streams/rules`."""
