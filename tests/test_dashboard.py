"""The dashboard without a browser: what a viewer asks for, and what the page is told."""

import base64
import csv
import io
import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrkit import augment, networks, triage, words
from cxrkit.dashboard import Dashboard, Limits, Session, _view
from cxrkit.dashboard import _samples as samples
from cxrkit.dashboard._page import Page
from cxrkit.dashboard._uploads import Uploads

BY_NAME = {sample.name: sample for sample in samples.every()}


@pytest.fixture(scope="module")
def reader():
    return Session().reader


@pytest.fixture
def session(reader):
    return Session(reader)


@pytest.fixture
def dashboard(session):
    return Dashboard(session)


def ask(dashboard, what, *buffers, **more):
    """Send what a page would send, and return what it is told."""
    told = []
    dashboard.page.send = lambda content, buffers=None: told.append(content)
    dashboard._handle({"do": what, "number": 7, **more}, [memoryview(one) for one in buffers])
    return told


def rows_of(tables, name="combined"):
    return list(csv.DictReader(io.StringIO(tables[name])))


def drop(dashboard, name, data, **more):
    return ask(dashboard, "piece", data, **{"id": "u", "name": name, "size": len(data), "offset": 0, **more})


def test_the_same_file_twice_is_one_image_and_another_of_its_name_gets_a_number(session):
    one, again = (session.add("film.jpg", BY_NAME["heart"].read()) for _ in range(2))
    assert one is again
    for sample in ("clear", "edema"):
        session.add("film.jpg", BY_NAME[sample].read())
    session.add("heart.jpg", BY_NAME["mass"].read())
    session.open_sample("heart")
    names = ["film.jpg", "film (2).jpg", "film (3).jpg", "heart.jpg", "heart (2).jpg"]
    assert [film.name for film in session.films.values()] == names
    assert sorted(row["Image Index"] for row in rows_of(session.tables())) == sorted(names)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("C:\\films\\knee.png", "knee.png"),
        ("../../etc/passwd", "passwd"),
        ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),
        ("evil\u202egnp.exe", "evil gnp.exe"),
        ("\ud800.png", ".png"),
        ("", "film (2)"),
        ("x" * 200 + ".dcm", "x" * 60 + "..." + "x" * 53 + ".dcm"),
    ],
)
def test_of_a_name_the_last_part_is_kept_as_text(session, name, kept):
    assert session.add(name, b"no film").name == kept


