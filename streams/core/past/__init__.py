"""The past, in the log: `index.py` finds the readings of a time that is no longer in memory."""
