"""Stage toy: pairs drawn from a known process, as an embedding store with its truth beside it."""
