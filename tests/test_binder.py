"""Binder: what repo2docker would build of this checkout, by its own generator; nothing is built and nothing fetched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest
import servers
from checkout import PYPROJECT, PYTHONS, ROOT, read_lock, required, tracked_files, versions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Found, not imported: it would bring a container client and its warnings into this process.
REPO2DOCKER = Path(find_spec("repo2docker").origin).parent
BINDER_LOCK = ROOT / "binder/requirements.lock"
BADGE = re.compile(
    r"\[!\[(?P<text>[^\]]+)\]\(https://mybinder\.org/badge_logo\.svg\)\]"
    r"\(https://mybinder\.org/v2/gh/(?P<repository>[^/]+/[^/]+)/HEAD\?urlpath=(?P<urlpath>[^)]+)\)"
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The project's files alone, as Binder gets them."""
    folder = tmp_path_factory.mktemp("clone")
    for path in tracked_files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return folder


@pytest.fixture(scope="module")
def dockerfile(clone):
    """What repo2docker would hand to a container engine: its instructions in order, continued lines joined."""
    command = ["-m", "repo2docker", "--no-build", "--user-id=1000", "--user-name=jovyan"]
    # Binder's machines are amd64; without being told, repo2docker takes this machine's kind.
    command += ["--Repo2Docker.platform=linux/amd64", str(clone)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", done.stdout, flags=re.MULTILINE))
    return [line for line in text.splitlines() if line.strip() and not line.startswith("'")]


def environment_pins() -> dict[str, str]:
    text = (ROOT / "binder/environment.yml").read_text(encoding="utf-8")
    entries = [entry for entry in re.findall(r"^  - (\S+)$", text, re.MULTILINE) if entry != "conda-forge"]
    assert all(re.fullmatch(r"[a-z]+=[\d.]+", entry) for entry in entries)
    return dict(entry.split("=") for entry in entries)


def test_binders_environment_is_read_and_the_roots_is_not(dockerfile):
    read = [line for line in dockerfile if "environment.yml" in line]
    assert read[0] == "COPY --chown=1000:1000 src/binder/environment.yml ${REPO_DIR}/binder/environment.yml"
    assert '--file "binder/environment.yml"' in read[1]
    assert len(read) == 2
    # A reader with conda takes the root's.
    assert (ROOT / "binder/environment.yml").read_bytes() == (ROOT / "environment.yml").read_bytes()


def test_python_and_pip_are_those_that_repo2docker_has_installed_by_then(dockerfile):
    pins = environment_pins()
    python = pins["python"].rsplit(".", 1)[0]
    assert python in PYTHONS
    name = f"environment.py-{python}-linux-64.lock"
    text = (REPO2DOCKER / "buildpacks/conda" / name).read_text(encoding="utf-8")
    before = {package: re.search(rf"/{package}-([\d.]+)-[^/]+\.conda", text)[1] for package in pins}
    assert before == pins, "Pin what repo2docker's own lock has, so that the environment is not solved anew."


def test_postbuild_alone_installs_and_is_run_last_by_the_user_whose_home_the_image_keeps(dockerfile):
    runs = [line for line in dockerfile if line.startswith("RUN")]
    assert [line for line in runs if re.search(r"\bpip3? install|setup\.py|requirements|apt-get install", line)] == []
    assert len([line for line in runs if "env update" in line]) == 1
    after_copy = dockerfile[dockerfile.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/") :]
    steps = [line for line in after_copy if line.startswith(("RUN", "USER"))]
    assert steps[:3] == ["USER ${NB_USER}", "RUN chmod +x binder/postBuild", "RUN ./binder/postBuild"]
    assert steps[3:] == ['RUN chmod +x "${REPO_DIR}/binder/start"']
    assert any("HOME=/home/${NB_USER}" in line for line in dockerfile)
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


@pytest.mark.parametrize("fails_at", ["nothing", "--require-hashes", "course_images"])
def test_postbuild_installs_by_hash_and_a_failing_step_fails_the_build(tmp_path, fails_at):
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(
        f'#!/bin/sh\necho "$*" >>"{log}"\ncase "$*" in *"{fails_at}"*) exit 1 ;; esac\n', encoding="utf-8"
    )
    python.chmod(0o755)
    done = subprocess.run([ROOT / "binder/postBuild"], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    calls = log.read_text(encoding="utf-8").splitlines()
    assert (done.returncode == 0) == (fails_at == "nothing")
    assert calls[0].endswith("--no-deps --require-hashes -r binder/requirements.lock")
    assert fails_at in calls[-1] or done.returncode == 0


@pytest.mark.parametrize(
    ("limit", "threads"),
    [("2.0", "2"), ("4", "4"), ("0.5", "1"), (".5", None), ("", None), (None, None), ("all", None)],
)
def test_start_gives_libraries_as_many_threads_as_binder_gives_cores(limit, threads):
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_INTRA_OP_NUM_THREADS"]
    names += ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"]
    environment = {"PATH": "/usr/bin:/bin"} | ({} if limit is None else {"CPU_LIMIT": limit})
    done = subprocess.run([ROOT / "binder/start", "env"], env=environment, capture_output=True, text=True, check=True)
    said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert {name: said.get(name) for name in names} == dict.fromkeys(names, threads)


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux does")
@pytest.mark.parametrize(("limit", "more"), [("1", 0), ("3", 2)])
def test_a_network_answers_with_that_many_threads(limit, more):
    code = (
        "import os, numpy as np; from cxrkit import networks; import onnxruntime; "
        "count = lambda: len(os.listdir('/proc/self/task')); before = count(); "
        "network = networks.load('covid-small'); network.predict(np.zeros((1, 96, 96), np.float32)); "
        "print(count() - before)"
    )
    environment = {**os.environ, "CPU_LIMIT": limit}
    command = [ROOT / "binder/start", sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == more


def test_binders_lock_pins_the_same_files_as_the_whole_lock():
    def files(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
        return {pin.name: (pin.version, pin.hashes) for pin in read_lock(path)}

    whole, binders = files(ROOT / "requirements.lock"), files(BINDER_LOCK)
    assert {name: whole.get(name) for name in binders} == binders, "Run `make lock`, which writes both."
    assert [name for name, (_, hashes) in binders.items() if not hashes] == []


def test_binders_lock_holds_all_that_a_visitor_needs_and_no_developers_tool():
    chosen = versions(read_lock(BINDER_LOCK), environment_pins()["python"].rsplit(".", 1)[0])
    assert {canonicalize_name(need.name) for need in required("tf", "notebooks")} <= set(chosen)
    tools = {"playwright", "jupyter-repo2docker", "mypy", "ruff", "pytest", "uv", "jax", "opencv-python"}
    assert tools.isdisjoint(chosen)


def test_binders_lock_is_closed_except_for_what_pyproject_leaves_out():
    # It is installed with --no-deps: a package that another needs and that is not there would be seen by no one.
    chosen = versions(read_lock(BINDER_LOCK), f"{sys.version_info.major}.{sys.version_info.minor}")
    missing = {
        f"{name} needs {need.name}"
        for name in chosen
        for need in map(Requirement, requires(name) or [])
        if (need.marker is None or need.marker.evaluate({"extra": ""})) and canonicalize_name(need.name) not in chosen
    }
    left_out = set(PYPROJECT["tool"]["uv"]["exclude-dependencies"])
    assert {need for need in missing if need.rpartition(" needs ")[2] not in left_out} == set()


BADGES = [found.groupdict() for found in BADGE.finditer((ROOT / "README.md").read_text(encoding="utf-8"))]


def test_two_badges_open_the_first_notebook_and_the_dashboard_of_this_repository():
    opened = [unquote(badge["urlpath"]) for badge in BADGES]
    assert opened == ["lab/tree/notebooks/00_start_here.ipynb", "voila/render/notebooks/12_dashboard.ipynb"]
    tracked = {str(path.relative_to(ROOT)) for path in tracked_files()}
    assert {path.removeprefix("lab/tree/").removeprefix("voila/render/") for path in opened} <= tracked
    address = PYPROJECT["project"]["urls"]["Repository"]
    assert {f"https://github.com/{badge['repository']}" for badge in BADGES} == {address}


@pytest.mark.slow
def test_what_the_badges_open_is_served(clone, tmp_path):
    # BinderHub starts JupyterLab's server in the checkout.
    with servers.jupyterlab(clone, tmp_path / "home", "--ServerApp.base_url=/user/someone/") as server:

        def get(path: str) -> str:
            headers = {"Authorization": f"token {server.token}"}
            request = urllib.request.Request(f"{server.url}user/someone/{path}", headers=headers)
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.read().decode()

        lab, dashboard = [badge["urlpath"] for badge in BADGES]
        assert "<title>JupyterLab</title>" in get(lab)
        page = get(dashboard)
        # Our own template, which the notebook names, and the widget that it ends in.
        assert 'id="skeleton"' in page
        assert "application/vnd.jupyter.widget-view+json" in page
        # The lab's page is the same for any path; another address tells whether the notebook is there.
        assert json.loads(get(f"api/contents/{unquote(lab).removeprefix('lab/tree/')}"))["type"] == "notebook"
