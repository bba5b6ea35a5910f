"""Stage measure: every metric, one function each."""
