"""How many threads the libraries of a benchmark take; to be told before they are imported."""


def told_threads(number: int) -> dict[str, str]:
    """Variables of the environment that tell OpenMP, OpenBLAS and MKL."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(number))
