"""The dashboard in Debian's Chromium, against a real Voila server: what a viewer sees, drops, reads and takes away."""

import csv
import io
import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import servers
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import TimeoutError, expect
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from settled import becomes

from cxrkit import dashboard, triage, words
from cxrkit.dashboard import LIMITS
from cxrkit.dashboard import _samples as samples

pytestmark = pytest.mark.slow

BY_NAME = {sample.name: sample for sample in samples.every()}
#: axe's own names of the rules behind WCAG 2.2 AA.
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
#: Seconds without a message after which the impatient server's pages end.
IDLE_S = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with dashboard_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def dashboard_server(folder, *options):
    return servers.served(["cxrkit", "dashboard", *options], folder, servers.environment(folder / "home"))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """One film in each format, by its ending."""
    folder = tmp_path_factory.mktemp("films")
    pixels = cv2.imdecode(np.frombuffer(BY_NAME["heart"].read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    image = Image.fromarray(pixels)
    paths = {}
    for ending in ("png", "jpg", "webp", "tif", "bmp"):
        paths[ending] = folder / f"film.{ending}"
        image.save(paths[ending], **({"lossless": True} if ending == "webp" else {}))
    paths["dcm"] = folder / "film.dcm"
    write_dicom(paths["dcm"], pixels)
    return paths


def write_dicom(path: Path, pixels: np.ndarray) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta, data.SOPClassUID, data.SOPInstanceUID = meta, meta.MediaStorageSOPClassUID, "1.2.3"
    data.PatientName, data.Modality, data.BodyPartExamined = "<b>Roe^Jane</b>", "DX", "CHEST"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelData = 7, pixels.tobytes()
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def opened(page, server, **storage):
    """Open the dashboard and wait until a film and its rounds are there."""
    page.goto(server.url)
    whole(page)
    return page


def whole(page):
    expect(page.locator(".verdict .said")).to_be_visible()
    expect(page.locator(".rounds li")).to_have_count(11)
    expect(page.locator("#skeleton")).to_have_count(0)


def drop(page, *paths):
    page.set_input_files("#cxr-files", [str(path) for path in paths])


def shown(page, name):
    expect(page.locator(".film h2")).to_have_text(name)


def tab(page, name):
    page.click(f"#cxr-tab-{name}")
    expect(page.locator(f"#cxr-panel-{name}")).to_be_visible()


def no_english(page):
    """Wait until four English words in a row are nowhere to be seen; what stays is told."""
    sentence = "/[A-Za-z]{3,} [a-z]{3,} [a-z]{3,} [a-z]{3,}/"
    try:
        page.wait_for_function(f"() => !{sentence}.test(document.body.innerText)")
    except TimeoutError as error:
        raise AssertionError(page.evaluate(f"() => document.body.innerText.match({sentence})[0]")) from error


def accessible(page):
    def violations():
        found = Axe().run(page, options=WCAG).response["violations"]
        return [f"{one['id']}: {[node['target'] for node in one['nodes']][:4]}" for one in found]

    becomes(violations, [])


def fits(page):
    becomes(lambda: page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], True)


# --- a film ------------------------------------------------------------------------------------------------------


def test_a_skeleton_is_shown_before_the_kernel_is_ready(page, server):
    page.goto(server.url, wait_until="commit")
    expect(page.locator("#skeleton li").first).to_have_text(words.say("en", "skeleton.kernel"))
    expect(page.locator("#skeleton-notice")).to_have_text(words.say("en", "notice.device"))
    whole(page)


def test_the_first_verdict_does_not_wait_for_voilas_scripts(page, server, films, console_errors):
    held = []
    page.route("**/voila.js", lambda route: held.append(route))
    page.goto(server.url, wait_until="commit")
    expect(page.locator(".verdict .said")).to_contain_text("predicts COVID-19")
    expect(page.locator("#skeleton")).to_have_count(0)
    page.get_by_label(words.say("en", "film.map_of")).select_option("Edema")
    expect(page.locator("button[data-label=Edema]")).to_have_attribute("aria-pressed", "true")
    # What needs the kernel waits for it: a language, a file of more than one piece, a tab.
    page.select_option("#cxr-language", "zh-Hant")
    expect(page.locator("#cxr-tab-film")).to_have_text(words.say("zh-Hant", "tab.film"))
    drop(page, films["bmp"])
    tab(page, "lab")
    page.locator("#cxr-tab-lab").focus()
    for route in held:
        route.continue_()
    expect(page.locator(".cxrkit-panel figure img:visible").first).to_be_visible()
    no_english(page)
    expect(page.locator("#cxr-tab-lab")).to_be_focused()
    expect(page.locator(".cxrkit")).to_have_count(1)
    tab(page, "film")
    shown(page, "film.bmp")
    expect(page.locator(".rounds li")).to_have_count(11)
    assert console_errors == []


def test_a_sample_is_read_with_its_map_its_truth_and_its_rounds(page, server, console_errors):
    opened(page, server)
    expect(page.locator(".verdict .said")).to_contain_text("predicts COVID-19")
    expect(page.locator(".doubt").first).to_have_text("Not shown to work on real images: COVID-19.")
    page.get_by_role("button", name=words.say("en", "sample.heart")).click()
    shown(page, "heart.jpg")
    expect(page.locator(".verdict .said")).to_contain_text("Atelectasis")
    expect(page.locator(".box span")).to_have_text(["Atelectasis", "Cardiomegaly", "Effusion"])
    expect(page.locator(".rounds li")).to_have_count(11)
    page.get_by_label(words.say("en", "film.boxes")).uncheck()
    expect(page.locator(".box")).to_have_count(0)
    overlay = page.locator(".overlay")
    expect(overlay).to_have_css("opacity", "0.6")
    before = overlay.get_attribute("src")
    page.locator("#cxr-fade").fill("10")
    page.locator(".bar[data-label=Effusion]").click()
    expect(page.locator(".bar[data-label=Effusion]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".bar[data-label=Effusion]")).to_be_focused()
    expect(overlay).to_have_css("opacity", "0.1")
    expect(overlay).not_to_have_attribute("src", before)
    assert console_errors == []


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp", "dcm"])
def test_a_film_of_each_format_is_read_alike(page, server, films, ending, console_errors):
    opened(page, server)
    drop(page, films[ending])
    shown(page, f"film.{ending}")
    expect(page.locator(".verdict .said")).to_contain_text("The findings network predicts: ")
    for finding in ("Atelectasis", "Cardiomegaly", "Effusion"):
        expect(page.locator(f".bar[data-label={finding}]")).to_have_class(re.compile("positive"))
    expect(page.locator(".rounds li")).to_have_count(11)
    assert "Roe" not in page.content()
    assert console_errors == []


def test_a_leg_a_broken_file_and_a_negative_are_reported_and_the_page_stays_usable(page, server, tmp_path):
    opened(page, server)
    paths = {name: tmp_path / f"{name}.jpg" for name in ("leg", "negative")}
    for name, path in paths.items():
        path.write_bytes(BY_NAME[name].read())
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    drop(page, paths["leg"])
    shown(page, "leg.jpg")
    expect(page.locator(".verdict .said")).to_contain_text("does not look like a frontal chest radiograph")
    drop(page, broken)
    shown(page, "broken.png")
    card = page.locator(".film .bad")
    expect(card).to_have_attribute("role", "alert")
    expect(card).to_contain_text(words.say("en", "film.bad"))
    expect(page.locator(".rounds")).to_be_hidden()
    assert "Traceback" not in page.content()
    drop(page, paths["negative"])
    shown(page, "negative.jpg")
    expect(page.locator(".warning")).to_contain_text("looks like a negative")
    expect(page.locator(".rounds li")).to_have_count(11)


def test_the_reason_why_a_file_cannot_be_read_is_in_the_pages_language(new_page, server, tmp_path, console_errors):
    page = new_page(locale="zh-TW")
    opened(page, server)
    broken, pdf = tmp_path / "broken.png", tmp_path / "letter.pdf"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    pdf.write_bytes(b"%PDF-1.4")
    reasons = {
        "broken.png": words.Saying("unreadable.damaged", {"kind": "PNG"}),
        "letter.pdf": words.Saying("unreadable.stranger", {"what": words.Saying("unreadable.stranger.pdf", {})}),
    }
    reason = page.locator(".film .bad p").last
    for path in (broken, pdf):
        drop(page, path)
        shown(page, path.name)
        expect(reason).to_have_text(words.say("zh-Hant", "film.bad_reason", reason=reasons[path.name]))
        no_english(page)
    page.locator("#cxr-language").select_option("en")
    expect(reason).to_have_text(words.say("en", "film.bad_reason", reason=reasons["letter.pdf"]))
    page.locator("#cxr-language").select_option("zh-Hant")
    expect(reason).to_contain_text(reasons["letter.pdf"].say("zh-Hant"))
    accessible(page)
    assert console_errors == []


def test_several_images_can_be_dropped_anywhere(page, server, films):
    opened(page, server)
    data = {ending: list(films[ending].read_bytes()) for ending in ("png", "jpg")}
    page.evaluate(
        """(data) => {
          const transfer = new DataTransfer();
          for (const [ending, bytes] of Object.entries(data))
            transfer.items.add(new File([new Uint8Array(bytes)], `dropped.${ending}`));
          const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
          document.querySelector("header").dispatchEvent(event);
        }""",
        data,
    )
    shown(page, "dropped.jpg")
    expect(page.locator(".read li")).to_have_count(3)


def test_too_large_and_too_many_files_are_refused_before_they_are_sent(page, server, tmp_path):
    opened(page, server)
    huge = tmp_path / "huge.png"
    with open(huge, "wb") as file:
        file.truncate((LIMITS.file_mb + 1) * 2**20)
    drop(page, huge)
    shown(page, "huge.png")
    expect(page.locator(".film .bad")).to_contain_text(f"the limit here is {LIMITS.file_mb} MB")
    many = []
    for k in range(LIMITS.at_once + 2):
        many.append(tmp_path / f"{k}.png")
        many[-1].write_bytes(b"no film")
    drop(page, *many)
    expect(page.locator(".read li")).to_have_count(2 + LIMITS.at_once)
    expect(page.locator("[role=status].status")).to_have_text(
        words.say("en", "films.too_many", most=LIMITS.at_once, left=2)
    )


def test_a_full_session_is_reported_in_the_language_of_the_page(page, server, tmp_path):
    opened(page, server)
    paths = [tmp_path / f"{k}.png" for k in range(LIMITS.films)]
    for path in paths:
        path.write_bytes(path.name.encode())
    for first in range(0, len(paths), LIMITS.at_once):
        drop(page, *paths[first : first + LIMITS.at_once])
    status = page.locator("[role=status].status")
    reason = words.Saying("refused.full", {"films": LIMITS.films})
    expect(status).to_have_text(words.say("en", "page.refused", reason=reason))
    expect(page.locator(".read li")).to_have_count(LIMITS.films)
    page.select_option("#cxr-language", "zh-Hant")
    expect(status).to_have_text(words.say("zh-Hant", "page.refused", reason=reason))


def test_a_film_dropped_on_an_open_panel_is_in_it(page, server, films):
    opened(page, server)
    tab(page, "lab")
    expect(page.locator(".cxrkit-panel figure img:visible").first).to_be_visible()
    drop(page, films["png"])
    expect(page.locator(".cxrkit-panel:visible option", has_text="film.png")).to_have_count(1)


def test_a_name_that_is_html_is_text(page, server, tmp_path, console_errors):
    opened(page, server)
    name = "<img src=x onerror=document.title='owned'>.jpg"
    (tmp_path / name).write_bytes(BY_NAME["clear"].read())
    drop(page, tmp_path / name)
    shown(page, name)
    tab(page, "table")
    expect(page.get_by_role("button", name=name)).to_be_visible()
    tab(page, "lab")
    expect(page.locator(".cxrkit-panel figure").first).to_be_visible()
    tab(page, "rounds")
    expect(page.locator(".cxrkit-panel figure:visible").first).to_be_visible()
    assert page.locator("img[src=x]").count() == 0
    assert "owned" not in page.title()
    assert console_errors == []


# --- tabs, words, files ------------------------------------------------------------------------------------------


def test_every_tab_is_reached_by_keys_and_language_changes_all_of_them(page, server, console_errors):
    opened(page, server)
    page.locator("#cxr-tab-film").focus()
    for name in ("table", "lab", "rounds", "about"):
        page.keyboard.press("ArrowRight")
        expect(page.locator(f"#cxr-tab-{name}")).to_be_focused()
        expect(page.locator(f"#cxr-panel-{name}")).to_be_visible()
        expect(page.locator(".notice")).to_have_text(words.say("en", "notice.device"))
    page.locator("#cxr-language").select_option("zh-Hant")
    expect(page.locator(".notice")).to_have_text(words.say("zh-Hant", "notice.device"))
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hant")
    for name in ("about", "rounds", "lab", "table", "film"):
        tab(page, name)
        expect(page.locator(f"#cxr-tab-{name}")).to_have_text(words.say("zh-Hant", f"tab.{name}"))
        no_english(page)
    page.reload()
    whole(page)
    expect(page.locator(".notice")).to_have_text(words.say("zh-Hant", "notice.device"))
    assert console_errors == []


def test_a_browser_in_chinese_gets_chinese_from_the_first_paint(new_page, server):
    page = new_page(locale="zh-TW")
    page.goto(server.url, wait_until="commit")
    expect(page.locator("#skeleton li").first).to_have_text(words.say("zh-Hant", "skeleton.kernel"))
    whole(page)
    expect(page.locator("#cxr-tab-film")).to_have_text(words.say("zh-Hant", "tab.film"))


def test_the_skeleton_shows_the_texts_of_the_word_files(page, server):
    page.goto(server.url, wait_until="commit")
    template = (Path(dashboard.__file__).parent / "voila/templates/cxrkit/index.html.j2").read_text(encoding="utf-8")
    said = json.loads(re.search(r"const words = (\{.*?\n  \});", template, re.DOTALL)[1])
    assert {language: {key: words.table(language)[key] for key in texts} for language, texts in said.items()} == said
    assert set(said) == set(words.LANGUAGES)
    assert all(words.table(language)["skeleton.no_script"] in template for language in words.LANGUAGES)


def test_the_three_tables_are_triages(page, server, films, tmp_path):
    opened(page, server)
    folder = tmp_path / "films"
    folder.mkdir()
    names = {"covid.jpg": BY_NAME["covid"].read(), "film.png": films["png"].read_bytes(), "broken, file.png": b"none"}
    for name, data in names.items():
        (folder / name).write_bytes(data)
    drop(page, folder / "film.png", folder / "broken, file.png")
    expect(page.locator(".read li")).to_have_count(3)
    tab(page, "table")
    made = triage.run(folder, tmp_path / "out").tables
    for name, path in made.items():
        with page.expect_download() as download:
            page.get_by_role("button", name=words.say("en", f"table.{name}")).click()
        assert download.value.suggested_filename == f"{name}.csv"
        assert Path(download.value.path()).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(made["combined"].read_text(encoding="utf-8"))))
    assert len(rows) == 4


def test_the_table_sorts_and_leads_to_a_film(page, server):
    opened(page, server)
    tab(page, "table")
    page.get_by_role("button", name=words.say("en", "table.read_samples")).click()
    table = page.locator("#cxr-panel-table table")
    expect(table.locator("tbody tr")).to_have_count(len(BY_NAME))
    page.get_by_role("button", name=words.say("en", "table.column.covid"), exact=True).click()
    expect(table.locator("th[aria-sort=descending]")).to_contain_text("COVID-19")
    probs = [float(text) for text in table.locator("td.number").all_inner_texts()]
    assert probs == sorted(probs, reverse=True)
    page.get_by_role("button", name=words.say("en", "table.column.name"), exact=True).click()
    expect(table.locator("th[aria-sort=ascending]")).to_contain_text(words.say("en", "table.column.name"))
    names = table.locator("tbody th").all_inner_texts()
    assert names == sorted(names)
    page.get_by_role("button", name="nodule.jpg").click()
    expect(page.locator("#cxr-panel-film")).to_be_visible()
    shown(page, "nodule.jpg")


def test_the_lab_and_the_explorer_answer_inside_the_page(page, server, console_errors):
    opened(page, server)
    tab(page, "lab")
    pictures = page.locator(".cxrkit-panel figure img")
    expect(pictures.first).to_be_visible()
    before = pictures.nth(1).get_attribute("src")
    page.get_by_role("button", name=words.say("en", "lab.again"), exact=True).click()
    expect(pictures.nth(1)).not_to_have_attribute("src", before)
    tab(page, "rounds")
    rounds = page.locator(".cxrkit-panel:visible figure")
    expect(rounds.first).to_be_visible()
    assert console_errors == []


def test_a_reload_starts_clean_and_ends_the_kernel_before(page, tmp_path, films, console_errors):
    with dashboard_server(tmp_path) as running:
        opened(page, running)
        before = kernels(running.process.pid)
        drop(page, films["png"])
        expect(page.locator(".read li")).to_have_count(2)
        page.reload()
        whole(page)
        expect(page.locator(".read li")).to_have_count(1)
        gone(before)
        page.goto("about:blank")
        gone(kernels(running.process.pid))
    assert console_errors == []


def test_a_page_that_is_left_early_ends_its_kernel(page, tmp_path):
    with dashboard_server(tmp_path) as running:
        page.route("**/voila.js", lambda route: route.abort())
        page.goto(running.url, wait_until="commit")
        expect(page.locator(".verdict .said")).to_be_visible()
        before = kernels(running.process.pid)
        assert before
        page.goto("about:blank")
        gone(before)


# --- who can use it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_tab_passes_axe_and_fits(new_page, server, width, dark, tmp_path):
    page = new_page(width=width, dark=dark, reduced_motion="reduce")
    opened(page, server)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"none")
    for name in ("film", "table", "lab", "rounds", "about"):
        tab(page, name)
        if name in ("lab", "rounds"):
            expect(page.locator(".cxrkit-panel:visible figure img").first).to_be_visible()
        accessible(page)
        fits(page)
    tab(page, "film")
    page.get_by_role("button", name=words.say("en", "sample.leg")).click()
    shown(page, "leg.jpg")
    accessible(page)
    drop(page, broken)
    shown(page, "broken.png")
    accessible(page)


