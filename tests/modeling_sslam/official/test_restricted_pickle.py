"""Pickles that must not be opened, and those that may."""

import argparse
import collections
import os
import subprocess
import sys
import types

import pytest
import torch

from modeling_sslam.official.restricted_pickle import InertObject, load_restricted


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, "touch {marker}"),
        Call(eval, "open('{marker}', 'w')"),
        Call(subprocess.Popen, ["touch", "{marker}"]),
        Call(getattr, "text", "upper"),
        Call(torch.hub.load, "repository", "model"),
    ],
    ids=["os.system", "eval", "Popen", "getattr", "hub.load"],
)
def test_a_pickle_that_would_run_code_is_refused(call, zipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": call}, "evil.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"evil.pt .*run.* code.*: refused"):
        load_restricted("evil.pt")
    assert os.listdir(tmp_path) == ["evil.pt"]


def test_classes_of_absent_packages_are_stubbed(tmp_path, monkeypatch):
    """Older fairseq files hold configuration objects; their weights load without fairseq, their code never runs."""
    package = types.ModuleType("fairseq_of_old")

    class FairseqConfig:
        def __init__(self):
            self.value = collections.OrderedDict(a=1)

        def __setstate__(self, state):
            raise AssertionError("ran")

    FairseqConfig.__module__, FairseqConfig.__qualname__ = "fairseq_of_old", "FairseqConfig"
    package.FairseqConfig = FairseqConfig
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "fairseq_of_old", package)
        content = {"cfg": FairseqConfig(), "args": argparse.Namespace(lr=1.0), "model": {"weight": torch.ones(2)}}
        torch.save(content, tmp_path / "old.pt")
    loaded = load_restricted(tmp_path / "old.pt")
    assert torch.equal(loaded["model"]["weight"], torch.ones(2))
    assert type(loaded["cfg"]) is InertObject
    assert type(loaded["args"]) is InertObject
