"""Stage embed: dual encoders, and the embedding stores they fill."""