def test_the_narrowest_page_fits_with_the_names_of_its_bars(new_page, server):
    page = new_page(width=320)
    opened(page, server)
    page.get_by_role("button", name=words.say("en", "sample.heart")).click()
    shown(page, "heart.jpg")
    fits(page)
    cut = "bars => bars.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"
    becomes(lambda: page.locator(".bar .what").evaluate_all(cut), [])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_contrast_theme_leaves_bars_and_what_is_chosen_to_be_seen(new_page, server, dark):
    page = new_page(dark=dark, forced_colors="active")
    opened(page, server)
    colour = "(element, name) => getComputedStyle(element)[name]"
    bar = page.locator(".bar[data-label=COVID-19]")
    parts = [*map(bar.locator, (".track", ".from")), page.locator(".bar[data-label=Edema] .filled")]
    becomes(lambda: len({part.evaluate(colour, "backgroundColor") for part in parts}), 3)
    tabs = [page.locator(f"#cxr-tab-{name}") for name in ("film", "lab", "about")]

    def chosen():
        film, *others = [one.evaluate(colour, "borderBottomColor") for one in tabs]
        return [film != other for other in others]

    becomes(chosen, [True, True])


def test_print_shows_the_image_without_the_gallery(page, server):
    opened(page, server)
    page.emulate_media(media="print")
    expect(page.locator(".films")).to_be_hidden()
    expect(page.locator(".notice")).to_be_visible()
    expect(page.locator(".verdict .said")).to_be_visible()
    expect(page.locator(".filled").first).to_have_css("print-color-adjust", "exact")


