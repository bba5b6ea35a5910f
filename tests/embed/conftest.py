import pytest

from isoenergy.errors import InputError


@pytest.fixture
def snapshot():
    """Content and time of every file of a folder."""

    def take(folder):
        return {
            str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return take


@pytest.fixture
def sentence():
    """The one sentence with which a call refuses its input."""

    def of(function, *arguments):
        with pytest.raises(InputError) as told:
            function(*arguments)
        assert "\n" not in str(told.value)
        return str(told.value)

    return of
