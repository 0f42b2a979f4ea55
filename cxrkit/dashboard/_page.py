"""The page: one widget whose state is plain values, and two panels that are created when their tabs are opened."""

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from cxrkit import words
from cxrkit.dashboard import _samples as samples
from cxrkit.dashboard import _view
from cxrkit.dashboard._session import Film, Session, import_imgaug
from cxrkit.dashboard._uploads import Uploads

_HERE = Path(__file__).parent
#: Joined into one JavaScript module; each file uses functions of the files before it.
_SCRIPTS = ("dom", "uploads", "films", "film", "rounds", "table", "about", "early", "page")
#: The sample that is shown first.
FIRST = "covid"
#: MIME type of a copy of the page that needs no kernel; our Voila template reads it, other viewers ignore it.
COPY = "application/vnd.cxrkit.page+json"


class Page(anywidget.AnyWidget):
    """The page in the browser: shows these traits and sends the viewer's requests."""

    _esm = "\n".join((_HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    _css = (_HERE / "page.css").read_text(encoding="utf-8")
    #: All texts by language and key, and each language's name in that language.
    texts: traitlets.Dict = traitlets.Dict().tag(sync=True)
    languages: traitlets.Dict = traitlets.Dict().tag(sync=True)
    language = traitlets.Enum(list(words.LANGUAGES), next(iter(words.LANGUAGES))).tag(sync=True)
    tab = traitlets.Enum(["film", "table", "lab", "rounds", "about"], "film").tag(sync=True)
    limits: traitlets.Dict = traitlets.Dict().tag(sync=True)
    #: "name" and "thumb" (JPEG) of each sample. From `_view`: `row` of each image; `shown` and `rounds_values` of one
    #: image; CSV text by table name; `about` of each network.
    samples: traitlets.List = traitlets.List().tag(sync=True)
    films: traitlets.List = traitlets.List().tag(sync=True)
    shown: traitlets.Dict = traitlets.Dict().tag(sync=True)
    rounds: traitlets.Dict = traitlets.Dict().tag(sync=True)
    tables: traitlets.Dict = traitlets.Dict().tag(sync=True)
    about: traitlets.List = traitlets.List().tag(sync=True)


class Dashboard(widgets.VBox):
    """The dashboard of one viewer, for the last line of a cell; `language` is the first, one of `words.LANGUAGES`.

    Attributes:
        session: the images; without one it uses the bundled networks.
        page: the widget in the browser; it begins with a sample.
        lab, explorer: the panels of two tabs; empty until a viewer opens them.
    """

    def __init__(self, session: Session | None = None, *, language: str = "en") -> None:
        words.table(language)
        self.session = Session() if session is None else session
        self._uploads = Uploads(self.session.limits.file_mb * 2**20)
        first = self.session.open_sample(FIRST)
        self.page = Page(
            texts={one: dict(words.table(one)) for one in words.LANGUAGES},
            languages=dict(words.LANGUAGES),
            language=language,
            limits=vars(self.session.limits),
            samples=[{"name": sample.name, "thumb": sample.thumb()} for sample in samples.every()],
            about=[_view.about(network) for network in (self.session.reader.covid, self.session.reader.findings)],
            films=[_view.row(first)],
            shown=_view.shown(self.session, first),
            tables=self.session.tables(),
        )
        self.lab, self.explorer = widgets.VBox(), widgets.VBox()
        self._panels = {"lab": self.lab, "rounds": self.explorer}
        super().__init__([self.page, self.lab, self.explorer])
        self.add_class("cxrkit-dashboard")
        for box in self._panels.values():
            box.add_class("cxrkit-panel")
        self._show_panel()
        self.page.on_msg(lambda _, content, buffers: self._handle(content, buffers))
        self.page.observe(self._show_panel, "tab")
        self.page.observe(self._say_panels, "language")

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any] | None:
        """Under Voila, add a copy of the page, which is shown before Voila's scripts have connected a kernel."""
        bundle = super()._repr_mimebundle_(**kwargs)
        # Only under Voila, which sets this variable: in a saved notebook the copy would be useless bytes.
        if bundle is not None and os.environ.get("SERVER_SOFTWARE", "").startswith("voila/"):
            traits = {name: getattr(self.page, name) for name in Page.class_own_traits(sync=True)}
            text = json.dumps(traits, default=lambda data: {"base64": base64.b64encode(data).decode()})
            bundle[COPY] = {"module": Page._esm, "style": Page._css, "traits": json.loads(text)}
        return bundle

    def _handle(self, content: Any, buffers: Sequence[memoryview]) -> None:
        """Carry out a request of the browser and answer it; an error never stops the page."""
        number = content.get("number") if isinstance(content, dict) else None
        try:
            self._do(content, buffers)
        except Exception as error:
            # A ValueError has our own text. Any other error is answered too: without an answer the page would freeze.
            known = isinstance(error, ValueError)
            text = error.saying.plain() if isinstance(error, words.WordedError) else str(error)[:400]
            self.page.send({"number": number, "error": text if known else type(error).__name__})
            if not known:
                self.log.warning("a request of the page failed", exc_info=True)
        else:
            self.page.send({"number": number})

    def _do(self, request: Any, buffers: Sequence[memoryview]) -> None:
        match request:
            case {"do": "sample", "name": name}:
                self._show(self.session.open_sample(str(name)))
            case {"do": "samples"}:
                for sample in samples.every():
                    self.session.open_sample(sample.name)
                self._list()
            case {"do": "show", "key": key}:
                self._show(self.session.film(str(key)))
                if request.get("tab") == "film":
                    self.page.tab = "film"
            case {"do": "rounds", "key": key}:
                film = self.session.film(str(key))
                # If another image was chosen meanwhile, it must not wait for rounds that nobody will see.
                if film.key == self.page.shown["key"]:
                    self.page.rounds = _view.rounds_values(film, self.session.run_rounds(film.key))
            case {"do": "piece", "id": upload, "name": name, "size": size, "offset": offset}:
                (piece,) = buffers
                whole = self._uploads.take(str(upload), int(size), int(offset), piece)
                if whole is not None:
                    self._show(self.session.add(str(name), whole))
            case {"do": "came"}:
                # New images: leave the tab without images, and give an open panel the new ones.
                if self.page.tab == "about":
                    self.page.tab = "film"
                self._show_panel()
            case {"do": "refused", "name": name, "size": size}:
                values = {"size": f"{int(size) / 2**20:.0f}", "most": self.session.limits.file_mb}
                why = words.Saying("unreadable.upload.too_many_bytes", values)
                self._show(self.session.fault(str(name), why))
            case {"do": "unread", "name": name}:
                self._show(self.session.fault(str(name), words.Saying("unreadable.upload.by_browser", {})))
            case _:
                raise ValueError(
                    f"a request must be for a sample, an image, rounds or a file; got {str(request)[:40]}."
                )

    def _show(self, film: Film) -> None:
        self._list()
        # Otherwise the page has this image and its rounds already.
        if film.key != self.page.shown["key"]:
            # Rounds first: those of another image must not be shown beside this one.
            with self.page.hold_sync():
                self.page.rounds = {}
                self.page.shown = _view.shown(self.session, film)

    def _list(self) -> None:
        """Send the page the images that it does not know yet."""
        known = {row["key"]: row for row in self.page.films}
        if list(known) != list(self.session.films):
            with self.page.hold_sync():
                self.page.films = [known.get(key) or _view.row(film) for key, film in self.session.films.items()]
                self.page.tables = self.session.tables()

    def _show_panel(self, change: object = None) -> None:
        tab = self.page.tab
        if tab in self._panels:
            self._make_panel(tab)
        for name, box in self._panels.items():
            box.layout.display = None if name == tab else "none"

    def _make_panel(self, tab: str) -> None:
        """Create the lab or the explorer, or replace it if images were added since."""
        # Imported here: most viewers never open a panel, and their kernels stay small.
        from cxrkit.widgets import AugmentLab, RoundsExplorer

        # Newest first.
        every = reversed(self.session.films.values())
        films = {film.name: film.shown for film in every if film.shown is not None and film.model_input is not None}
        panel: Any = AugmentLab if tab == "lab" else RoundsExplorer
        # No folder: the viewer downloads the recipe, and nothing is written on the server.
        options: dict[str, Any] = {"folder": None} if tab == "lab" else {}
        for before in self._panels[tab].children:
            if list(before.film.options) == list(films):
                return
            kept = "recipe" if tab == "lab" else "order"
            options[kept] = getattr(before, kept)
            before.close()
        import_imgaug()
        predictors = (self.session.reader.covid, self.session.reader.findings)
        simulated = all(film.sample is not None for film in self.session.films.values())
        made = panel(films, predictors, simulated=simulated, language=self.page.language, **options)
        self._panels[tab].children = [made]

    def _say_panels(self, change: object) -> None:
        for box in self._panels.values():
            for panel in box.children:
                panel.language = self.page.language