def test_rounds_are_those_of_triage(session, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.jpg").write_bytes(BY_NAME["infiltration"].read())
    triage.run(tmp_path / "films", tmp_path / "out", rounds="mean")
    (row,) = rows_of({"combined": (tmp_path / "out" / "combined.csv").read_text(encoding="utf-8")})
    film = session.open_sample("infiltration")
    found = session.run_rounds(film.key)
    assert found.combined[0] == pytest.approx(float(row["prob_COVID-19"]), abs=2e-5)
    said = _view.rounds_values(film, found)
    assert [one["name"] for one in said["each"]] == ["none", *"ABCDEFGHIJ"]
    assert sum(one["positive"] for one in said["each"]) == int(row["rounds_calling"])


def test_no_pixels_of_a_large_film_stay(session):
    large = np.random.default_rng(0).integers(0, 255, (3000, 2000), np.uint8)
    done, data = cv2.imencode(".png", large)
    assert done
    film = session.add("large.png", data.tobytes())
    assert film.reading.radiograph is None
    assert film.shown.shape == (560, 373)


@given(data=st.binary(max_size=200), piece=st.integers(1, 70))
def test_a_file_in_pieces_comes_out_whole(data, piece):
    uploads = Uploads(200)
    offsets = range(0, max(len(data), 1), piece)
    given_back = [uploads.take("a", len(data), at, data[at : at + piece]) for at in offsets]
    assert given_back == [None] * (len(offsets) - 1) + [data]


@pytest.mark.parametrize(
    "pieces",
    [
        [("a", 4, 0, b"12"), ("a", 4, 3, b"4")],
        [("a", 4, 0, b"12"), ("b", 4, 2, b"34")],
        [("a", 4, 0, b"12345")],
        [("a", 4, 0, b"12"), ("a", 6, 2, b"34")],
        [("a", 4, 2, b"34")],
        [("a", -1, 0, b"1")],
        [("a", 101, 0, b"1")],
    ],
)
def test_pieces_that_do_not_follow_or_are_too_large_are_refused_and_nothing_is_kept(pieces):
    uploads = Uploads(100)
    for piece in pieces[:-1]:
        assert uploads.take(*piece) is None
    with pytest.raises(ValueError, match=r"did not arrive in order; drop it again|at most 100 bytes; got (-1|101)"):
        uploads.take(*pieces[-1])
    assert uploads._data == b""


def test_under_voila_a_copy_of_the_page_goes_with_the_answer_and_elsewhere_none(dashboard, monkeypatch):
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    (plain,) = {name for name in dashboard._repr_mimebundle_() if name.startswith("application/")}
    assert plain == "application/vnd.jupyter.widget-view+json"
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    copy = json.loads(json.dumps(dashboard._repr_mimebundle_()["application/vnd.cxrkit.page+json"]))
    assert "export function early(" in copy["module"]
    assert ".cxrkit" in copy["style"]
    assert set(copy["traits"]) == set(Page.class_own_traits(sync=True))
    assert copy["traits"]["films"][0]["name"] == "covid.jpg"
    sent = base64.b64decode(copy["traits"]["shown"]["maps"]["Hernia"]["base64"])
    assert sent == dashboard.page.shown["maps"]["Hernia"]


def test_an_image_is_shown_with_its_own_rounds_and_keeps_them_when_it_is_chosen_again(dashboard, monkeypatch):
    ask(dashboard, "rounds", key="covid")
    before = dashboard.page.rounds
    assert (before["key"], len(before["each"])) == ("covid", 11)
    assert ask(dashboard, "sample", name="covid") == [{"number": 7}]
    assert dashboard.page.rounds == before
    assert ask(dashboard, "sample", name="heart") == [{"number": 7}]
    assert (dashboard.page.shown["key"], dashboard.page.rounds) == ("heart", {})
    # Rounds of an image that was left meanwhile are not predicted.
    predicted = []
    monkeypatch.setattr(dashboard.session, "run_rounds", predicted.append)
    assert ask(dashboard, "rounds", key="covid") == [{"number": 7}]
    assert (predicted, dashboard.page.rounds) == ([], {})


def test_a_dropped_file_is_read_when_it_is_whole_or_told_why_not(dashboard):
    data = BY_NAME["edema"].read()
    half = len(data) // 2
    assert drop(dashboard, "mine.jpg", data[:half], size=len(data)) == [{"number": 7}]
    assert dashboard.page.shown["key"] == "covid"
    drop(dashboard, "mine.jpg", data[half:], size=len(data), offset=half)
    shown = dashboard.page.shown
    assert (shown["name"], shown["truth"], shown["simulated"]) == ("mine.jpg", None, False)
    ask(dashboard, "unread", name="folder", size=4096)
    why = {"key": "unreadable.upload.by_browser", "fields": {}}
    assert dashboard.page.shown == {"key": "film-2", "name": "folder", "status": "error", "why": why}
    assert [row["name"] for row in dashboard.page.films] == ["covid.jpg", "mine.jpg", "folder"]
    reasons = {row["Image Index"]: row["reason"] for row in rows_of(dashboard.page.tables)}
    assert reasons["folder"].startswith("the browser could not read the file. Choose it again")


def test_what_is_no_frontal_chest_is_shown_with_the_reason_and_nothing_is_predicted(dashboard):
    drop(dashboard, "mine.jpg", BY_NAME["leg"].read())
    shown, row = dashboard.page.shown, dashboard.page.films[-1]
    assert (shown["status"], shown["why"]) == ("rejected", {"key": "rejected.image", "fields": {}})
    assert cv2.imdecode(np.frombuffer(shown["picture"], np.uint8), 0).shape == (shown["height"], shown["width"])
    assert {"covid", "findings", "maps"} & set(shown) == set()
    assert (row["prob"], row["positive"], len(row["thumb"]) > 100) == (None, [], True)
    assert ask(dashboard, "rounds", key=shown["key"])[0]["error"] == "an image without a prediction has no rounds."
    counts = {name: len(rows_of(dashboard.page.tables, name)) for name in dashboard.page.tables}
    assert counts == {"covid": 1, "not_covid": 0, "combined": 2}
    # The panels predict what they show.
    for panel in ("lab", "rounds"):
        dashboard.page.tab = panel
        ((child,),) = [dashboard._panels[panel].children]
        assert list(child.film.options) == ["covid.jpg"]


def test_what_a_page_cannot_do_is_told_in_its_language(reader):
    dashboard = Dashboard(Session(reader, Limits(films=1)))
    full = {"key": "refused.full", "fields": {"films": 1}}
    assert drop(dashboard, "a.png", b"") == [{"number": 7, "error": full}]
    astray = {"key": "refused.pieces", "fields": {}}
    assert drop(dashboard, "a.png", b"1", size=9, offset=3) == [{"number": 7, "error": astray}]


FIELDS = st.sampled_from(["do", "key", "name", "id", "size", "offset", "number", "tab"])
VALUES = st.one_of(
    st.none(), st.integers(), st.text(max_size=8), st.sampled_from(["piece", "show", "rounds", "refused"])
)


def test_no_message_whatever_stops_the_page_and_each_is_answered(reader):
    dashboard = Dashboard(Session(reader, Limits(films=5)))
    told = []
    dashboard.page.send = lambda content, buffers=None: told.append(content)
    before = dict(dashboard.page.shown)
    for content in (None, 3, {}, {"do": "run", "code": "1/0"}, {"do": "sample"}, {"do": "show", "key": "x"}):
        dashboard._handle(content, [])
        assert told.pop()["error"]
    assert dashboard.page.shown == before

    @settings(max_examples=50, deadline=None)
    @given(content=st.dictionaries(FIELDS, VALUES))
    def holds(content):
        dashboard._handle(content, [memoryview(b"1")])
        assert told.pop()["number"] == content.get("number")

    holds()
    assert (told, len(dashboard.session.films) <= 5) == ([], True)


def test_panels_are_made_when_they_are_opened_and_follow_language_and_images(dashboard):
    assert (dashboard.lab.children, dashboard.explorer.children) == ((), ())
    dashboard.page.tab = "lab"
    (lab,) = dashboard.lab.children
    assert (dashboard.lab.layout.display, dashboard.explorer.layout.display) == (None, "none")
    dashboard.page.language = "zh-Hant"
    assert lab.language == "zh-Hant"
    lab.recipe = augment.load("flip")
    drop(dashboard, "mine.jpg", BY_NAME["edema"].read())
    assert dashboard.lab.children == (lab,)
    ask(dashboard, "came")
    (anew,) = dashboard.lab.children
    assert (dashboard.page.tab, anew.recipe, anew.film.options[0]) == ("lab", lab.recipe, "mine.jpg")
    dashboard.page.tab = "rounds"
    (explorer,) = dashboard.explorer.children
    assert explorer.language == "zh-Hant"
    dashboard.page.tab = "lab"
    assert dashboard.lab.children == (anew,)
    # The tab without images is left when one comes.
    dashboard.page.tab = "about"
    ask(dashboard, "came")
    assert dashboard.page.tab == "film"


def test_figures_of_the_page_are_those_of_the_models_own_files(dashboard):
    for network in dashboard.page.about:
        info = networks.load(network["name"]).info
        aurocs = {(one["label"], one["source"]): one["value"] for one in info["figures"] if one["measure"] == "AUROC"}
        shown = {
            (row["label"], source): cell["value"]
            for row in network["rows"]
            for source, cell in zip(network["sources"], row["cells"], strict=True)
        }
        assert shown == aurocs


def test_every_word_that_the_page_says_is_among_the_words():
    table = words.table("en")
    literal = set(re.findall(r'(?:say|tell)\(\s*"([\w.\-]+)"', Page._esm))
    assert len(literal) > 20
    assert literal <= set(table)
    built = set(re.findall(r"say\(`([\w.\-]+)\$\{", Page._esm))
    assert "label." in built
    assert all(any(key.startswith(prefix) for key in table) for prefix in built)


def test_the_page_loads_none_of_what_only_figures_tables_and_training_need():
    heavy = {"tensorflow", "keras", "pandas", "matplotlib", "sklearn", "torch", "scipy.stats", "scipy.spatial"}
    code = (
        "import sys; from cxrkit.dashboard import Dashboard; page = Dashboard()\n"
        "page._handle({'do': 'rounds', 'key': 'covid'}, []); page.page.tab = 'lab'; page.page.tab = 'rounds'\n"
        f"print(len(page.page.rounds['each']), {heavy} & set(sys.modules))\n"
        # What stood in for SciPy is gone.
        "from imgaug import parameters; print(parameters.TruncatedNormal(0, 1).draw_samples((2,)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["11 set()", "(2,)"]


def test_a_map_is_clear_where_nothing_counts_for_the_label_and_opaque_at_its_strongest():
    cam = np.array([[-1.0, 0.0], [0.0, 2.0]], np.float32)
    picture = cv2.imdecode(np.frombuffer(_view._overlay(cam), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (160, 160, 4)
    assert (picture[0, 0, 3], picture[-1, -1, 3]) == (0, 255)
