"""The augmentation lab: widgets that edit a recipe, its draws, and what a network predicts for them.

The lab holds one recipe, which is a value. Every control makes another recipe with the functions of `augment.edit`.
Controls follow the recipe, never the other way round: a value that nobody changed stays the same to the last bit.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
import traitlets

from cxrkit import augment, film, words
from cxrkit.augment import OPERATIONS, Op, Recipe, Sequential, SomeOf, Sometimes, edit
from cxrkit.networks import Predictor
from cxrkit.show import augment as show
from cxrkit.widgets._panel import FIELD, GROWS, NEAR, Panel, button, columns, dropdown, row
from cxrkit.widgets._parameter import WIDE, ParameterEditor
from cxrkit.widgets._parts import Message, TextOut

_MANY, _SINGLE = "many", "single"
#: "All" on the slider of `SomeOf`, where None would mean that nothing is chosen; and a recipe without a name.
_ALL, _OWN = -1, ""
#: Longest side of an image, before anything is done to it.
_SIDE_PX = 224
#: A changed recipe, and the place of the step that is then chosen.
_Edited = tuple[Recipe, edit.Place]


class Predictions(NamedTuple):
    """What a network predicts: (images, labels) in [0, 1], and class activation maps (images, labels, h, w)."""

    probs: np.ndarray
    maps: np.ndarray


@dataclasses.dataclass(frozen=True)
class Trial:
    """Draws of a recipe, beside the images that they were made from.

    Attributes:
        predictor: the network.
        names: (draws,), of the images; several draws may be of one image.
        films, altered: uint8 (H, W) for each draw, before and after; shapes may differ from draw to draw.
        drawn: for each draw, the recipe as `augment.draw` gives it.
        before, after: what the network predicts for `films` and for `altered`.
    """

    predictor: Predictor
    names: Sequence[str]
    films: Sequence[np.ndarray]
    altered: Sequence[np.ndarray]
    drawn: Sequence[augment.Sequential]
    before: Predictions
    after: Predictions

    def positive(self, label: str) -> tuple[np.ndarray, np.ndarray]:
        """Return whether a label is positive, before and after: two arrays, bool (draws,)."""
        column, threshold = self.predictor.labels.index(label), self.predictor.thresholds[label]
        return self.before.probs[:, column] >= threshold, self.after.probs[:, column] >= threshold

    def greys(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of pixels at each grey level, before and after: two arrays, (256,); images count equally."""
        before, after = (
            np.mean([np.bincount(each.ravel(), minlength=256) / each.size for each in films], axis=0)
            for films in (self.films, self.altered)
        )
        return before, after


