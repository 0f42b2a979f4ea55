"""The page: one widget whose state is plain values, and the two panels that it opens when they are asked for."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from cxrkit import words
from cxrkit.dashboard import _early, _view
from cxrkit.dashboard._session import Film, Session, max_bytes
from cxrkit.dashboard._uploads import Uploads

_HERE = Path(__file__).parent
#: One module to the browser: each file is functions that those after it use.
_SCRIPTS = ("dom", "uploads", "films", "film", "rounds", "table", "about", "early", "page")
#: What is read before anybody chose.
FIRST = "covid"


class Page(anywidget.AnyWidget):
    """The page in the browser: shows these traits, and sends what a viewer asks for."""

    _esm = "\n".join((_HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    _css = (_HERE / "page.css").read_text(encoding="utf-8")
    #: All texts, by language and key; and what languages call themselves.
    texts: traitlets.Dict = traitlets.Dict().tag(sync=True)
    languages: traitlets.Dict = traitlets.Dict().tag(sync=True)
    language = traitlets.Enum(list(words.LANGUAGES), next(iter(words.LANGUAGES))).tag(sync=True)
    tab = traitlets.Enum(["film", "table", "lab", "rounds", "about"], "film").tag(sync=True)
    limits: traitlets.Dict = traitlets.Dict().tag(sync=True)
    #: `_view.gallery`, `_view.row` of each film, `_view.shown` of one, `_view.looked` of the same, a table's text by
    #: name, and `_view.about` of each network.
    samples: traitlets.List = traitlets.List().tag(sync=True)
    films: traitlets.List = traitlets.List().tag(sync=True)
    shown: traitlets.Dict = traitlets.Dict().tag(sync=True)
    rounds: traitlets.Dict = traitlets.Dict().tag(sync=True)
    tables: traitlets.Dict = traitlets.Dict().tag(sync=True)
    about: traitlets.List = traitlets.List().tag(sync=True)


class Dashboard(widgets.VBox):
    """The dashboard of one viewer.

    Attributes:
        session: the films.
        page: the widget in the browser.
        lab, explorer: the panels of two tabs; empty until they are opened.
    """

    def __init__(self, session: Session | None = None, *, language: str = "en") -> None:
        """Build it, with the first sample read.

        Args:
            session: None takes the bundled networks.
            language: one of `words.LANGUAGES`, to begin with.
        Raises:
            ValueError: another language.
        """
        words.table(language)
        self.session = Session() if session is None else session
        self._uploads = Uploads(max_bytes(self.session.limits))
        first = self.session.open_sample(FIRST)
        self.page = Page(
            texts={one: dict(words.table(one)) for one in words.LANGUAGES},
            languages=dict(words.LANGUAGES),
            language=language,
            limits=vars(self.session.limits),
            samples=_view.gallery(),
            about=[_view.about(network) for network in (self.session.reader.covid, self.session.reader.findings)],
            films=[_view.row(first)],
            shown=_view.shown(self.session, first),
            tables=self.session.tables(),
        )
        self.lab, self.explorer = widgets.VBox(), widgets.VBox()
        self._panels = {"lab": self.lab, "rounds": self.explorer}
        #: Films that a panel was made for, and its tie to the page's language, by tab.
        self._panel_films: dict[str, list[str]] = {}
        self._following: dict[str, traitlets.dlink] = {}
        super().__init__([self.page, self.lab, self.explorer])
        self.add_class("cxrkit-dashboard")
        for box in self._panels.values():
            box.add_class("cxrkit-panel")
        self._show_panel()
        self.page.on_msg(lambda _, content, buffers: self._asked(content, buffers))
        self.page.observe(self._show_panel, "tab")

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any] | None:
        """Add to what a notebook shows, under Voila, a copy of the page that needs no kernel."""
        bundle = super()._repr_mimebundle_(**kwargs)
        # Voila names itself to its kernels. A notebook's file would only become larger.
        if bundle is not None and os.environ.get("SERVER_SOFTWARE", "").startswith("voila/"):
            bundle[_early.MIME] = _early.copy(self.page, list(Page.class_own_traits(sync=True)))
        return bundle

    # ------------------------------------------------------------------------------------------ asked

    def _asked(self, content: Any, buffers: Sequence[memoryview]) -> None:
        """Do what the browser asks for, and say that it is done; whatever comes, the page goes on."""
        number = content.get("number") if isinstance(content, dict) else None
        try:
            self._do(content, buffers)
        except Exception as error:
            # Of a ValueError the words are our own. Whatever else it is, a page that gets no answer is a frozen one.
            known = isinstance(error, ValueError)
            said = error.saying.plain() if isinstance(error, words.WordedError) else str(error)[:400]
            self.page.send({"number": number, "error": said if known else type(error).__name__})
            if not known:
                self.log.warning("a page asked for what could not be done", exc_info=True)
        else:
            self.page.send({"number": number})

    def _do(self, asked: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        what = asked["do"]
        if what == "sample":
            self._show(self.session.open_sample(str(asked["name"])))
        elif what == "samples":
            for sample in self.page.samples:
                self.session.open_sample(sample["name"])
            self._list()
        elif what == "show":
            self._show(self.session.film(str(asked["key"])))
            if asked.get("tab") == "film":
                self.page.tab = "film"
        elif what == "rounds":
            film = self.session.film(str(asked["key"]))
            if film.key != self.page.shown["key"]:
                # Another was chosen meanwhile, which must not wait for rounds that nobody will see.
                return
            self.page.rounds = _view.looked(film, self.session.look(film.key), self.session.reader.threshold)
        elif what == "piece":
            self._piece(asked, buffers)
        elif what == "came":
            # Where films are not shown, or a panel stands that does not have them yet.
            if self.page.tab == "about":
                self.page.tab = "film"
            self._show_panel()
        elif what in ("refused", "unread"):
            size = {"size": f"{int(asked['size']) / 2**20:.0f}", "most": self.session.limits.file_mb}
            why = {
                "refused": words.Saying("unreadable.upload.too_many_bytes", size),
                "unread": words.Saying("unreadable.upload.by_browser", {}),
            }
            self._show(self.session.fault(str(asked["name"]), why[what]))
        else:
            raise ValueError(f"a page asks for a sample, a film, rounds or a file; got {str(what)[:40]!r}.")

    def _piece(self, asked: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        (piece,) = buffers
        whole = self._uploads.take(str(asked["id"]), int(asked["size"]), int(asked["offset"]), piece)
        if whole is not None:
            self._show(self.session.add(str(asked["name"]), whole))

    # ------------------------------------------------------------------------------------------ shown

    def _show(self, film: Film) -> None:
        self._list()
        if film.key == self.page.shown["key"]:
            # Nothing changes, so that the page would not ask for its rounds again.
            return
        # Rounds first: those of another film must not be seen beside this one.
        with self.page.hold_sync():
            self.page.rounds = {}
            self.page.shown = _view.shown(self.session, film)

    def _list(self) -> None:
        """Tell the page of films that it does not know yet."""
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
        """Make the lab or the explorer; anew where films came since."""
        # Only now: most viewers never open them, and their kernels stay small.
        from cxrkit.widgets import _explorer as rounds_app
        from cxrkit.widgets import _lab as augment_app

        # The latest first.
        films = {film.name: film.shown for film in reversed(self.session.films.values()) if film.shown is not None}
        if self._panel_films.get(tab) == list(films):
            return
        predictors = (self.session.reader.covid, self.session.reader.findings)
        simulated = all(film.sample is not None for film in self.session.films.values())
        made: augment_app.AugmentLab | rounds_app.RoundsExplorer
        (before,) = self._panels[tab].children or (None,)
        if tab == "lab":
            recipe = {"recipe": before.recipe} if before is not None else {}
            # Without a folder: a viewer's recipe is downloaded, and nothing is written here.
            made = augment_app.AugmentLab(
                films, predictors, folder=None, simulated=simulated, language=self.page.language, **recipe
            )
        else:
            order = {"order": before.order} if before is not None else {}
            made = rounds_app.RoundsExplorer(
                films, predictors, simulated=simulated, language=self.page.language, **order
            )
        if before is not None:
            # Or a closed panel would go on following, and making its words anew.
            self._following.pop(tab).unlink()
            before.close()
        self._following[tab] = traitlets.dlink((self.page, "language"), (made, "language"))
        self._panels[tab].children = [made]
        self._panel_films[tab] = list(films)


def dashboard(language: str = "en") -> Dashboard:
    """Return the dashboard, to be the last line of a notebook's cell.

    Args:
        language: one of `words.LANGUAGES`, to begin with; a viewer's browser may say otherwise.
    Raises:
        ValueError: another language.
    """
    return Dashboard(language=language)
