"""Opens pickled checkpoints of others without running anything that is written in them.

The work is done by torch's own `weights_only` unpickler, which knows tensors and plain containers and calls nothing
else. fairseq files also pickle objects of configuration classes; those come back as empty stand-ins, so that nobody
needs fairseq.
"""

from __future__ import annotations

import os
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

# Globals of the standard library and of numpy that training states hold and that do no harm as stand-ins.
HARMLESS_GLOBALS = frozenset(
    {
        "argparse.Namespace",
        "typing.Any",
        "pathlib.PosixPath",
        "builtins.dict",
        "builtins.list",
        "builtins.tuple",
        "builtins.str",
        "builtins.int",
        "builtins.float",
        "builtins.bool",
        "_codecs.encode",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    }
)


class InertObject:
    """Stands for a pickled object of a class we do not import: takes any arguments and state, does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


def load_restricted(path: str | os.PathLike) -> Any:
    """Reads a `torch.save` file: tensors and plain containers come back, all other objects as `InertObject`.

    Raises:
        ValueError: the file names a function or class that could run code, or is no `torch.save` file.
    """
    try:
        # The format of torch before 1.6 is not scanned; it may hold tensors and plain containers only.
        unknown = get_unsafe_globals_in_checkpoint(path) if zipfile.is_zipfile(path) else []
        callables = sorted(name for name in unknown if not _is_inert(name))
        if callables:
            raise ValueError(f"{path} names what could run code when opened ({', '.join(callables)}): refused")
        with safe_globals([(InertObject, name) for name in unknown]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except ValueError:
        raise
    except Exception as error:  # a broken or hostile pickle can fail in any way
        raise ValueError(f"{path} is no checkpoint that can be opened without running code: refused") from error


def _is_inert(name: str) -> bool:
    """Whether a stand-in may replace a pickled global: a class (it has a capital letter) of a third-party package.

    Functions, and the rest of the standard library, could act on the machine: a file that names them is refused.
    """
    module, class_name = name.rsplit(".", 1)
    package = IMPORT_MAPPING.get(module, module).split(".")[0]  # torch pickles the module names of Python 2
    return name in HARMLESS_GLOBALS or (package not in sys.stdlib_module_names and class_name[:1].isupper())
