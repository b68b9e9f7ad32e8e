"""Compressed batches: every codec, damage, and bombs."""

from __future__ import annotations

import cramjam
import pytest

from streams.kafka.blocks import codecs as block_codecs
from tests.kafka.batches import Item, batch, changed, fetch

THREE = [Item(b"one"), Item(b"two"), Item(b"three")]
CODECS = range(len(block_codecs.NAMES))


@pytest.mark.parametrize("codec", CODECS, ids=block_codecs.NAMES)
def test_every_codec(codec: int) -> None:
    """A batch of each codec yields the same records section."""
    (block,) = fetch(batch(THREE, codec=codec)).items
    assert block.body == batch(THREE)[61:]


def test_bare_snappy() -> None:
    """Snappy without xerial's framing, as librdkafka may write it, is read too."""
    plain = batch(THREE)
    body = bytes(cramjam.snappy.compress_raw(plain[61:]))
    data = changed(plain[:61] + body, length=49 + len(body), attributes=2)
    (block,) = fetch(data).items
    assert block.body == plain[61:]


@pytest.mark.parametrize("codec", CODECS[1:], ids=block_codecs.NAMES[1:])
def test_damaged_compression_is_a_fault(codec: int) -> None:
    """A records section that does not decompress, under a CRC that fits, is a fault of its batch alone."""
    data = batch(THREE, codec=codec)
    broken = changed(data[:61] + b"\xff" * (len(data) - 61))
    found = fetch(broken + batch(THREE, base=3))
    assert [block.fault for block in found.items] == ["undecodable", None]
    assert found.items[0].detail.startswith(block_codecs.NAMES[codec])
    assert found.position == 6


def test_unknown_codec_is_a_fault() -> None:
    """A codec number that nobody defined is told."""
    (block,) = fetch(changed(batch(THREE), attributes=5)).items
    assert block.detail == "unknown compression codec 5; known are none, gzip, snappy, lz4, zstd"


@pytest.mark.parametrize("codec", CODECS[1:], ids=block_codecs.NAMES[1:])
def test_decompression_bombs_are_bounded(codec: int) -> None:
    """More than the limit is `too_large`, whatever the codec; just the limit is read."""
    data = batch([Item(bytes(200_000))], codec=codec)
    body, size = data[61:], len(batch([Item(bytes(200_000))])) - 61
    assert len(block_codecs.decompress(codec, body, size)) == size
    with pytest.raises(block_codecs.CodecError) as error:
        block_codecs.decompress(codec, body, size - 1)
    assert error.value.too_large


def test_a_bomb_is_a_fault_of_its_batch() -> None:
    """A batch that grows beyond the bound is passed as too_large; its neighbour is read."""
    found = fetch(batch([Item(bytes(block_codecs.MAX_BODY_BYTES + 1))], codec=4) + batch(THREE, base=1))
    assert [block.fault for block in found.items] == ["too_large", None]
