"""Redundant gateways: `selection.py` is what stages call, the rest is what it is made of."""
