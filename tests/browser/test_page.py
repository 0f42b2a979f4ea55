"""The dashboard in Debian's Chromium, against a real Voila server: what a viewer sees, drops, reads and takes away."""

import json
import os
import re
import signal
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import servers
from film_files import dicom
from PIL import Image
from playwright.sync_api import expect
from settled import accessible, becomes

from cxrkit import dashboard, triage, words
from cxrkit.dashboard import LIMITS
from cxrkit.dashboard import _samples as samples

pytestmark = pytest.mark.slow

BY_NAME = {sample.name: sample for sample in samples.every()}
#: axe's names of the rules behind WCAG 2.2 AA.
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def dashboard_server(folder, *options):
    return servers.served(["cxrkit", "dashboard", *options], folder, servers.environment(folder / "home"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with dashboard_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """One image in each format, by its ending."""
    folder = tmp_path_factory.mktemp("films")
    pixels = cv2.imdecode(np.frombuffer(BY_NAME["heart"].read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    paths = {ending: folder / f"film.{ending}" for ending in ("png", "jpg", "webp", "tif", "bmp", "dcm")}
    for ending, path in paths.items():
        if ending != "dcm":
            Image.fromarray(pixels).save(path, **({"lossless": True} if ending == "webp" else {}))
    paths["dcm"].write_bytes(dicom(pixels, PatientName="<b>Roe^Jane</b>", BodyPartExamined="CHEST"))
    return paths


def written(folder, files):
    """Write files by name, and return their paths."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def opened(page, server):
    """Open the dashboard and wait until an image and its rounds are there."""
    page.goto(server.url)
    return whole(page)


def whole(page):
    expect(page.locator(".verdict .said")).to_be_visible()
    expect(page.locator(".rounds li")).to_have_count(11)
    expect(page.locator("#skeleton")).to_have_count(0)
    return page


def drop(page, *paths):
    page.set_input_files("#cxr-files", [str(path) for path in paths])


def shown(page, name):
    expect(page.locator(".film h2")).to_have_text(name)


def choose(page, sample):
    page.get_by_role("button", name=words.say("en", f"sample.{sample}"), exact=True).click()
    shown(page, f"{sample}.jpg")


def tab(page, name):
    page.click(f"#cxr-tab-{name}")
    expect(page.locator(f"#cxr-panel-{name}")).to_be_visible()
    if name in ("lab", "rounds"):
        expect(page.locator(".cxrkit-panel:visible figure img").first).to_be_visible()


def speak(page, language):
    page.select_option("#cxr-language", language)
    expect(page.locator(".notice")).to_have_text(words.say(language, "notice.device"))


def no_english(page):
    """Wait until four English words in a row are nowhere to be seen."""
    sentence = "/[A-Za-z]{3,} [a-z]{3,} [a-z]{3,} [a-z]{3,}/"
    becomes(lambda: page.evaluate(f"() => document.body.innerText.match({sentence})?.[0] ?? null"), None)


def fits(page):
    becomes(lambda: page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], True)


def kernels(server):
    return {child.pid for child in psutil.Process(server.process.pid).children()}


def lost(page):
    return page.locator("[role=alert]", has_text=words.say("en", "page.lost"))


def gone(pids):
    """Wait until processes have ended."""
    assert pids
    servers.until(lambda: not any(map(psutil.pid_exists, pids)), "kernels end", limit_s=90)


@pytest.mark.parametrize(("language", "locale"), [("en", "en-GB"), ("zh-Hant", "zh-TW")])
def test_a_skeleton_in_the_browsers_language_is_shown_before_the_kernel_is_ready(new_page, server, language, locale):
    page = new_page(locale=locale)
    response = page.goto(server.url, wait_until="commit")
    expect(page.locator("#skeleton li").first).to_have_text(words.say(language, "skeleton.kernel"))
    expect(page.locator("#skeleton-notice")).to_have_text(words.say(language, "notice.device"))
    whole(page)
    expect(page.locator("#cxr-tab-film")).to_have_text(words.say(language, "tab.film"))
    assert "from cxrkit" not in response.text()
    template = (Path(dashboard.__file__).parent / "voila/templates/cxrkit/index.html.j2").read_text(encoding="utf-8")
    said = json.loads(re.search(r"const words = (\{.*?\n  \});", template, re.DOTALL)[1])[language]
    assert {key: words.table(language)[key] for key in said} == said
    assert words.table(language)["skeleton.no_script"] in template


def test_the_first_verdict_does_not_wait_for_voilas_scripts(page, server, films, console_errors):
    held = []
    page.route("**/voila.js", lambda route: held.append(route))
    page.goto(server.url, wait_until="commit")
    expect(page.locator(".verdict .said")).to_contain_text("predicts COVID-19")
    expect(page.locator("#skeleton")).to_have_count(0)
    page.get_by_label(words.say("en", "film.map_of")).select_option("Edema")
    expect(page.locator("button[data-label=Edema]")).to_have_attribute("aria-pressed", "true")
    # What needs the kernel waits for it: a language, a file of more than one piece, a tab.
    speak(page, "zh-Hant")
    drop(page, films["bmp"])
    page.click("#cxr-tab-lab")
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
    expect(page.locator(".doubt").first).to_have_text("Not shown to work on real images: COVID-19.")
    choose(page, "heart")
    expect(page.locator(".box span")).to_have_text(["Atelectasis", "Cardiomegaly", "Effusion"])
    page.get_by_label(words.say("en", "film.boxes")).uncheck()
    expect(page.locator(".box")).to_have_count(0)
    overlay, bar = page.locator(".overlay"), page.locator(".bar[data-label=Effusion]")
    expect(overlay).to_have_css("opacity", "0.6")
    before = overlay.get_attribute("src")
    page.locator("#cxr-fade").fill("10")
    bar.click()
    expect(bar).to_have_attribute("aria-pressed", "true")
    expect(bar).to_be_focused()
    expect(overlay).to_have_css("opacity", "0.1")
    expect(overlay).not_to_have_attribute("src", before)
    assert console_errors == []


def test_an_image_of_each_format_is_read_alike(page, server, films, console_errors):
    opened(page, server)
    for path in films.values():
        drop(page, path)
        shown(page, path.name)
        expect(page.locator(".verdict .said")).to_contain_text("The findings network predicts: ")
        for finding in ("Atelectasis", "Cardiomegaly", "Effusion"):
            expect(page.locator(f".bar[data-label={finding}]")).to_have_class(re.compile("positive"))
        expect(page.locator(".rounds li")).to_have_count(11)
    assert "Roe" not in page.content()
    assert console_errors == []


def test_a_leg_files_that_cannot_be_read_and_a_negative_are_reported_in_the_pages_language(
    new_page, server, tmp_path, console_errors
):
    page = opened(new_page(locale="zh-TW"), server)
    files = {"leg.jpg": BY_NAME["leg"].read(), "broken.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 100}
    files |= {"letter.pdf": b"%PDF-1.4", "negative.jpg": BY_NAME["negative"].read()}
    leg, broken, pdf, negative = written(tmp_path / "films", files)
    drop(page, leg)
    shown(page, "leg.jpg")
    card = page.locator(".film .bad")
    expect(card.locator(".said")).to_have_text(words.say("zh-Hant", "film.rejected"))
    expect(card.locator("p").last).to_contain_text(words.say("zh-Hant", "rejected.image"))
    expect(page.locator(".film .picture img")).to_have_count(1)
    expect(page.locator(".film .bar")).to_have_count(0)
    expect(page.locator(".rounds")).to_be_hidden()
    accessible(page, options=WCAG)
    reasons = {
        broken: words.Saying("unreadable.damaged", {"kind": "PNG"}),
        pdf: words.Saying("unreadable.stranger", {"what": words.Saying("unreadable.stranger.pdf", {})}),
    }
    for path, reason in reasons.items():
        drop(page, path)
        shown(page, path.name)
        expect(card).to_have_attribute("role", "alert")
        for language in ("en", "zh-Hant"):
            speak(page, language)
            expect(card.locator("p").last).to_have_text(words.say(language, "film.bad_reason", reason=reason))
        no_english(page)
    expect(page.locator(".rounds")).to_be_hidden()
    assert "Traceback" not in page.content()
    accessible(page, options=WCAG)
    speak(page, "en")
    drop(page, negative)
    shown(page, "negative.jpg")
    expect(page.locator(".warning")).to_contain_text("was stored as a negative")
    expect(page.locator(".rounds li")).to_have_count(11)
    assert console_errors == []


def test_files_beyond_a_limit_are_refused_before_they_are_sent_and_a_full_session_is_reported(page, server, tmp_path):
    opened(page, server)
    (huge,) = written(tmp_path / "films", {"huge.png": b""})
    os.truncate(huge, (LIMITS.file_mb + 1) * 2**20)
    drop(page, huge)
    shown(page, "huge.png")
    expect(page.locator(".film .bad")).to_contain_text(f"the limit here is {LIMITS.file_mb} MB")
    many = written(tmp_path / "films", {f"{k}.png": str(k).encode() for k in range(LIMITS.films)})
    status, most = page.locator("[role=status].status"), LIMITS.at_once
    drop(page, *many[: most + 2])
    expect(page.locator(".read li")).to_have_count(2 + most)
    expect(status).to_have_text(words.say("en", "films.too_many", most=most, left=2))
    for first in range(most, len(many), most):
        drop(page, *many[first : first + most])
    reason = words.Saying("refused.full", {"films": LIMITS.films})
    expect(status).to_have_text(words.say("en", "page.refused", reason=reason))
    expect(page.locator(".read li")).to_have_count(LIMITS.films)
    speak(page, "zh-Hant")
    expect(status).to_have_text(words.say("zh-Hant", "page.refused", reason=reason))


def test_a_name_that_is_html_is_text(page, server, tmp_path, console_errors):
    opened(page, server)
    name = "<img src=x onerror=document.title='owned'>.jpg"
    drop(page, *written(tmp_path / "films", {name: BY_NAME["clear"].read()}))
    shown(page, name)
    tab(page, "table")
    expect(page.get_by_role("button", name=name)).to_be_visible()
    tab(page, "lab")
    tab(page, "rounds")
    assert page.locator("img[src=x]").count() == 0
    assert "owned" not in page.title()
    assert console_errors == []


def test_every_tab_is_reached_by_keys_speaks_each_language_and_loads_nothing_from_elsewhere(
    page, server, console_errors
):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    opened(page, server)
    page.locator("#cxr-tab-film").focus()
    for name in ("table", "lab", "rounds", "about"):
        page.keyboard.press("ArrowRight")
        expect(page.locator(f"#cxr-tab-{name}")).to_be_focused()
        expect(page.locator(f"#cxr-panel-{name}")).to_be_visible()
        expect(page.locator(".notice")).to_have_text(words.say("en", "notice.device"))
    speak(page, "zh-Hant")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hant")
    for name in ("about", "rounds", "lab", "table", "film"):
        tab(page, name)
        expect(page.locator(f"#cxr-tab-{name}")).to_have_text(words.say("zh-Hant", f"tab.{name}"))
        expect(page.locator(".notice")).to_have_text(words.say("zh-Hant", "notice.device"))
        no_english(page)
    page.reload()
    whole(page)
    expect(page.locator(".notice")).to_have_text(words.say("zh-Hant", "notice.device"))
    ours = (server.url, "blob:", "data:", server.url.replace("http", "ws"))
    assert [url for url in requests if not url.startswith(ours)] == []
    assert console_errors == []


def test_the_three_tables_are_triages(page, server, films, tmp_path):
    opened(page, server)
    files = {"Ünder, 胸.png": films["png"].read_bytes(), "=1+1.png": b"none", "c leg.jpg": BY_NAME["leg"].read()}
    drop(page, *written(tmp_path / "films", files | {"covid.jpg": BY_NAME["covid"].read()})[:3])
    expect(page.locator(".read li")).to_have_count(4)
    tab(page, "table")
    for name, path in triage.run(tmp_path / "films", tmp_path / "out").tables.items():
        with page.expect_download() as download:
            page.get_by_role("button", name=words.say("en", f"table.{name}")).click()
        assert download.value.suggested_filename == f"{name}.csv"
        assert Path(download.value.path()).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def test_the_table_sorts_and_leads_to_an_image(page, server):
    opened(page, server)
    tab(page, "table")
    page.get_by_role("button", name=words.say("en", "table.read_samples")).click()
    table = page.locator("#cxr-panel-table table")
    expect(table.locator("tbody tr")).to_have_count(len(BY_NAME))
    page.get_by_role("button", name=words.say("en", "table.column.covid"), exact=True).click()
    expect(table.locator("th[aria-sort=descending]")).to_contain_text("COVID-19")
    *texts, leg = table.locator("td.number").all_inner_texts()
    probs = [float(text) for text in texts]
    assert leg == ""
    assert probs == sorted(probs, reverse=True)
    page.get_by_role("button", name=words.say("en", "table.column.name"), exact=True).click()
    expect(table.locator("th[aria-sort=ascending]")).to_contain_text(words.say("en", "table.column.name"))
    names = table.locator("tbody th").all_inner_texts()
    assert names == sorted(names)
    page.get_by_role("button", name="nodule.jpg").click()
    shown(page, "nodule.jpg")


def test_everything_is_reached_by_keys_and_focus_stays_where_it_was(page, server, films):
    opened(page, server)
    mass = page.get_by_role("button", name=words.say("en", "sample.mass"), exact=True)
    mass.press("Enter")
    shown(page, "mass.jpg")
    page.locator(".bar[data-label=Mass]").press("Space")
    expect(page.locator("#cxr-label")).to_have_value("Mass")
    page.locator("#cxr-boxes").press("Space")
    expect(page.locator("#cxr-boxes")).to_be_focused()
    page.locator("#cxr-fade").press("Home")
    expect(page.locator(".overlay")).to_have_css("opacity", "0")
    expect(page.locator("[role=status].visually-hidden")).to_contain_text("mass.jpg: Negative for COVID-19")
    drop(page, films["png"])
    shown(page, "film.png")
    expect(page.locator("#cxr-fade")).to_be_focused()
    tab(page, "table")
    read_all = page.get_by_role("button", name=words.say("en", "table.read_samples"))
    read_all.press("Enter")
    expect(page.locator("#cxr-panel-table tbody tr")).to_have_count(len(BY_NAME) + 1)
    expect(read_all).to_be_focused()
    page.get_by_role("button", name="heart.jpg").press("Enter")
    shown(page, "heart.jpg")
    expect(page.locator("#cxr-tab-film")).to_be_focused()


def test_images_dropped_anywhere_are_in_the_open_lab_which_draws_again(page, server, films, console_errors):
    opened(page, server)
    tab(page, "lab")
    picture = page.locator(".cxrkit-panel figure img").nth(1)
    before = picture.get_attribute("src")
    page.get_by_role("button", name=words.say("en", "lab.again"), exact=True).click()
    expect(picture).not_to_have_attribute("src", before)
    page.evaluate(
        """(data) => {
          const transfer = new DataTransfer();
          for (const [ending, bytes] of Object.entries(data))
            transfer.items.add(new File([new Uint8Array(bytes)], `dropped.${ending}`));
          const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
          document.querySelector("header").dispatchEvent(event);
        }""",
        {ending: list(films[ending].read_bytes()) for ending in ("png", "jpg")},
    )
    for name in ("dropped.png", "dropped.jpg"):
        expect(page.locator(".cxrkit-panel:visible option", has_text=name)).to_have_count(1)
    tab(page, "rounds")
    assert console_errors == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_tab_passes_axe_and_fits(new_page, server, width, dark, tmp_path):
    page = opened(new_page(width=width, dark=dark, reduced_motion="reduce"), server)
    for name in ("table", "lab", "rounds", "about", "film"):
        tab(page, name)
        accessible(page, options=WCAG)
        fits(page)
    choose(page, "heart")
    fits(page)
    cut = "bars => bars.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"
    becomes(lambda: page.locator(".bar .what").evaluate_all(cut), [])
    choose(page, "leg")
    accessible(page, options=WCAG)
    drop(page, *written(tmp_path / "films", {"broken.png": b"none"}))
    shown(page, "broken.png")
    accessible(page, options=WCAG)


def test_a_contrast_theme_and_paper_show_bars_and_what_is_chosen(new_page, server):
    page = opened(new_page(forced_colors="active"), server)
    colour = "(element, name) => getComputedStyle(element)[name]"
    bar = page.locator(".bar[data-label=COVID-19]")
    parts = [*map(bar.locator, (".track", ".from")), page.locator(".bar[data-label=Edema] .filled")]
    tabs = [page.locator(f"#cxr-tab-{name}") for name in ("film", "lab", "about")]

    def chosen():
        film, *others = [one.evaluate(colour, "borderBottomColor") for one in tabs]
        return [film != other for other in others]

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        becomes(lambda: len({part.evaluate(colour, "backgroundColor") for part in parts}), 3)
        becomes(chosen, [True, True])
    page.emulate_media(media="print", forced_colors="none")
    expect(page.locator(".films")).to_be_hidden()
    expect(page.locator(".notice")).to_be_visible()
    expect(page.locator(".verdict .said")).to_be_visible()
    expect(page.locator(".filled").first).to_have_css("print-color-adjust", "exact")


def test_a_page_that_is_reloaded_or_left_early_ends_its_kernel(page, server, films, console_errors):
    others = kernels(server)
    opened(page, server)
    drop(page, films["png"])
    expect(page.locator(".read li")).to_have_count(2)
    first = kernels(server) - others
    page.reload()
    whole(page)
    expect(page.locator(".read li")).to_have_count(1)
    gone(first)
    assert console_errors == []
    page.route("**/voila.js", lambda route: route.abort())
    page.goto(server.url, wait_until="commit")
    expect(page.locator(".verdict .said")).to_be_visible()
    rest = kernels(server) - others
    page.goto("about:blank")
    gone(rest)


def test_a_killed_kernel_is_reported_without_a_request(page, server):
    others = kernels(server)
    opened(page, server)
    for pid in kernels(server) - others:
        os.kill(pid, signal.SIGKILL)
    expect(lost(page)).to_be_visible()


def test_a_server_that_is_silent_for_a_moment_is_found_again(page, server):
    page.clock.install()
    opened(page, server)
    page.route("**/api/kernels/*", lambda route: route.abort())
    page.clock.fast_forward(11_000)
    expect(lost(page)).to_be_visible()
    page.unroute("**/api/kernels/*")
    page.clock.fast_forward(11_000)
    expect(lost(page)).to_be_hidden()


def test_an_idle_page_ends_images_are_never_written_and_a_server_that_ends_leaves_nothing(
    page, tmp_path, films, monkeypatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with dashboard_server(tmp_path, "--idle-minutes", "0.2") as running:
        opened(page, running)
        drop(page, films["png"])
        shown(page, "film.png")
        files = {path for path in tmp_path.rglob("*") if path.is_file()}
        gone(kernels(running))
        page.get_by_role("button", name=words.say("en", "sample.heart")).click()
        expect(lost(page)).to_be_visible()
        page.get_by_role("button", name=words.say("en", "page.reload")).click()
        whole(page)
        left = kernels(running)
        os.kill(running.process.pid, signal.SIGTERM)
        running.process.wait(60)
        gone(left)
    data = films["png"].read_bytes()
    assert {path.suffix for path in files}.isdisjoint({".png", ".jpg", ".jpeg", ".dcm"})
    assert not [path for path in files if path.exists() and data[:64] in path.read_bytes()]
    assert list(temporary.iterdir()) == []
