"""What is loaded already: compared field by field, those that the file does not tell included."""

from __future__ import annotations

import polars as pl
import pytest

from streams.kafka.avro import contracts, writer
from streams.load import kinds


@pytest.mark.parametrize(
    ("field", "was"),
    [("enumeration", [{"key": "0", "value": "idle"}]), ("aliases", ["a"]), ("unit", "bar")],
)
def test_what_a_mapping_no_longer_tells_is_a_change(field: str, was: object) -> None:
    """A map, a list or a text that is there and not in the file is taken away; what is as it was is not sent again."""
    schema = contracts.load(kinds.KINDS["signal"].name).schema
    columns = writer.columns(schema)
    rows = [{"signal_id": name, "source_id": "edge", "address": name, "work_center": "line"} for name in ("s", "t")]
    told = pl.DataFrame(rows)
    bare = {part["name"]: part.get("default") for part in schema["fields"]} | {"enumeration": []}

    def there(**more: object) -> pl.DataFrame:
        return pl.DataFrame([{**bare, **rows[0], **more}, {**bare, **rows[1]}], schema=columns)

    assert kinds.unlike("signal", told, there()).is_empty()
    assert kinds.unlike("signal", told, there(**{field: was}))["signal_id"].to_list() == ["s"]
