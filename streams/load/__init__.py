"""`plantweave context load`: `files.py` reads a file, `core.load` makes records of it, `publish.py` sends them."""
