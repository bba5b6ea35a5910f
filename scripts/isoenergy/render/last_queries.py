"""Figure 6: Figure 23 for the last model alone (SPEC 6.2)."""

from __future__ import annotations

from isoenergy.render import queries

OF = queries.OF
MODELS, SAES = -1, 1
TABLES, METRICS = queries.TABLES, queries.METRICS
gather, draw = queries.gather, queries.draw
