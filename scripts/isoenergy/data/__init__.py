"""Stage data: pictures, captions and labels, as picture shards and a pairs table."""
