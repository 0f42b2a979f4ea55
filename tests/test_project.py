"""The ground the project stands on: set-up, lock, OpenCV and imgaug, CI rules, layers, sizes, versions."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

import compare_imgaug
import cv2
import numpy as np
import pytest
from checkout import PYTHONS, ROOT, read_lock, tracked_files, versions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cxrkit
from cxrkit.labels import FINDINGS
from cxrkit.triage import _tables

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = read_lock(ROOT / "requirements.lock")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


# --- OpenCV and imgaug -----------------------------------------------------------------------------------------


def test_one_opencv_is_installed_and_it_is_the_headless_one():
    names = [canonicalize_name(found.metadata["Name"]) for found in distributions()]
    assert [name for name in names if name.startswith("opencv")] == ["opencv-python-headless"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads what ELF files link")
def test_cv2_links_neither_libgl_nor_x11():
    package = Path(cv2.__file__).parent
    libraries = [*package.glob("*.so"), *(package.parent / "opencv_python_headless.libs").glob("*.so*")]
    assert package / "cv2.abi3.so" in libraries
    # ldd follows what each of them needs in turn.
    linked = subprocess.run(["ldd", *libraries], capture_output=True, text=True, check=True).stdout
    assert "libavcodec" in linked
    assert re.findall(r"lib(?:GL|GLX|EGL|X11|xcb|Qt\w*)\b\S*", linked) == []


def test_imgaug_imports_on_numpy_2_without_a_display():
    code = (
        "import sys, numpy, imgaug.augmenters; from importlib.metadata import version; "
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''; "
        "print(numpy.__version__.split('.')[0], version('imaug'), 'libGL' in maps, 'libX11' in maps)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == ["2", "0.4.3", "False", "False"]


def test_the_reports_thirteen_operations_run_and_repeat():
    first, second = compare_imgaug.outputs(), compare_imgaug.outputs()
    names = {key.split("|")[0] for key in first} - {compare_imgaug.LIST}
    assert len(names) == 13
    for key, pictures in first.items():
        assert pictures.shape == (12, 96, 80, int(key[-1]))
        assert pictures.dtype == np.uint8
        np.testing.assert_array_equal(pictures, second[key], err_msg=key)
    for channels in (1, 3):
        films = compare_imgaug.films(channels)
        np.testing.assert_array_equal(first[f"{compare_imgaug.LIST}|{channels}"], films)
        unchanged = [name for name in names if np.array_equal(first[f"{name}|{channels}"], films)]
        assert unchanged == []


# --- the lock --------------------------------------------------------------------------------------------------


def test_every_pin_has_hashes():
    assert [pin.name for pin in LOCK if not pin.hashes] == []
    assert len(LOCK) > 150


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_satisfies_pyproject(python):
    chosen = versions(LOCK, python)
    project = PYPROJECT["project"]
    asked = [*project["dependencies"], *PYPROJECT["dependency-groups"]["dev"], *PYPROJECT["build-system"]["requires"]]
    for extra in ("tf", "notebooks", "augment", "jax", "jetson"):
        asked += project["optional-dependencies"][extra]
    environment = {"python_version": python, "sys_platform": "linux", "platform_machine": "x86_64"}
    for line in asked:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name in chosen, f"{line} is not in requirements.lock; run `make lock`."
            assert requirement.specifier.contains(chosen[name]), (
                f"{line}, but the lock has {chosen[name]}: `make lock`."
            )
    assert "opencv-python" not in chosen
    assert Requirement(f"x{project['requires-python']}").specifier.contains(f"{python}.9")


def test_what_is_installed_is_what_the_lock_says():
    chosen = versions(LOCK, f"{sys.version_info.major}.{sys.version_info.minor}")
    installed = {canonicalize_name(found.metadata["Name"]): found.version for found in distributions()}
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        assert {name: installed.get(name) for name in chosen} == chosen


def test_no_file_names_a_registrys_host():
    # In two parts each, so that this file does not name one either.
    parts = [("py", "pi.org"), ("files.python", "hosted"), ("registry.n", "pmjs"), ("conda.ana", "conda")]
    hosts = re.compile("|".join(re.escape(one + other) for one, other in [*parts, ("repo.ana", "conda")]).encode())
    assert [str(path) for path in tracked_files() if hosts.search(path.read_bytes())] == []


# --- set-up: tools/setup.sh with a Python that only writes down what it was asked ---------------------------------

FAKE_PYTHON = """#!/bin/sh
case $1$2 in
-cimport\\ sys*) echo "${FAKE_VERSION:-3.11}"; exit ;;
-cimport\\ ensurepip*) exit "${FAKE_NO_VENV:-0}" ;;
esac
echo "$*" >>"$FAKE_LOG"
case "$1 $2" in
"-m venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
"-m pip") [ -z "${FAKE_PIP_FAILS:-}" ] || exit 1 ;;
esac
[ "$1" != - ] || cat >/dev/null
"""


class SetUp:
    """A copy of what tools/setup.sh reads, and a fake Python."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.python = folder / "fake" / "python3.11"
        self.log = folder / "log"
        (folder / "tools").mkdir()
        (folder / "fake").mkdir()
        shutil.copy(ROOT / "tools/setup.sh", folder / "tools")
        (folder / "requirements.lock").write_text("a==1\n", encoding="utf-8")
        (folder / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
        self.python.write_text(FAKE_PYTHON, encoding="utf-8")
        self.python.chmod(0o755)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Begin a set-up."""
        return subprocess.Popen(
            ["sh", "tools/setup.sh"],
            cwd=self.folder,
            env={"PATH": f"{self.folder / 'fake'}:/usr/bin:/bin", "FAKE_LOG": str(self.log), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, **environment: str) -> tuple[int, str, list[str]]:
        """Exit code, what was said, and the calls of Python that changed something."""
        self.log.write_text("", encoding="utf-8")
        process = self.start(**environment)
        said = process.communicate()[1]
        return process.returncode, said, self.log.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def set_up(tmp_path):
    return SetUp(tmp_path)


def kinds(calls: list[str]) -> list[str]:
    """Which steps were taken."""
    found = {"-m venv": "venv", "--require-hashes": "lock", "--editable": "project"}
    return [kind for call in calls for sign, kind in found.items() if sign in call]


def test_a_first_set_up_makes_the_environment_from_the_lock_with_hashes(set_up):
    code, said, calls = set_up()
    assert (code, kinds(calls)) == (0, ["venv", "lock", "project"])
    assert "making .venv with python3.11" in said
    assert "--no-deps --require-hashes -r requirements.lock" in calls[1]
    assert "--no-build-isolation --no-index --editable ." in calls[-2]
    assert "serve.link_template()" in calls[-1]


def test_a_second_set_up_does_nothing_and_says_nothing(set_up):
    set_up()
    assert set_up() == (0, "", [])


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_is_brought_up_to_date_in_place(set_up, name):
    set_up()
    with (set_up.folder / name).open("a", encoding="utf-8") as file:
        file.write("b==2\n")
    code, said, calls = set_up()
    assert (code, kinds(calls)) == (0, ["lock", "project"])
    assert "bringing .venv up to date" in said
    assert set_up() == (0, "", [])


def test_a_set_up_that_was_cut_off_starts_afresh(set_up):
    code, _, calls = set_up(FAKE_PIP_FAILS="1")
    assert code != 0
    assert kinds(calls) == ["venv", "lock"]
    assert kinds(set_up()[2]) == ["venv", "lock", "project"]


def test_an_update_that_was_cut_off_starts_afresh(set_up):
    set_up()
    (set_up.folder / "requirements.lock").write_text("a==2\n", encoding="utf-8")
    assert set_up(FAKE_PIP_FAILS="1")[0] != 0
    assert kinds(set_up()[2]) == ["venv", "lock", "project"]


@pytest.mark.skipif(shutil.which("flock") is None, reason="set-ups wait for one another where there is flock")
def test_of_two_set_ups_at_once_one_waits_for_the_other(set_up):
    both = [set_up.start(), set_up.start()]
    assert [process.communicate() and process.returncode for process in both] == [0, 0]
    assert kinds(set_up.log.read_text(encoding="utf-8").splitlines()) == ["venv", "lock", "project"]


def test_another_python_makes_another_environment_only_when_it_is_named(set_up):
    set_up()
    assert kinds(set_up(PYTHON=str(set_up.python), FAKE_VERSION="3.11")[2]) == []
    other = set_up.folder / "fake" / "other"
    other.write_text(FAKE_PYTHON.replace("${FAKE_VERSION:-3.11}", "3.13"), encoding="utf-8")
    other.chmod(0o755)
    assert kinds(set_up(PYTHON=str(other))[2]) == ["venv", "lock", "project"]
    assert kinds(set_up()[2]) == []


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"FAKE_VERSION": "3.10"}, "no Python 3.11, 3.12 or 3.13 found; install one, or name it: make demo PYTHON="),
        (
            {"PYTHON": "python3.11", "FAKE_VERSION": "3.14"},
            "PYTHON=python3.11 is 3.14; cxrkit needs Python 3.11, 3.12 or",
        ),
        (
            {"PYTHON": "no-such-python"},
            "PYTHON=no-such-python is not a Python; cxrkit needs Python 3.11, 3.12 or 3.13.",
        ),
        ({"FAKE_NO_VENV": "1"}, "has no venv or ensurepip module; on Debian or Ubuntu install python3.11-venv"),
    ],
)
def test_a_python_that_will_not_do_is_refused_in_one_line(set_up, environment, message):
    # Every Python of this machine is hidden behind the fake one.
    for name in ("python3.12", "python3.13", "python3", "python"):
        shutil.copy(set_up.python, set_up.folder / "fake" / name)
    code, said, calls = set_up(**environment)
    assert (code, calls) == (1, [])
    assert message in said
    assert len(said.splitlines()) == 1


# --- make, CI --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["tools/setup.sh", ".ci/run", "binder/postBuild", "binder/start"])
def test_a_shell_script_parses_and_may_be_executed(script):
    subprocess.run(["sh", "-n", ROOT / script], check=True)
    assert os.access(ROOT / script, os.X_OK)


def dry_run(target: str) -> list[str]:
    # `make test` runs this test: a make below another one says which folder it enters.
    command = ["make", "--no-print-directory", "-n", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()


def test_make_test_sets_itself_up_first_and_ends_with_pytest():
    steps = dry_run("test")
    assert steps[0] == "sh tools/setup.sh"
    assert steps[-1] == ".venv/bin/python -m pytest"
    assert [step for step in steps if "ruff check" in step or "ruff format --check" in step or step.endswith("mypy")]
    assert ".venv/bin/python tools/build_notebooks.py --check" in steps


def test_make_demo_sets_itself_up_first():
    assert dry_run("demo")[0] == "sh tools/setup.sh"


def test_ci_runs_make_test_last_and_forbids_skips():
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "exec make test"
    assert "export CI=true" in lines


@pytest.mark.parametrize("kind", ["test", "module"])
@pytest.mark.parametrize(("ci", "outcome"), [("true", "failed"), ("", "skipped")])
def test_a_skip_is_a_failure_only_in_ci(tmp_path, kind, ci, outcome):
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    body = {
        "test": "import pytest\ndef test_it():\n    pytest.skip('no browser')\n",
        "module": "import pytest\npytest.importorskip('no_such_module', reason='no browser')\ndef test_it(): pass\n",
    }
    (tmp_path / "test_case.py").write_text(body[kind], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
    )
    said = done.stdout
    if outcome == "failed":
        assert done.returncode != 0
        assert "which CI=true forbids: " in said
        assert "no browser" in said
    else:
        assert "1 skipped" in said


def test_an_expected_failure_is_no_skip_in_ci(tmp_path):
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    (tmp_path / "test_case.py").write_text("import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "1 xfailed" in done.stdout) == (0, True)


# --- layers ----------------------------------------------------------------------------------------------------

# CONTRIBUTING.md, "Layers"; after the bar, modules that help those before it.
LAYERS = {
    -2: {"words"},
    -1: {"_film"},
    0: {"labels"} | {"_dicom", "quality", "_folder", "_journal", "_memory", "_rendered", "_terminal", "fetch"},
    1: {"images", "phantom", "metrics", "augment"} | {"_tables", "exercises", "samples"},
    2: {"published", "manifest", "engine", "models"} | {"_heatmap"},
    3: {"rounds", "train", "explain", "lungs"} | {"augment_trial", "course", "datasets", "environment", "scoring"},
    4: {"reading", "followup", "deploy", "experiments"} | {"rounds_trial", "survey", "_drawing", "_widgets"},
    5: {"report", "triage", "serve"}
    | {"_panel", "_strip", "_dashboard_cli", "_experiment_cli", "_jetson_cli", "_model_cli", "_rounds_cli"}
    | {"_train_cli"},
    6: {"augment_report", "device_report", "experiments_report", "rounds_report", "rounds_strip", "shortcuts_report"}
    | {"panels", "cli"}
    | {"demo", "model_card", "_augment_widgets"},
    7: {"augment_app", "rounds_app", "shortcuts_app", "__main__"},
    8: {"app"},
}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}
MAY_IMPORT_TENSORFLOW = {"models", "train", "explain"}


def imports_of(path: Path) -> set[str]:
    """Full names of what a file imports when it is imported; an import inside a function is for those who call it."""
    found = set()
    package = ["cxrkit", *path.relative_to(ROOT / "cxrkit").parts[:-1]]
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{source}.{alias.name}" for alias in node.names}
    return found


def modules() -> dict[str, set[str]]:
    """What each module of the package imports; a folder counts as one module."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "cxrkit").rglob("*.py")):
        name = path.relative_to(ROOT / "cxrkit").parts[0].removesuffix(".py")
        found.setdefault(name, set()).update(imports_of(path))
    return found


def test_every_module_has_a_layer():
    without = set(modules()) - set(LAYER_OF) - {"__init__"}
    assert without == set(), "Give each a layer here and, if it is for users, in CONTRIBUTING.md."


def test_a_module_imports_only_from_lower_layers():
    wrong = [
        f"{name} (layer {LAYER_OF[name]}) imports {other} (layer {LAYER_OF[other]})"
        for name, imported in modules().items()
        if name in LAYER_OF
        for other in {full.split(".")[1] for full in imported if full.startswith("cxrkit.")}
        if other in LAYER_OF and other != name and LAYER_OF[other] >= LAYER_OF[name]
    ]
    assert wrong == []


def test_only_three_modules_import_tensorflow():
    others = sorted(f"cxrkit.{name}" for name in set(modules()) - MAY_IMPORT_TENSORFLOW - {"__init__", "__main__"})
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'tensorflow', 'keras', 'tf_keras_vis', 'tf2onnx', 'jax'} & set(sys.modules)\n"
        "    assert not heavy, f'{name} imports {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *others], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


