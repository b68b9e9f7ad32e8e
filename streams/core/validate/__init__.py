"""The `validate` stage: `stage.py` is what the shell runs, the rest is what it is made of."""
