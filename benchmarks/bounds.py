"""Numbers of a benchmark that must not miss their bounds, and where they are kept for a table."""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

# A file that `run.py` names, to which each benchmark adds its numbers, a line of JSON each.
KEPT = "ISOENERGY_BOUNDS"


@dataclass(frozen=True)
class Bound:
    """A number that must not be above its bound, or not below it.

    Attributes
    ----------
    what : str
        With its unit.
    value, bound : float
    at_least : bool
        Whether the bound is the least allowed.
    """

    what: str
    value: float
    bound: float
    at_least: bool = False

    def missed(self) -> bool:
        """Whether it is; NaN always."""
        held = self.value >= self.bound if self.at_least else self.value <= self.bound
        return not held

    def __str__(self) -> str:
        side = "below" if self.at_least else "above"
        return f"{self.what}: {self.value:.3g}, {side} {self.bound:g}"


def settle(bounds: list[Bound]) -> None:
    """Keep the numbers, and end the process with an error if one misses its bound."""
    if path := os.environ.get(KEPT):
        with Path(path).open("a") as lines:
            lines.writelines(json.dumps(asdict(bound)) + "\n" for bound in bounds)
    if missed := [str(bound) for bound in bounds if bound.missed()]:
        sys.exit("\n".join(missed))
