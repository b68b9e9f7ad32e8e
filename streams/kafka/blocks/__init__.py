"""Record batches in place of records: fetched whole, checked, unpacked, and proven when decoded."""