EXCEPTION = re.compile(r"#\s*(?:noqa|type:\s*ignore)")


def test_every_exception_from_ruff_or_mypy_has_its_reason_beside_it():
    without = []
    for path in tracked_files():
        lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".py" else []
        for number, (line, above) in enumerate(zip(lines, ["", *lines], strict=False), 1):
            if EXCEPTION.search(line) and " - " not in line and not above.lstrip().startswith("# "):
                without.append(f"{path.relative_to(ROOT)}:{number}")
    assert without == []


# --- versions, documents, sizes --------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere():
    said = PYPROJECT["project"]["version"]
    assert cxrkit.__version__ == said
    assert version("cxrkit") == said
    assert re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1] == said
    released = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert next(entry for entry in released if entry != "Unreleased") == said


def test_the_licence_is_apache_2_in_full():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text.split()) > 1500


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_a_document_names_only_make_targets_and_files_that_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= make_targets()
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_names_only_commands_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|`\.venv/bin/|^\.venv/bin/)cxrkit ([a-z]+)", text, re.MULTILINE))
    assert "triage" in named
    for command in sorted(named):
        done = subprocess.run([sys.executable, "-m", "cxrkit", command, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_readme_names_every_column_that_triage_writes():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    # One finding stands for the fourteen.
    assert [c for c in _tables.COLUMNS if f"`{c}`" not in text and c.removeprefix("prob_") not in FINDINGS[1:]] == []


def test_what_is_said_to_be_no_medical_device_is_said_in_the_readme():
    assert "not a medical device" in (ROOT / "README.md").read_text(encoding="utf-8").lower()


def test_a_clone_stays_small():
    sizes = {path.relative_to(ROOT): path.stat().st_size for path in tracked_files()}
    weights = sum(size for path, size in sizes.items() if path.is_relative_to("cxrkit/networks/weights"))
    pictures = sum(size for path, size in sizes.items() if path.suffix in {".png", ".jpg", ".svg", ".webp", ".gif"})
    assert weights < 16e6
    assert pictures < 10e6
    assert {str(path) for path, size in sizes.items() if size > 5e6} <= {
        str(path) for path in sizes if path.is_relative_to("cxrkit/networks/weights")
    }
