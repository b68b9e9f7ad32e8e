"""Late readings correct alerts: `part.py` is what the stage calls, the rest is what it is made of."""
