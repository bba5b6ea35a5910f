"""Stage train: sparse autoencoders, alignment losses and how they are fitted."""
