"""Settings of NumPy's BLAS library, to be made before NumPy is first imported."""

import os

VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def prepare() -> None:
    """One thread, unless the user has chosen: on the small matrix products of this project a second one gains
    little, loses much when another process wants the core, and changes the last bits of the result."""
    for variable in VARIABLES:
        os.environ.setdefault(variable, "1")
