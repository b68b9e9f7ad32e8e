"""Incidents: evidence of a site in, related evidence as one evolving record out."""
