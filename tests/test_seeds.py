import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isoenergy.seeds import derive_seed, generator

parts = st.lists(st.one_of(st.integers(), st.text(st.characters(exclude_characters="\0"))))


@given(st.integers(), parts)
def test_seeds_are_what_every_generator_takes(seed, rest):
    rest = [
        part.encode("utf-8", "ignore").decode() if isinstance(part, str) else part for part in rest
    ]
    assert 0 <= derive_seed(seed, *rest) < 2**63


def test_a_seed_is_the_top_63_bits_of_a_sha256():
    digest = int(hashlib.sha256(b"7\x00train\x003").hexdigest(), 16)
    assert derive_seed(7, "train", 3) == digest >> (256 - 63)


def test_jobs_have_different_seeds():
    jobs = [(0,), (1,), (0, "train"), (0, "train", 1), (0, "train", 11), (0, "train", 1, 1)]
    jobs += [(0, 1, "train"), (0, "trai", "n1"), (0, "train1")]
    assert len({derive_seed(*job) for job in jobs}) == len(jobs)


def test_generators_repeat_and_differ_by_job():
    first, again, other = (generator(3, "a", n).integers(0, 2**62, 8) for n in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.intersect1d(first, other).size
