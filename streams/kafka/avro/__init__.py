"""Avro: contracts, writer schemas, framing, and the ways to encode and decode rows and columns."""
