"""Figure 9: cosines of the toy pairs beside those of the first model (SPEC 3.5)."""

from __future__ import annotations

from isoenergy.render import cosines

OF = "toy"
MODELS, SAES = 1, None
TABLE = cosines.TABLE
COLUMNS = cosines.COLUMNS
METRICS = ()

gather = cosines.gather
draw = cosines.draw
