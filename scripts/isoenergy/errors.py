"""The one exception for bad input."""


class InputError(ValueError):
    """Input the library refuses, said in one sentence: what, where, what is allowed, what to do."""
