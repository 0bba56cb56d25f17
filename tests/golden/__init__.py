"""Recorded numbers of the official implementations, and the handlers that hold this package against them.

Numbers were recorded where MKL, which computes PyTorch's Fourier transforms on CPUs, ran the code that all processors
share. Its code for newer ones rounds differently: the logarithm of a quiet mel band beside a loud one moves by up to
3.5e-3, more than front ends are held to. MKL offers the setting below for reproducible numbers and reads it at its
first use, hence here, before anything computes. Without MKL it has no effect.
"""

import os

os.environ.setdefault("MKL_CBWR", "AVX")
