"""Stage render: tables and figures from stored numbers; nothing is computed here."""
