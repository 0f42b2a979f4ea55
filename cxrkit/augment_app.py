"""The augmentation lab: widgets that edit a recipe, and beside them what it draws and what a network says of that.

The lab holds one recipe, which is a value; every control makes another one of it with the functions of `augment`, and
whatever is legal there can be shown and edited here. Controls follow the recipe, never the other way round: what
nobody touched stays as it was, to the last bit.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets

from cxrkit import augment, augment_report, augment_trial, engine
from cxrkit._augment_widgets import WIDE, ParameterEditor, TextOut, kept_within
from cxrkit._widgets import StepTree, networks, said
from cxrkit.augment import OPERATIONS, Op, Place, Recipe, Sequential, SomeOf, Sometimes

_MANY, _SINGLE = "many films, one each", "one film, many draws"
#: So many parameters have room to say what each is for.
_FEW = 3
#: What "all" is on a slider, where None would mean that nothing is chosen; and a recipe that has no name.
_ALL, _OWN = -1, ""
_FULL = {"width": "98%"}


class AugmentLab(widgets.VBox):
    """Make a recipe by hand, and see at once what it does to films and to what a network says of them.

    Attributes:
        recipe: the recipe as it is; may be set, and observed.
        trial: the draws that are shown.
        steps: the tree of its steps.
        undo, add, remove, up, down, wrap, unwrap: buttons; `operation` is what `add` adds, `around` what `wrap` makes.
        kind, random_order, least, most, p: how the group of the chosen step is put together.
        values: of the chosen operation, a `ParameterEditor` by parameter.
        whole_range: sliders reach over all that is legal.
        name: a recipe by name, to load.
        network, label, opacity: what is asked, and how the map is laid over the film.
        show, film, draws, seed, again: what is drawn.
        json, use_json, code, file, save, load, upload: the recipe as text and as a file.
        strip, histogram, message: what is seen, HTML.
    """

    recipe = traitlets.Instance(Recipe)

    def __init__(
        self,
        films: Mapping[str, np.ndarray],
        predictors: Sequence[engine.Predictor] | None = None,
        *,
        recipe: Recipe | str = "fig11",
        label: str | None = None,
        draws: int = 8,
        seed: int = 0,
        size_px: int = 224,
        folder: Path | str | None = ".",
        simulated: bool = False,
    ) -> None:
        """Build the lab.

        Args:
            films: (H, W) each, float in [0, 1] or uint8, by the name to show.
            predictors: networks to ask; None takes the two bundled ones.
            recipe: to begin with, or its name.
            label: the label to begin with; None takes the first.
            draws: how many to begin with.
            seed: draw k is what `augment.apply` gives film k of a batch with this seed.
            size_px: longest side to which films are reduced before anything is done to them.
            folder: where recipes are saved and loaded by name; None leaves that out, for a page that others visit.
            simulated: say so beside every film.
        Raises:
            ValueError: no film or network, or an unknown recipe.
        """
        asked = networks(films, predictors)
        self._films = {name: augment_trial.reduced(pixels, size_px) for name, pixels in films.items()}
        self._networks = {predictor.name: predictor for predictor in asked}
        self._folder, self._simulated = None if folder is None else Path(folder), simulated
        self._known: dict[tuple[str, str], augment_trial.Answers] = {}
        self._place: Place = ()
        self._undone: list[Recipe] = []
        # Set while controls follow the recipe, when a change of theirs is nobody's wish.
        self._following = False
        start = augment.load(recipe)
        self._make_controls(draws, seed)
        if label is not None:
            self._follow(lambda: setattr(self.label, "value", label))
        super().__init__(self._laid_out())
        self.add_class("cxrkit-lab")
        self._wire()
        self.recipe = start

    # ------------------------------------------------------------------------------------------ controls

    def _make_controls(self, draws: int, seed: int) -> None:
        button, slider = widgets.Button, widgets.IntSlider
        small = {"width": "auto"}
        self.name = widgets.Dropdown(
            options=[("your own", _OWN), *((name, name) for name in augment.NAMES)],
            description="recipe",
            tooltip="load a recipe by name; what is here is kept by Undo",
            style={"description_width": "3.5em"},
            layout={"flex": "1 1 10em"},
        )
        self.undo = button(description="Undo", tooltip="the recipe as it was before", layout=small)
        self.steps = StepTree(layout={"width": "100%"})
        self.operation = widgets.Dropdown(
            options=list(OPERATIONS), value="Add", tooltip="what is added", layout={"width": "15em", "flex": "1 1 8em"}
        )
        self.add = button(
            description="Add step", tooltip="after the chosen step, or into the chosen group", layout=small
        )
        self.up = button(description="Up", tooltip="move the chosen step up in its group", layout=small)
        self.down = button(description="Down", tooltip="move the chosen step down in its group", layout=small)
        self.remove = button(description="Remove", tooltip="remove the chosen step", layout=small)
        self.around = widgets.Dropdown(
            options=augment.GROUPS, value="Sometimes", tooltip="what the chosen step is put in", layout={"width": "8em"}
        )
        self.wrap = button(
            description="Put in a group", tooltip="put the chosen step in a group of its own", layout=small
        )
        self.unwrap = button(description="Ungroup", tooltip="put a group's steps in its place", layout=small)

        self.kind = widgets.ToggleButtons(
            options=augment.GROUPS,
            value=None,
            tooltips=("all, one after another", "some of them", "one of them", "for some of the films"),
            style={"button_width": "8em"},
        )
        self.random_order = widgets.Checkbox(description="in random order", indent=False, layout={"width": "10em"})
        self.least = slider(0, 0, 1, description="at least", style=WIDE, layout={"width": "22em"})
        self.most = widgets.SelectionSlider(options=[("all", _ALL)], description="at most", style=WIDE)
        self.most.layout.width = "22em"
        self.p = widgets.FloatSlider(0.5, min=0, max=1, step=0.01, description="how often", style=WIDE)
        self.whole_range = widgets.Checkbox(
            description="sliders over all that is legal", indent=False, layout={"width": "auto"}
        )
        self._group_title, self._step_title = widgets.HTML(), widgets.HTML()
        self._step = widgets.VBox(layout={"width": "100%"})
        self.values: dict[str, ParameterEditor] = {}

        near, field = {"description_width": "4.5em"}, {"width": "19em"}
        self.network = widgets.Dropdown(options=list(self._networks), description="network", style=near, layout=field)
        self.label = widgets.Dropdown(
            options=self._networks[self.network.value].labels, description="says", style=near, layout=field
        )
        self.opacity = widgets.FloatSlider(
            0.5, min=0, max=1, step=0.05, description="opacity", style=near, layout=field
        )
        self.opacity.tooltip = "of the map over the film; 0 shows the film alone"
        self.show = widgets.Dropdown(options=(_SINGLE, _MANY), description="show", style=near, layout=field)
        self.film = widgets.Dropdown(options=list(self._films), description="film", style=near, layout=field)
        self.draws = slider(draws, 1, 16, description="draws", style=near, layout=field)
        self.seed = widgets.BoundedIntText(
            seed, min=0, max=2**31 - 1, description="seed", style=near, layout={"width": "11em"}
        )
        self.again = button(description="Draw again", tooltip="with the next seed", layout=small)

        text = {"layout": {"width": "98%", "height": "17em"}}
        self.json = widgets.Textarea(description="", tooltip="the recipe as JSON; may be edited", **text)
        self.use_json = button(
            description="Use this JSON", tooltip="take the recipe that the text above is", layout={"width": "auto"}
        )
        self.code = widgets.Textarea(disabled=True, tooltip="the recipe as Python source for imgaug", **text)
        self._json_out = TextOut(name="recipe.json")
        self._code_out = TextOut(name="recipe.py")
        self.file = widgets.Text("my_recipe.json", description="file", style=near, layout=field)
        self.save = button(description="Save", tooltip="write a new file; one that is there is kept", layout=small)
        self.load = button(description="Load", tooltip="read a recipe from that file", layout=small)
        self.upload = widgets.FileUpload(
            accept=".json", description="Load from your computer", tooltip="a recipe's JSON", layout={"width": "auto"}
        )
        self.message = widgets.HTML(said(""))
        self.strip, self.histogram = widgets.HTML(layout=_FULL), widgets.HTML(layout=_FULL)

    def _laid_out(self) -> list[widgets.Widget]:
        row = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 4px"}
        left = widgets.VBox(
            [
                widgets.HBox([self.name, self.undo], layout=row),
                self.steps,
                widgets.HBox([self.operation, self.add], layout=row),
                widgets.HBox([self.up, self.down, self.remove, self.unwrap], layout=row),
                widgets.HBox([self.wrap, self.around], layout=row),
            ],
            layout={"flex": "1 1 300px", "min_width": "260px", "max_width": "420px"},
        )
        self._many = widgets.VBox([self.least, self.most])
        right = widgets.VBox(
            [
                self._group_title,
                widgets.HBox([self.kind], layout=row),
                widgets.HBox([self.random_order, self._many, self.p], layout=row),
                self._step_title,
                self._step,
                self.whole_range,
                self.histogram,
            ],
            layout={"flex": "2 1 380px", "min_width": "300px", "padding": "0 0 0 8px"},
        )
        files = [self.upload] if self._folder is None else [self.file, self.save, self.load, self.upload]
        texts = widgets.Accordion(
            [
                widgets.VBox([self.json, widgets.HBox([self.use_json, self._json_out], layout=row)]),
                widgets.VBox([self.code, self._code_out]),
            ],
            titles=("The recipe as JSON", "The recipe as imgaug code"),
        )
        return [
            widgets.HBox([self.show, self.film, self.draws, self.seed, self.again], layout=row),
            widgets.HBox([self.network, self.label, self.opacity], layout=row),
            widgets.HBox([left, right], layout={"flex_flow": "row wrap", "align_items": "flex-start"}),
            self.message,
            self.strip,
            widgets.HBox(files, layout=row),
            texts,
        ]

    def _wire(self) -> None:
        self.observe(self._show_recipe, "recipe")
        self.name.observe(self._name_chosen, "value")
        self.steps.observe(self._row_chosen, "chosen")
        self.steps.on_msg(lambda widget, content, buffers: self._asked(content))
        edits: dict[widgets.Button, Callable[[], tuple[Recipe, Place]]] = {
            self.add: self._added,
            self.remove: self._removed,
            self.up: lambda: self._moved(-1),
            self.down: lambda: self._moved(1),
            self.wrap: self._wrapped,
            self.unwrap: self._unwrapped,
            self.use_json: lambda: (augment.from_json(self.json.value), ()),
            self.load: lambda: (augment.load(self._path()), ()),
        }
        for button, edit in edits.items():
            button.on_click(lambda _, edit=edit: self._edit(edit))
        self.undo.on_click(self._undo)
        self.save.on_click(self._save)
        self.upload.observe(self._uploaded, "value")
        self.kind.observe(self._kind_chosen, "value")
        for control in (self.random_order, self.least, self.most, self.p):
            control.observe(self._group_changed, "value")
        self.whole_range.observe(self._show_step, "value")
        self.again.on_click(lambda _: setattr(self.seed, "value", self.seed.value + 1))
        self.network.observe(self._network_chosen, "value")
        for control in (self.show, self.film, self.draws, self.seed):
            control.observe(self._draw, "value")
        for control in (self.label, self.opacity):
            control.observe(self._picture, "value")

    # -------------------------------------------------------------------------------- controls to recipe

    def _edit(self, edit: Callable[[], tuple[Recipe, Place]]) -> None:
        """Take the recipe that an edit gives, or say why there is none."""
        try:
            recipe, place = edit()
        except ValueError as error:
            self.message.value = said(str(error), wrong=True)
            return
        # First the place: what follows a new recipe shows the step there.
        self._place = place
        if recipe == self.recipe:
            self._follow(self._show_controls)
        self.recipe = recipe
        self.message.value = said("")

    def _added(self) -> tuple[Recipe, Place]:
        new, chosen = augment.default(self.operation.value), augment.part(self.recipe, self._place)
        if not isinstance(chosen, Op):
            place = (*self._place, len(chosen.children))
            return augment.insert(self.recipe, place, new), place
        if not self._place:
            return augment.insert(augment.grouped(self.recipe, "Sequential"), (1,), new), (1,)
        place = (*self._place[:-1], self._place[-1] + 1)
        return augment.insert(self.recipe, place, new), place

    def _removed(self) -> tuple[Recipe, Place]:
        return augment.remove(self.recipe, self._place), self._place[:-1]

    def _moved(self, by: int) -> tuple[Recipe, Place]:
        if not self._place:
            return self.recipe, self._place
        group = augment.part(self.recipe, self._place[:-1])
        to = self._place[-1] + (by if by < 0 else 2)
        if not 0 <= to <= len(group.children):
            return self.recipe, self._place
        return augment.move(self.recipe, self._place, (*self._place[:-1], to))

    def _dropped(self, place: Place, to: Place, mode: str) -> tuple[Recipe, Place]:
        if mode == "inside":
            to = (*to, len(augment.part(self.recipe, to).children))
        elif mode == "after":
            to = (*to[:-1], to[-1] + 1)
        return augment.move(self.recipe, place, to)

    def _wrapped(self) -> tuple[Recipe, Place]:
        empty = augment.grouped(Op("Noop"), self.around.value)
        group = augment.with_children(empty, [augment.part(self.recipe, self._place)])
        return augment.put(self.recipe, self._place, group), self._place

    def _unwrapped(self) -> tuple[Recipe, Place]:
        group = augment.part(self.recipe, self._place)
        if isinstance(group, Op):
            raise ValueError(f"{group.name} is no group; choose a group to put its steps in its place.")
        if len(group.children) == 1:
            return augment.put(self.recipe, self._place, group.children[0]), self._place
        if not self._place:
            raise ValueError("the whole recipe is a group of several steps, and stays one; choose one within it.")
        around = augment.part(self.recipe, self._place[:-1])
        k = self._place[-1]
        children = [*around.children[:k], *group.children, *around.children[k + 1 :]]
        return augment.put(self.recipe, self._place[:-1], augment.with_children(around, children)), self._place[:-1]

    def _asked(self, content: Mapping[str, Any]) -> None:
        """Do what the tree asks for."""
        asked = content.get("do")
        if asked == "drop":
            place, to = _place(content["place"]), _place(content["to"])
            self._edit(lambda: self._dropped(place, to, content["mode"]))
        elif asked in ("up", "down", "remove"):
            {"up": self.up, "down": self.down, "remove": self.remove}[asked].click()

    def _name_chosen(self, change: Any) -> None:
        if not self._following and change["new"] != _OWN:
            self._edit(lambda: (augment.named(change["new"]), ()))

    def _row_chosen(self, change: Any) -> None:
        if not self._following:
            self._place = _place(change["new"])
            self._follow(self._show_group)
            self._show_step()

    def _group_place(self) -> Place | None:
        """Return where the group is whose settings are shown: the chosen one, or that of the chosen operation."""
        if not isinstance(augment.part(self.recipe, self._place), Op):
            return self._place
        return self._place[:-1] if self._place else None

    def _kind_chosen(self, change: Any) -> None:
        if self._following or change["new"] is None:
            return
        place = self._group_place()

        def regroup() -> tuple[Recipe, Place]:
            if place is None:
                return augment.grouped(self.recipe, change["new"]), (0,)
            return augment.put(
                self.recipe, place, augment.grouped(augment.part(self.recipe, place), change["new"])
            ), self._place

        self._edit(regroup)
        self._follow(self._show_group)

    def _group_changed(self, change: Any) -> None:
        place = self._group_place()
        if self._following or place is None:
            return
        group = augment.part(self.recipe, place)
        if isinstance(group, Sometimes):
            unmoved = abs(self.p.value - group.p) < kept_within(self.p.step)
            new: Recipe = Sometimes(group.p if unmoved else self.p.value, group.then, group.otherwise)
        elif isinstance(group, SomeOf):
            n = group.n if change["owner"] is self.random_order else self._how_many(change["owner"])
            new = SomeOf(n, group.children, random_order=self.random_order.value)
        else:
            new = Sequential(group.children, random_order=self.random_order.value)
        if new != group:
            self._edit(lambda: (augment.put(self.recipe, place, new), self._place))

    def _how_many(self, moved: widgets.Widget) -> int | tuple[int, int | None]:
        """Return n of `SomeOf` as the sliders say; the slider that was not moved gives way."""
        least, most = self.least.value, self.most.value
        if most == _ALL:
            return (least, None)
        if least > most:
            least = most = self.most.value if moved is self.most else self.least.value
        return least if least == most else (least, most)

    def _value_changed(self, parameter: str, value: Any) -> None:
        op = augment.part(self.recipe, self._place)
        assert isinstance(op, Op)
        self._edited_here = True
        self._edit(
            lambda: (augment.put(self.recipe, self._place, augment.with_value(op, parameter, value)), self._place)
        )
        self._edited_here = False

    _edited_here = False

    def _undo(self, button: object) -> None:
        if self._undone:
            recipe = self._undone.pop()
            self._edit(lambda: (recipe, ()))
            # Going back is no step to come back from.
            self._undone.pop()
            self.undo.disabled = not self._undone

    # ------------------------------------------------------------------------------------------- files

    def _path(self) -> Path:
        """Return the file that is named, within the folder."""
        name = self.file.value.strip()
        assert self._folder is not None
        if not name or Path(name).name != name or "\\" in name or not name.endswith(".json"):
            raise ValueError(f"the file must be a plain name that ends in .json, without a folder; got {name!r}.")
        return self._folder / name

    def _save(self, button: object) -> None:
        try:
            # "x": a file that is there is never written over, not even one made this moment.
            with self._path().open("x", encoding="utf-8") as file:
                file.write(self.recipe.to_json() + "\n")
        except FileExistsError:
            self.message.value = said(f"{self.file.value} is there already and was kept; choose another name.", True)
        except (OSError, ValueError) as error:
            self.message.value = said(str(error), True)
        else:
            self.message.value = said(f"Saved as {self.file.value}.")

    def _uploaded(self, change: Any) -> None:
        def read() -> tuple[Recipe, Place]:
            return augment.from_json(bytes(change["new"][0]["content"]).decode("utf-8")), ()

        if change["new"]:
            self._edit(read)

    # -------------------------------------------------------------------------------- recipe to controls

    def _follow(self, show: Callable[[], None]) -> None:
        before, self._following = self._following, True
        try:
            show()
        finally:
            self._following = before

    def _show_recipe(self, change: Any) -> None:
        if isinstance(change["old"], Recipe):
            self._undone.append(change["old"])
        self.undo.disabled = not self._undone
        try:
            augment.part(self.recipe, self._place)
        except ValueError:
            # Set from outside, where the chosen step is no more.
            self._place = ()
        self._follow(self._show_controls)
        self._draw()

    def _show_controls(self) -> None:
        if self.name.value == _OWN or augment.named(self.name.value) != self.recipe:
            self.name.value = next((name for name in augment.NAMES if augment.named(name) == self.recipe), _OWN)
        # The chosen row with the rows: between them the tree would show a row that is not there.
        with self.steps.hold_sync():
            self.steps.rows = [
                {
                    "place": _text(place),
                    "depth": len(place),
                    "text": _prefix(self.recipe, place) + augment_report.describe(part),
                    "group": not isinstance(part, Op),
                }
                for place, part in augment.places(self.recipe)
            ]
            self.steps.chosen = _text(self._place)
        self.json.value = self._json_out.text = self.recipe.to_json()
        self.code.value = self._code_out.text = self.recipe.code()
        self._show_group()
        # The slider in one's hand must not be replaced by another.
        if not self._edited_here:
            self._show_step()

    def _show_group(self) -> None:
        place = self._group_place()
        group = None if place is None else augment.part(self.recipe, place)
        title = "How steps are combined (one step alone)" if group is None else "How the steps are combined"
        if place:
            title = f"How the steps of the inner {type(group).__name__} are combined"
        self._group_title.value = f"<b>{title}</b>"
        self.kind.value = None if group is None else type(group).__name__
        self.random_order.layout.display = None if isinstance(group, SomeOf | Sequential) else "none"
        self._many.layout.display = None if isinstance(group, SomeOf) else "none"
        self.p.layout.display = None if isinstance(group, Sometimes) else "none"
        if isinstance(group, SomeOf | Sequential):
            self.random_order.value = group.random_order
        if isinstance(group, Sometimes):
            self.p.value = group.p
        if isinstance(group, SomeOf):
            count = len(group.children)
            low, high = group.n if isinstance(group.n, tuple) else (group.n, group.n)
            low = count if low is None else low
            top = max(count, low, high or 0)
            self.least.max, self.least.value = top, low
            self.most.options = [*((str(k), k) for k in range(top + 1)), ("all", _ALL)]
            self.most.value = _ALL if high is None else high

    def _show_step(self, change: object = None) -> None:
        for editor in self._step.children:
            editor.close()
        chosen = augment.part(self.recipe, self._place)
        self.values = {}
        if isinstance(chosen, Op):
            operation = OPERATIONS[chosen.name]
            self._step_title.value = f"<b>{chosen.name}</b>: {escape(operation.doc)}"
            self.values = {
                parameter.name: ParameterEditor(
                    parameter,
                    chosen[parameter.name],
                    self._value_changed,
                    whole_range=self.whole_range.value,
                    brief=len(operation.parameters) > _FEW,
                )
                for parameter in operation.parameters
            }
        else:
            self._step_title.value = "<i>Choose a step on the left to set what it does.</i>"
        self._step.children = tuple(self.values.values())
        self.whole_range.layout.display = None if self.values else "none"

    # ---------------------------------------------------------------------------------------- pictures

    def _network_chosen(self, change: Any) -> None:
        def show() -> None:
            self.label.options = self._networks[change["new"]].labels

        self._follow(show)
        self._draw()

    def _draw(self, change: object = None) -> None:
        names = list(self._films)
        many = self.show.value == _MANY
        self.film.disabled = many
        self._shown = names[: self.draws.value] if many else [self.film.value] * self.draws.value
        predictor = self._networks[self.network.value]
        for name in set(self._shown):
            if (predictor.name, name) not in self._known:
                self._known[predictor.name, name] = augment_trial.ask(predictor, [self._films[name]])
        known = [self._known[predictor.name, name] for name in self._shown]
        before = augment_trial.Answers(*(np.concatenate([getattr(a, key) for a in known]) for key in ("probs", "maps")))
        self.trial = augment_trial.attempt(
            self.recipe, [self._films[name] for name in self._shown], predictor, seed=self.seed.value, before=before
        )
        self.histogram.value = str(
            augment_report.histogram(self.trial.greys_before, self.trial.greys_after, simulated=self._simulated)
        )
        self._picture()

    def _picture(self, change: object = None) -> None:
        if self._following:
            return
        label = self.label.value
        self.strip.value = str(
            augment_report.strip(
                self.trial,
                label=label,
                names=self._shown,
                network=self.network.value,
                opacity=self.opacity.value,
                not_shown=label in self._networks[self.network.value].not_shown,
                simulated=self._simulated,
            )
        )


def _text(place: Place) -> str:
    return ".".join(map(str, place))


def _place(text: str) -> Place:
    return tuple(map(int, text.split("."))) if text else ()


def _prefix(recipe: Recipe, place: Place) -> str:
    if not place or not isinstance(augment.part(recipe, place[:-1]), Sometimes):
        return ""
    return "then: " if place[-1] == 0 else "otherwise: "