def test_focus_stays_where_it_was_when_its_part_is_redrawn(page, server, films):
    opened(page, server)
    tab(page, "table")
    page.get_by_role("button", name=words.say("en", "table.read_samples")).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#cxr-panel-table tbody tr")).to_have_count(len(BY_NAME))
    expect(page.get_by_role("button", name=words.say("en", "table.read_samples"))).to_be_focused()
    page.get_by_role("button", name="heart.jpg").focus()
    page.keyboard.press("Enter")
    shown(page, "heart.jpg")
    expect(page.locator("#cxr-tab-film")).to_be_focused()
    page.locator("#cxr-boxes").focus()
    page.keyboard.press("Space")
    expect(page.locator("#cxr-boxes")).to_be_focused()
    page.locator("#cxr-fade").focus()
    drop(page, films["png"])
    shown(page, "film.png")
    expect(page.locator("#cxr-fade")).to_be_focused()


def test_a_film_is_chosen_and_looked_at_by_keys_alone(page, server):
    opened(page, server)
    page.get_by_role("button", name=words.say("en", "sample.mass"), exact=True).focus()
    page.keyboard.press("Enter")
    shown(page, "mass.jpg")
    page.locator(".bar[data-label=Mass]").focus()
    page.keyboard.press("Space")
    expect(page.locator("#cxr-label")).to_have_value("Mass")
    page.locator("#cxr-fade").focus()
    page.keyboard.press("Home")
    expect(page.locator(".overlay")).to_have_css("opacity", "0")
    expect(page.locator("[role=status].visually-hidden")).to_contain_text("mass.jpg: Negative for COVID-19")