class AugmentLab(Panel):
    """Make a recipe by hand, and see at once how it changes images and what a network predicts for them.

    Args:
        films: (H, W) each, float in [0, 1] or uint8, by the name to show; reduced to at most 224 pixels a side.
        predictors: networks to choose from; None takes the two bundled ones.
        recipe: the first recipe, or its name.
        label: the first label; None takes the network's first.
        draws: the first number of draws.
        seed: draw k is `augment.draw(recipe, seed, k)`.
        folder: where recipes are saved and loaded by name; None leaves that out, for a page with visitors.
        simulated: the images are simulated, and every picture states it.
        language: one of `words.LANGUAGES`.
    Attributes:
        recipe, language: as above; may be set at any time.
        trial: the draws that are shown.
        values: a `ParameterEditor` for each parameter of the chosen operation.
    """

    _prefix = "lab"
    recipe = traitlets.Instance(Recipe)

    def __init__(
        self,
        films: Mapping[str, np.ndarray],
        predictors: Sequence[Predictor] | None = None,
        *,
        recipe: Recipe | str = "fig11",
        label: str | None = None,
        draws: int = 8,
        seed: int = 0,
        folder: Path | str | None = ".",
        simulated: bool = False,
        language: str = "en",
    ) -> None:
        super().__init__(films, predictors, label=label, seed=seed, simulated=simulated, language=language)
        self._films = {name: film.to_uint8(pixels, _SIDE_PX) for name, pixels in films.items()}
        self._folder = None if folder is None else Path(folder)
        self._known: dict[tuple[str, str], Predictions] = {}
        self._place: edit.Place = ()
        self._undone: list[Recipe] = []
        # Set while a slider of the chosen step moves: it must not be replaced by another.
        self._edited_here = False
        self._make_controls(draws)
        self.children = self._laid_out()
        self.add_class("cxrkit-lab")
        self._wire()
        self._follow(self._say_controls)
        self.recipe = augment.load(recipe)

    def _make_controls(self, draws: int) -> None:
        wide = {"style": WIDE, "layout": FIELD | {"width": "22em"}}
        tick = {"indent": False, "layout": {"width": "auto"}}
        text = {"style": NEAR, "layout": {"width": "98%", "height": "17em"}}
        self.name = dropdown([_OWN], layout=GROWS)
        self.operation = dropdown(list(OPERATIONS), value="Add", layout=GROWS)
        self.around = dropdown(edit.GROUPS, value="Sometimes", layout=FIELD | {"width": "17em"})
        self.undo, self.wrap, self.unwrap = button(), button(), button()
        self.kind = widgets.ToggleButtons(options=edit.GROUPS, value=None, style={"button_width": "auto"})
        self.random_order, self.whole_range = widgets.Checkbox(**tick), widgets.Checkbox(**tick)
        self.least = widgets.IntSlider(0, 0, 1, **wide)
        self.most = widgets.SelectionSlider(options=[("", _ALL)], **wide)
        self.p = widgets.FloatSlider(0.5, min=0, max=1, step=0.01, **wide)
        self._group_title, self._step_title = widgets.HTML(), widgets.HTML()
        self._step = widgets.VBox(layout={"width": "100%"})
        self.values: dict[str, ParameterEditor] = {}
        self.show = dropdown((_SINGLE, _MANY), layout=FIELD | {"width": "22em"})
        self.draws = widgets.IntSlider(draws, 1, 16, style=NEAR, layout=FIELD | {"width": "16em"})
        self.again, self.use_json, self.save, self.load = button(), button(), button(), button()
        self.json, self.code = widgets.Textarea(**text), widgets.Textarea(disabled=True, **text)
        self._json_out, self._code_out = TextOut(name="recipe.json"), TextOut(name="recipe.py")
        self.file = widgets.Text("my_recipe.json", style=NEAR, layout=FIELD)
        self.upload = widgets.FileUpload(accept=".json", layout={"width": "auto"})
        # What others see above the images, for those who hear the page.
        self._heard = Message()
        self._heard.add_class("cxrkit-heard")
        self.strip, self.histogram = (widgets.HTML(layout={"width": "98%"}) for _ in range(2))
        self._name(
            *("name", "undo", "operation", "around", "wrap", "unwrap", "random_order", "least", "most", "p"),
            *("whole_range", "show", "draws", "again", "json", "use_json", "code", "file", "save", "load", "upload"),
        )
        self._offered |= {
            self.name: lambda: [(self._say("lab.name.own"), _OWN), *((name, name) for name in augment.NAMES)],
            self.show: lambda: [(self._say(f"lab.show.{value}"), value) for value in (_SINGLE, _MANY)],
            self.most: self._most_offered,
        }

    def _say_controls(self) -> None:
        super()._say_controls()
        self._texts.titles = (self._say("lab.json.title"), self._say("lab.code.title"))
        for out in (self._json_out, self._code_out):
            out.words = {key: self._say(f"lab.out.{key}", name=out.name) for key in TextOut.KEYS}
        for editor in self.values.values():
            editor.say(self.language)

    def _say_shown(self) -> None:
        self._show_rows()
        self._show_group()
        self._show_step_title()
        self._show_pictures()

    def _laid_out(self) -> list[widgets.Widget]:
        self._many = widgets.VBox([self.least, self.most], layout={"max_width": "100%"})
        json = widgets.VBox([self.json, row(self.use_json, self._json_out)])
        self._texts = widgets.Accordion([json, widgets.VBox([self.code, self._code_out])])
        left = [row(self.name, self.undo), self.steps, row(self.operation, self.add)]
        left += [row(self.up, self.down, self.remove, self.unwrap), row(self.around, self.wrap)]
        right = [self._group_title, self.kind, row(self.random_order, self._many, self.p)]
        right += [self._step_title, self._step, self.whole_range, self.histogram]
        return [
            row(self.show, self.film, self.draws, self.seed, self.again),
            row(self.network, self.label, self.opacity),
            columns(left, right),
            *(self.message, self._heard, self.strip),
            row(*(() if self._folder is None else (self.file, self.save, self.load)), self.upload),
            *(self._texts, self._access),
        ]

    def _wire(self) -> None:
        self.observe(self._show_recipe, "recipe")
        self._when_clicked(
            {
                self.add: lambda: edit.add(self.recipe, self._place, augment.default(self.operation.value)),
                self.remove: lambda: (edit.remove(self.recipe, self._place), self._place[:-1]),
                self.up: lambda: edit.shift(self.recipe, self._place, -1),
                self.down: lambda: edit.shift(self.recipe, self._place, 1),
                self.wrap: lambda: (edit.wrap(self.recipe, self._place, self.around.value), self._place),
                self.unwrap: lambda: edit.unwrap(self.recipe, self._place),
                self.use_json: lambda: (augment.from_json(self.json.value), ()),
                self.load: lambda: (augment.load(self._path()), ()),
            }
        )
        self.undo.on_click(self._undo)
        self.save.on_click(self._save)
        self.again.on_click(lambda _: setattr(self.seed, "value", self.seed.value + 1))
        self.upload.observe(self._uploaded, "value")
        self._when_changed(self._name_chosen, self.name)
        self._when_changed(self._row_chosen, self.steps, trait="chosen")
        self._when_changed(self._kind_chosen, self.kind)
        self._when_changed(self._group_changed, self.random_order, self.least, self.most, self.p)
        self._when_changed(self._show_step, self.whole_range)
        self._when_changed(self._draw, self.network, self.show, self.film, self.draws, self.seed)
        self._when_changed(self._show_pictures, self.label, self.opacity)

    def _take(self, recipe: Recipe, place: edit.Place) -> None:
        # First the place: what follows a new recipe shows the step there.
        self._place = place
        if recipe == self.recipe:
            self._follow(self._show_controls)
        self.recipe = recipe

    def _put(self, place: edit.Place, new: Callable[[], Recipe]) -> None:
        """Replace the part at a place; the chosen step stays chosen."""
        self._edit(lambda: (edit.put(self.recipe, place, new()), self._place))

    def _dropped(self, place: str, to: str, mode: str) -> _Edited:
        target = _place(to)
        if mode == "inside":
            target = (*target, len(edit.part(self.recipe, target).children))
        elif mode == "after" and target:
            target = (*target[:-1], target[-1] + 1)
        return edit.move(self.recipe, _place(place), target)

    def _name_chosen(self, change: Any) -> None:
        if change["new"] != _OWN:
            self._edit(lambda: (augment.load(change["new"]), ()))

    def _row_chosen(self, change: Any) -> None:
        self._place = _place(change["new"])
        self._follow(self._show_group)
        self._show_step()

    def _group_place(self) -> edit.Place | None:
        """Return where the group is whose settings are shown: the chosen one, or that of the chosen operation."""
        if not isinstance(edit.part(self.recipe, self._place), Op):
            return self._place
        return self._place[:-1] if self._place else None

    def _kind_chosen(self, change: Any) -> None:
        place = self._group_place()
        if place is None:
            self._edit(lambda: (edit.grouped(self.recipe, change["new"]), (0,)))
        else:
            self._put(place, lambda: edit.grouped(edit.part(self.recipe, place), change["new"]))
        self._follow(self._show_group)

    def _group_changed(self, change: Any) -> None:
        moved, place = change["owner"], self._group_place()
        # Only the controls of the shown group are to be seen, so there is one and it has what was moved.
        assert place is not None
        group: Any = edit.part(self.recipe, place)
        if moved is self.p and abs(moved.value - group.p) < moved.step / 2:
            # A browser moves a slider to its grid, where nobody moved it.
            return
        name = "p" if moved is self.p else "random_order" if moved is self.random_order else "n"
        value = self._how_many(moved) if name == "n" else moved.value
        self._put(place, lambda: dataclasses.replace(group, **{name: value}))

    def _how_many(self, moved: widgets.Widget) -> int | tuple[int, int | None]:
        """Return n of `SomeOf` from the sliders; the slider that was not moved gives way."""
        least, most = self.least.value, self.most.value
        if most == _ALL:
            return (least, None)
        if least > most:
            least = most = most if moved is self.most else least
        return least if least == most else (least, most)

    def _value_changed(self, parameter: str, value: Any) -> None:
        op = edit.part(self.recipe, self._place)
        assert isinstance(op, Op)
        self._edited_here = True
        self._put(self._place, lambda: Op(op.name, **{**dict(op.values), parameter: value}))
        self._edited_here = False

    def _undo(self, button: object) -> None:
        if self._undone:
            recipe = self._undone.pop()
            self._edit(lambda: (recipe, ()))
            # To go back is no step to come back from.
            self._undone.pop()
            self.undo.disabled = not self._undone

    def _path(self) -> Path:
        """Return the named file, within the folder."""
        name = self.file.value.strip()
        assert self._folder is not None
        if not name or Path(name).name != name or "\\" in name or not name.endswith(".json"):
            raise words.WordedError("lab.error.file", name=repr(name))
        return self._folder / name

    def _save(self, button: object) -> None:
        try:
            # "x": a file that exists is never replaced, not even one made this moment.
            with self._path().open("x", encoding="utf-8") as file:
                file.write(self.recipe.to_json() + "\n")
            self._tell(words.Saying("lab.saved", {"file": self.file.value}))
        except FileExistsError:
            self._tell(words.WordedError("lab.error.there", file=self.file.value))
        except (OSError, ValueError) as error:
            self._tell(error)

    def _uploaded(self, change: Any) -> None:
        if change["new"]:
            content = bytes(change["new"][0]["content"])
            self._edit(lambda: (augment.from_json(content.decode("utf-8")), ()))

    def _show_recipe(self, change: Any) -> None:
        if isinstance(change["old"], Recipe):
            self._undone.append(change["old"])
        self.undo.disabled = not self._undone
        try:
            edit.part(self.recipe, self._place)
        except ValueError:
            # Set from outside: the chosen step is no longer there.
            self._place = ()
        self._follow(self._show_controls)
        self._draw()

    def _show_controls(self) -> None:
        if self.name.value == _OWN or augment.load(self.name.value) != self.recipe:
            self.name.value = next((name for name in augment.NAMES if augment.load(name) == self.recipe), _OWN)
        self._show_rows()
        self.json.value = self._json_out.text = self.recipe.to_json()
        self.code.value = self._code_out.text = self.recipe.code()
        self._show_group()
        if not self._edited_here:
            self._show_step()

    def _show_rows(self) -> None:
        rows, chosen = [], ".".join(map(str, self._place))
        for place, part in edit.places(self.recipe):
            text = show.describe(part, self.language)
            if place and isinstance(edit.part(self.recipe, place[:-1]), Sometimes):
                text = self._say("lab.part.then" if place[-1] == 0 else "lab.part.otherwise", part=text)
            shown = {"place": ".".join(map(str, place)), "depth": len(place), "text": text}
            rows.append(shown | {"group": not isinstance(part, Op)})
        # The chosen row with the rows: between them the tree would show a row that is not there.
        with self.steps.hold_sync():
            self.steps.rows, self.steps.chosen = rows, chosen

    def _show_group(self) -> None:
        place = self._group_place()
        group = None if place is None else edit.part(self.recipe, place)
        name = None if group is None else type(group).__name__
        title = "lab.group.alone" if group is None else "lab.group.inner" if place else "lab.group"
        explained = "" if group is None else f": {self._say(f'lab.kind.{name}')}"
        self._group_title.value = f"<b>{self._say(title, group=name)}</b>{explained}"
        self.kind.value = name
        for control, kinds in ((self.random_order, (SomeOf, Sequential)), (self._many, SomeOf), (self.p, Sometimes)):
            control.layout.display = None if isinstance(group, kinds) else "none"
        if isinstance(group, SomeOf | Sequential):
            self.random_order.value = group.random_order
        if isinstance(group, Sometimes):
            self.p.value = group.p
        if isinstance(group, SomeOf):
            count = len(group.children)
            low, high = group.n if isinstance(group.n, tuple) else (group.n, group.n)
            low = count if low is None else low
            self.least.max, self.least.value = max(count, low, high or 0), low
            self.most.options = self._most_offered()
            self.most.value = _ALL if high is None else high

    def _most_offered(self) -> list[tuple[str, int]]:
        return [*((str(k), k) for k in range(self.least.max + 1)), (self._say("lab.most.all"), _ALL)]

    def _show_step(self, change: object = None) -> None:
        for editor in self._step.children:
            editor.close()
        chosen = edit.part(self.recipe, self._place)
        self.values = {}
        if isinstance(chosen, Op):
            about: dict[str, Any] = {"language": self.language, "whole_range": self.whole_range.value}
            about |= {"changed": self._value_changed, "refused": self._tell}
            shown = {key: parameter for key, parameter in OPERATIONS[chosen.name].items() if key != "seed"}
            self.values = {key: ParameterEditor(chosen, parameter, **about) for key, parameter in shown.items()}
        self._show_step_title()
        self._step.children = tuple(self.values.values())
        self.whole_range.layout.display = None if self.values else "none"

    def _show_step_title(self) -> None:
        chosen = edit.part(self.recipe, self._place)
        if isinstance(chosen, Op):
            self._step_title.value = f"<b>{chosen.name}</b>: {escape(self._say(f'lab.op.{chosen.name}'))}"
        else:
            self._step_title.value = escape(self._say("lab.choose"))

    def _draw(self, change: object = None) -> None:
        many = self.show.value == _MANY
        self.film.disabled = many
        names = list(self._films)[: self.draws.value] if many else [self.film.value] * self.draws.value
        films = [self._films[name] for name in names]
        drawn = [augment.draw(self.recipe, self.seed.value, k) for k in range(len(films))]
        altered = [augment.apply(one, each[None])[0] for one, each in zip(drawn, films, strict=True)]
        after = _predict(self._predictor, altered)
        self.trial = Trial(self._predictor, names, films, altered, drawn, self._before(names), after)
        self._show_pictures()

    def _before(self, names: Sequence[str]) -> Predictions:
        """Return the predictions for images without augmentation; each image is predicted once."""
        network = self.network.value
        for name in set(names):
            if (network, name) not in self._known:
                self._known[network, name] = _predict(self._predictor, [self._films[name]])
        return _joined([self._known[network, name] for name in names])

    def _show_pictures(self, change: object = None) -> None:
        about: dict[str, Any] = {"simulated": self._simulated, "language": self.language}
        self.histogram.value = str(show.histogram(self.trial, **about))
        self.strip.value = str(show.strip(self.trial, self.label.value, opacity=self.opacity.value, **about))
        self._heard.value = show.changed_predictions(self.trial, self.label.value, self.language)


def _place(text: str) -> edit.Place:
    return tuple(map(int, text.split("."))) if text else ()


def _joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several groups of images as one."""
    return Predictions(*map(np.concatenate, zip(*parts, strict=True)))


def _predict(predictor: Predictor, films: Sequence[np.ndarray]) -> Predictions:
    """Predict images, uint8 (H, W) each, whose shapes may differ."""
    # One by one: eight at once take as long and 45 MB more, which a page with many visitors needs for each of them.
    ready = (predictor.prepare(each.astype(np.float32) / 255)[None] for each in films)
    return _joined([Predictions(*predictor.predict_maps(each, prepared=True)) for each in ready])
