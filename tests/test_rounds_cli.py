"""`cxrkit rounds` and `cxrkit sweep`: the files that they write, and refusals in one line."""

import numpy as np
import pandas as pd
import pytest
import tiny_models

from cxrkit import rounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images near the threshold of a network that is positive for bright ones, and a plain CSV of them."""
    where = tmp_path_factory.mktemp("films")
    (where / "images").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for k in range(48):
        mean = 0.5 + (k % 2 - 0.5) * 0.08 + rng.normal(0, 0.04)
        (where / "images" / f"{k}.png").write_bytes(tiny_models.png(tiny_models.film(float(mean), seed=k, size=80)))
        split = ("train", "val", "test")[k // 2 % 3]
        rows.append({"file": f"{k}.png", "patient": f"p{k // 2}", "covid": k % 2, "split": split})
    pd.DataFrame(rows).to_csv(where / "images.csv", index=False)
    tiny_models.covid_model(where / "covid", not_shown=["COVID-19"])
    tiny_models.findings_model(where / "findings")
    return where


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_rounds_writes_its_tables_and_whether_rounds_help(folder, tmp_path, run_here):
    """A plain CSV with its images in another folder will do."""
    command = ["rounds", folder / "images.csv", "--root", folder / "images", "--model", folder / "covid"]
    code, said, error = run_here(*command, "--out", "out")
    assert code == 0, error
    text = (tmp_path / "out" / "results.md").read_text()
    assert text in said
    assert "16 test images, 8 with COVID-19" in text
    assert "ot shown to work on real images: COVID-19" in text
    assert f"`cxrkit rounds {folder / 'images.csv'} --root" in text
    names = ["agreement", "flips", "passes", "probs", "rule-flips", "rules", "table"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "figure.png", "results.md", *(f"{name}.csv" for name in names)
    }  # fmt: skip


def test_sweep_writes_every_row_of_its_tables_and_reports_missing_images(folder, tmp_path, run_here, caplog):
    table = pd.read_csv(folder / "images.csv")
    table.loc[table["split"] == "test", "file"] = table["file"].replace({"4.png": "absent.png"})
    table.to_csv(tmp_path / "images.csv", index=False)
    command = ["sweep", "images.csv", "--root", folder / "images", "--model", folder / "covid"]
    code, said, error = run_here(*command, "--grid", "table15", "--grid", "table27", "--seeds", 2)
    assert code == 0, error
    assert "1 of 48 images (absent.png)" in caplog.text
    assert "15 test images" in said
    table = pd.read_csv(tmp_path / "sweep" / "table.csv")
    for name in ("table15", "table27"):
        assert table[table["grid"] == name]["row"].unique().tolist() == ["none", *rounds.GRIDS[name]]
    assert "it has a value here" in said
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {
        "results.md", "table.csv", "flips.csv", "table15.png", "table27.png",
    }  # fmt: skip


@pytest.mark.slow
def test_workers_write_what_one_process_writes(folder, tmp_path, run_here):
    command = ["sweep", folder / "images.csv", "--root", folder / "images", "--model", folder / "covid"]
    command += ["--recipe", "fig11", "--recipe", "J"]
    assert run_here(*command, "--out", "one")[0] == 0
    assert run_here(*command, "--out", "two", "--workers", 2)[0] == 0
    for name in ("table.csv", "flips.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--grid", "table17"], "--grid must be one of table10, "),
        (["rounds", "--model", "findings14-small"], "--model must predict COVID-19; findings14-small predicts Atel"),
        (["rounds", "--workers", "0"], "a cluster needs either workers, from 1, or the address of a scheduler"),
        (["rounds", "--root", "nowhere"], "none of the 48 images of images.csv exists in"),
    ],
)
def test_a_refusal_is_one_line(folder, run_here, arguments, message):
    command, *rest = arguments
    root = [] if "--root" in rest else ["--root", folder / "images"]
    code, _, said = run_here(command, folder / "images.csv", *rest, *root)
    assert code == 2
    assert message in said.splitlines()[-1]