# --- what a server does ------------------------------------------------------------------------------------------


def test_nothing_is_loaded_from_another_server(page, server):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, server)
    for name in ("table", "lab", "rounds", "about"):
        tab(page, name)
    assert [
        url for url in asked if not url.startswith((server.url, "blob:", "data:", server.url.replace("http", "ws")))
    ] == []


def test_no_source_is_shown(server):
    with urllib.request.urlopen(server.url, timeout=60) as answer:
        text = answer.read().decode()
    assert "dashboard(" not in text
    assert "from cxrkit" not in text


def test_an_ended_kernel_is_reported(page, tmp_path, films):
    with dashboard_server(tmp_path, "--idle-minutes", str(IDLE_S / 60)) as impatient:
        opened(page, impatient)
        before = kernels(impatient.process.pid)
        assert before
        gone(before)
        page.get_by_role("button", name=words.say("en", "sample.heart")).click()
        expect(page.locator("[role=alert]", has_text=words.say("en", "page.lost"))).to_be_visible()
        page.get_by_role("button", name=words.say("en", "page.reload")).click()
        whole(page)


def test_a_killed_kernel_is_reported_without_a_request(page, tmp_path):
    with dashboard_server(tmp_path) as running:
        opened(page, running)
        for pid in kernels(running.process.pid):
            os.kill(pid, signal.SIGKILL)
        expect(page.locator("[role=alert]", has_text=words.say("en", "page.lost"))).to_be_visible()


