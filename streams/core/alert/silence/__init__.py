"""Silence told apart: missing signals, frozen and bad ones, silent edge nodes, cut-off zones. `part.py` is its face."""
