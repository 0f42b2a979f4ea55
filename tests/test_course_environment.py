"""The check of the machine: what it finds, and what it advises."""

import importlib.metadata
import shutil

import pytest

from cxrkit import networks
from cxrkit.course import _environment, check_machine


def row(what):
    frame = check_machine().set_index("what")
    return frame[frame.index.str.startswith(what)].iloc[0]


def test_this_machine_is_ready():
    frame = check_machine()
    assert set(frame["ok"]) <= {"yes", "optional"}
    assert {f"model {name}" for name in networks.bundled()} <= set(frame["what"])


def test_a_wrong_python_too_little_memory_and_missing_packages_come_with_advice(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_environment, "PYTHONS", ((3, 98), (3, 99)))
    monkeypatch.setattr(_environment, "memory_bytes", lambda: 10**9)
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert tuple(row("Python"))[1:] == ("no", "use Python 3.98 to 3.99")
    assert tuple(row("memory"))[:2] == ("1.0 GB", "no")
    for name, ok in (("pydicom", "no"), ("ipywidgets", "optional"), ("tensorflow-cpu", "optional")):
        assert tuple(row(name))[:2] == ("missing", ok)
        assert "make setup" in row(name)["what to do"]


def test_a_damaged_model_and_no_model_at_all_are_found(monkeypatch, tmp_path):
    name = networks.bundled()[0]
    source = networks.folder_of(name)
    monkeypatch.setattr("cxrkit.networks._predictor._BUNDLED", tmp_path)
    assert row("bundled models")["ok"] == "no"
    shutil.copytree(source, tmp_path / name)
    (tmp_path / name / "model.onnx").write_bytes(b"cut short")
    assert tuple(row(f"model {name}"))[:2] == ("damaged", "no")


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_limit_of_a_container_counts(tmp_path, file):
    machine = _environment.memory_bytes(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    for text, expected in (("1000000\n", 1_000_000), ("max\n", machine)):
        (tmp_path / file).write_text(text)
        assert _environment.memory_bytes(tmp_path) == expected
