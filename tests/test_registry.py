import pytest

from isoenergy.errors import InputError
from isoenergy.registry import Registry


@pytest.fixture
def shapes():
    registry = Registry("shape")
    registry.register("square")("four sides")
    registry.register("circle")("none")
    return registry


def test_an_entry_is_found_by_its_name(shapes):
    assert shapes["square"] == "four sides"
    assert len(shapes) == 2


def test_names_come_sorted(shapes):
    assert list(shapes) == ["circle", "square"]


def test_the_decorator_gives_back_what_it_registers(shapes):
    class Star:
        pass

    assert shapes.register("star")(Star) is Star
    assert shapes["star"] is Star


def test_a_second_entry_of_a_name_is_refused_and_the_first_stays(shapes):
    with pytest.raises(ValueError, match="the shape 'square' is registered twice"):
        shapes.register("square")("five sides")
    assert shapes["square"] == "four sides"


def test_an_unknown_name_is_told_with_the_known_ones(shapes):
    with pytest.raises(InputError, match="no shape 'sqare'; known are circle, square"):
        shapes["sqare"]
