"""What pyproject.toml cannot say: the store's kernels are compiled where Cython, a C compiler and Python's headers are.

Without one of them the build succeeds all the same, and the store runs on NumPy instead (metricstore.numeric.plain).
"""

import sys

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:
    cythonize = None

KERNELS = Extension(
    "metricstore.numeric._kernels",
    ["store/metricstore/numeric/_kernels.pyx"],
    extra_compile_args=["-O3", "-g0"],
    extra_link_args=["-s"],
)

# The kernels compare words of eight bytes whose first byte is the least.
WANTED = cythonize is not None and sys.byteorder == "little"
extensions = cythonize([KERNELS], build_dir="build/cython", quiet=True) if WANTED else []
for extension in extensions:
    extension.optional = True  # said here because cythonize forgets it

setup(ext_modules=extensions)
