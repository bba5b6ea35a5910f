"""A registry: names to classes or functions, refusing duplicates and naming what it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from isoenergy.errors import InputError

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries of one kind, added with a decorator and fetched by name.

    Parameters
    ----------
    kind : str
        What an entry is, for messages, e.g. ``"SAE architecture"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds an entry.

        Raises
        ------
        ValueError
            If the name is taken.
        """

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"the {self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise InputError(
                f"there is no {self.kind} {name!r}; known are {', '.join(sorted(self._entries))}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
