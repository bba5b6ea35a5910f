"""Iso-energy: the geometry of vision-language embeddings, by sparse autoencoders.

Reference implementation of "Cross-Modal Redundancy and the Geometry of Vision-Language
Embeddings" (ICLR 2026). One sub-package per stage of the workflow: data, embed, train, encode,
measure, render, report.
"""

__version__ = "0.1.0"
