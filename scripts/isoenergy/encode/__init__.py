"""Stage encode: sparse codes of whole stores."""
