"""Files of IT systems as context records: `mapping.py` says what is read, `take.py` reads it, `checks.py` judges it."""
