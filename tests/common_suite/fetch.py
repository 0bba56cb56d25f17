"""Gets the common tests that belong to the installed transformers and makes them importable.

The wheel has no tests; the source distribution has. It is downloaded once per version, with pip, into `.cache/`.
Nothing of it is kept in this repository.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tarfile
import tempfile

import transformers

PACKAGE = "transformers_common_tests"
CACHE = pathlib.Path(__file__).parents[2] / ".cache" / f"transformers-{transformers.__version__}-tests"

# Modules that the common tests import and the source distribution lacks; none of what they test concerns encoders.
MISSING_MODULES = {
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "utils/test_configuration_utils.py": """config_common_kwargs = {
    "return_dict": False,
    "output_hidden_states": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "architectures": ["BertModel"],
    "id2label": {0: "label"},
    "label2id": {"label": "0"},
    "problem_type": "regression",
}
""",
}


def attach() -> None:
    """Puts the package `transformers_common_tests` on the import path, downloading it the first time."""
    if not (CACHE / PACKAGE).is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            package = pathlib.Path(folder) / PACKAGE
            unpack_tests(download(pathlib.Path(folder)), package)
            add_missing_modules(package)
            package.rename(CACHE / PACKAGE)
    sys.path.insert(0, str(CACHE))


def download(folder: pathlib.Path) -> pathlib.Path:
    """Downloads the source distribution of the installed transformers into `folder` and returns its path.

    Raises:
        RuntimeError: pip failed; most likely there is no network.
    """
    requirement = f"transformers=={transformers.__version__}"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-binary", "transformers", "--dest", str(folder)]
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, requirement], capture_output=True, text=True
    )
    if result.returncode:
        raise RuntimeError(f"the common tests of {requirement} cannot be downloaded:\n{result.stderr}")
    return next(folder.glob("transformers-*.tar.gz"))


def unpack_tests(archive: pathlib.Path, package: pathlib.Path) -> None:
    """Writes the files directly below `tests/` of the archive into `package`."""
    package.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            path = pathlib.PurePosixPath(member.name)
            if path.match("transformers-*/tests/*.py") and member.isfile():
                (package / path.name).write_bytes(tar.extractfile(member).read())


def add_missing_modules(package: pathlib.Path) -> None:
    """Writes `MISSING_MODULES` and the files that make folders packages."""
    (package / "__init__.py").touch()
    for name, source in MISSING_MODULES.items():
        path = package / name
        path.parent.mkdir()
        (path.parent / "__init__.py").touch()
        path.write_text(source)