def test_a_server_that_is_silent_for_a_moment_is_found_again(page, server):
    page.clock.install()
    opened(page, server)
    lost = page.locator("[role=alert]", has_text=words.say("en", "page.lost"))
    page.route("**/api/kernels/*", lambda route: route.abort())
    page.clock.fast_forward(11_000)
    expect(lost).to_be_visible()
    page.unroute("**/api/kernels/*")
    page.clock.fast_forward(11_000)
    expect(lost).to_be_hidden()


def kernels(pid):
    """Processes below this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            found.append(int(folder.name))
    return found


def gone(pids):
    """Wait until processes have ended."""
    servers.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "kernels end", limit_s=90)


def test_films_are_never_written_and_a_server_that_ends_leaves_nothing(page, tmp_path, films, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with dashboard_server(tmp_path) as running:
        opened(page, running)
        drop(page, films["png"])
        shown(page, "film.png")
        inside = kernels(running.process.pid)
        assert inside
        written = {path for path in tmp_path.rglob("*") if path.is_file()}
        os.kill(running.process.pid, signal.SIGTERM)
        running.process.wait(60)
        gone(inside)
    data = films["png"].read_bytes()
    assert {path.suffix for path in written} & {".png", ".jpg", ".jpeg", ".dcm"} == set()
    assert not [path for path in written if path.exists() and data[:64] in path.read_bytes()]
    assert list(temporary.iterdir()) == []
