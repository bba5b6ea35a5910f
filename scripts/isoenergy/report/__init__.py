"""Stage report: one HTML page of every table and figure."""
