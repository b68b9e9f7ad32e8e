"""The context store: `store.py` reads, `decode.py` makes rows, `table.py` keeps versions, `position.py` waits."""

from streams.kafka.context.store import ContextStore

__all__ = ["ContextStore"]
