"""A task begins with context as new as its state. Enters: the offsets in its state record. Leaves: once they are read.

The worker that had the task may have read further than this one has by now; labels told from newer context must not be
told again from older.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from streams.kafka.restore import DataLoss
from streams.kafka.shell import ContextSource

log = logging.getLogger(__name__)

# A million records take some seconds; what takes longer than this is told as the reason, and tried again.
WAIT_S: Final = 120.0
ASK_S: Final = 2.0


class ContextBehind(RuntimeError):
    """The context that a state was computed with is not read in time; the text says what is missing."""


async def reach(
    store: ContextSource, wanted: Mapping[str, int], task: str, *, accept_loss: bool = False, limit_s: float = WAIT_S
) -> None:
    """Return once `store` has read up to `wanted` ("topic/partition": offset); topics it does not read are left out.

    Raises `ContextBehind` after `limit_s`, and `DataLoss` where a topic ends before: it was emptied or made anew. With
    `accept_loss` the latter is only told.
    """
    began, ends = time.monotonic(), dict[str, int]()
    while missing := _missing(store.current.offsets, wanted):
        gone = {place: at for place, at in missing.items() if ends.get(place, at) < at}
        if gone:
            told = "; ".join(f"{place} ends at {ends[place]}, used up to {at}" for place, at in sorted(gone.items()))
            if not accept_loss:
                raise DataLoss(_lost(task, told))
            log.warning("%s: goes on with less context than its state was computed with (%s)", task, told)
            wanted = {place: at for place, at in wanted.items() if place not in gone}
            continue
        seconds = time.monotonic() - began
        places = ", ".join(f"{place} up to {at}" for place, at in sorted(missing.items()))
        if seconds > limit_s:
            raise ContextBehind(
                f"{task}: waited {seconds:.0f} s for context that its state was computed with ({places}). Check that "
                f"the partitions of these topics have a leader; the log says where reading them fails."
            )
        if seconds > ASK_S:
            log.info("task waits for context", extra={"task": task, "missing": places, "seconds": round(seconds, 1)})
        await store.changed(min(ASK_S, limit_s))
        ends = dict(await store.ends())


def _missing(offsets: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, int]:
    """What is wanted and not read yet, of the topics that are read at all."""
    return {place: at for place, at in wanted.items() if offsets.get(place, at) < at}


def _lost(task: str, told: str) -> str:
    service = task.partition("/")[0]
    return (
        f"{task}: context was deleted after it had been used ({told}). Load it again, or restore the topic; to go on "
        f"with what there is, run `plantweave worker {service} --accept-data-loss` once."
    )
