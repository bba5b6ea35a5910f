"""The kernels for CUDA, run by Triton's interpreter, against the torch path; `make test-triton`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from isoenergy.train import matching_pursuit

os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="builds of torch for CPUs come without Triton")

from isoenergy.train import fused

FORMS = (fused.choose_by_gram, fused.choose_by_residual)


def problem(rows, n_atoms, dim, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, atoms = (torch.randn(n, dim, generator=generator, dtype=dtype) for n in (rows, n_atoms))
    return x, atoms / atoms.norm(dim=1, keepdim=True)


def expected(x, dictionary, l0, monkeypatch):
    """What torch chooses, step by step with residuals."""
    monkeypatch.setattr(matching_pursuit, "COMPILED", 10**9)
    monkeypatch.setattr(matching_pursuit, "GRAM_LIMIT", 0)
    return matching_pursuit.choose_atoms(x, dictionary, l0)


# Less than a tile, whole tiles, and parts of tiles, of rows, atoms and dimensions.
@pytest.mark.parametrize("choose", FORMS)
@pytest.mark.parametrize("shape", [(3, 5, 7), (64, 256, 32), (70, 300, 45)])
def test_atoms_are_those_of_torch(choose, shape, monkeypatch):
    x, dictionary = problem(*shape)
    assert torch.equal(choose(x, dictionary, 6), expected(x, dictionary, 6, monkeypatch))


@pytest.mark.parametrize("choose", FORMS)
def test_few_rows_differ_in_single_precision(choose, monkeypatch):
    x, dictionary = problem(500, 200, 24, torch.float32)
    differ = choose(x, dictionary, 5) != expected(x, dictionary, 5, monkeypatch)
    assert differ.any(dim=1).float().mean() < 5e-3


@pytest.mark.parametrize("choose", FORMS)
def test_ties_go_to_the_lowest_index_within_and_across_tiles(choose):
    for first, second in ((3, 9), (5, 133), (127, 128)):
        x = torch.zeros(1, 140)
        x[0, [first, second]] = 2.0
        assert choose(x, torch.eye(140), 2)[0].tolist() == [first, second]


@pytest.mark.parametrize("choose", FORMS)
def test_no_rows_have_no_atoms(choose):
    x, dictionary = problem(0, 70, 8)
    assert choose(x, dictionary, 3).shape == (0, 3)


def test_an_atom_may_be_chosen_again(monkeypatch):
    dictionary = torch.tensor([[1.0, 0], [0.8, 0.6]], dtype=torch.float64)
    x = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    for choose in FORMS:
        assert torch.equal(choose(x, dictionary, 4), expected(x, dictionary, 4, monkeypatch))
    assert len(set(expected(x, dictionary, 4, monkeypatch)[0].tolist())) == 2


def test_the_pursuit_takes_the_kernels_where_they_apply(monkeypatch):
    taken = []
    monkeypatch.setattr(matching_pursuit, "_fused", lambda dictionary: True)
    for choose in FORMS:
        name = choose.__name__
        monkeypatch.setattr(fused, name, lambda *a, c=choose, n=name: taken.append(n) or c(*a))
    x, dictionary = problem(9, 40, 12)
    by_gram, by_residual = (
        matching_pursuit.choose_atoms(x[:rows], dictionary, 5) for rows in (9, 1)
    )
    assert taken == ["choose_by_gram", "choose_by_residual"]
    assert torch.equal(by_gram[:1], by_residual)


# What the interpreter does not see: types and layouts that only the compiler checks. It needs no
# GPU to compile for one.
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from isoenergy.train import fused

def compiled(kernel, types, **sizes):
    types = types | dict.fromkeys(sizes, "constexpr")
    signature = {name: types.get(name, "i32") for name in kernel.arg_names}
    fixed = {(kernel.arg_names.index(name),): size for name, size in sizes.items()}
    source = ASTSource(kernel, signature, fixed)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]

for real in ("*fp32", "*fp64"):
    types = dict.fromkeys(("residual", "dictionary", "values", "correlations", "gram"), real)
    types |= {"chosen": "*i64", "indices": "*i32"}
    tile = dict(block_rows=fused._ROWS, block_atoms=fused._ATOMS, block_dims=fused._DIMS)
    ptx = compiled(fused._best_of_tiles, types, **tile)
    assert "tf32" not in ptx
    compiled(fused._choose, types, block=4096)
    compiled(fused._take_best, types, block_tiles=256, block_dims=256)
print("compiled")
"""


def test_the_kernels_compile_for_a_gpu():
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    library = Path(matching_pursuit.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env={**environment, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "compiled\n", done.stderr
