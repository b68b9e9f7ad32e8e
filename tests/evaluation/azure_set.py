"""A made-up recording of the form of azure_pdm. Enter: rows by file. Leaves: the folder of recorded sets."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

from tests.evaluation import azure

HEADS: Final = {
    "errors": "datetime,machineID,errorID",
    "failures": "datetime,machineID,failure",
    "machines": "machineID,model,age",
    "maint": "datetime,machineID,comp",
}


def recording(folder: Path, **rows: list[str]) -> Path:
    """A folder of recorded sets with one azure_pdm."""
    place = folder / azure.NAME
    place.mkdir()
    for name, head in HEADS.items():
        text = "\n".join([head, *rows.get(name, []), ""])
        (place / f"PdM_{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return folder
