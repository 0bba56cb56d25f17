"""CONTRIBUTING.md is true: a family that is added by its five steps keeps every contract."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def test_a_family_is_added_in_five_steps(tmp_path):
    """The steps are followed in a copy of the package, in whose table the new family is alone."""
    ignore = shutil.ignore_patterns("__pycache__", "checkpoints")
    for folder in ("modeling_sslam", "tests/contracts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    for file in ("__init__.py", "conftest.py", "families.py", "labelled_clips.py"):
        shutil.copy(ROOT / "tests" / file, tmp_path / "tests" / file)
    steps = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    assert len(steps) == 4  # the third step has nothing to write
    for file, code in steps:
        with (tmp_path / file).open("a") as target:
            target.write(f"\n{code}")
    with (tmp_path / "tests/families.py").open("a") as target:
        target.write('\nFAMILIES = {"toy": FAMILIES["toy"]}\n')
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    options = ["-q", "-p", "no:cacheprovider", "--ignore=tests/contracts/test_former_checkpoints.py"]
    command = [sys.executable, "-m", "pytest", *options, "tests/contracts"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed, result.stdout[-3000:]
    assert int(passed[1]) >= 40


def test_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^make (\w+)", PAGE, re.MULTILINE))
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_that_it_names_exist():
    for name in set(re.findall(r"`((?:tests|training|modeling_sslam|hub_cards)/[\w/]+(?:\.py)?/?)`", PAGE)):
        assert (ROOT / name).exists(), name
