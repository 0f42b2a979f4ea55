# %% [markdown]
# # Augmentation: films that were never taken
#
# A network that sees each film once in one form learns the form as well. So training films are altered: mirrored,
# brightened, blurred, covered with noise, otherwise each time. The report of 2020 tries seven such *augmenters* (table
# 5), one at a time (table 7), and then a composite of them (figure 11). This notebook takes them apart.
#
# **What you will see**
#
# 1. what a recipe is, and table 5's seven augmenters on one film;
# 2. how steps are combined (table 6, figure 8), and how often each is then done;
# 3. how a draw comes from a seed, is written down and done again;
# 4. what an augmentation may not change;
# 5. a lab, in which you make a recipe by hand and see at once what a network says of its films;
# 6. one augmenter at a time (table 7, figure 9), with several seeds and intervals;
# 7. what an augmenter takes, and what it brings.
#
# The composite in training (figures 10 and 11) is in `05_covid_transfer`.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import networks

networks.start_tensorflow()

# %%
from cxrkit import augment, networks, phantom, show
from cxrkit.augment import OneOf, Op, Sequential, SomeOf
from cxrkit.course import check_answer, experiments, published
from cxrkit.film import detail, to_uint8
from cxrkit.labels import COVID
from cxrkit.metrics import Estimate
from cxrkit.widgets import AugmentLab

# %% [markdown]
# Sections 1 to 5 look at a few films, sections 6 and 7 train. With `MANIFEST = None` the films trained on are the
# course's, all simulated; for films of your own give a manifest with a column `covid`. To train whole networks instead
# of new heads takes hours: `cxrkit experiment augmenters MANIFEST --out runs/augmenters`.

# %% tags=["parameters"]
MANIFEST = None
ROOT = None
START = "findings14-small"
SIZE_PX = 64
SEEDS = (0, 1, 2)
PATIENTS = 60
DRAWS = 4
OUT = "runs/04_augmentation"

# %% [markdown]
# ## 1. A recipe
#
# A *recipe* says what is done to a film: an operation with its parameters, or several put together. A parameter is a
# number, a range `(low, high)` from which a number is drawn for each film, or a list of which one is drawn.

# %%
recipe = SomeOf((0, None), [Op("Fliplr", p=0.5), Op("Add", value=(-20, 20))], random_order=True)
print(recipe.to_json())

# %% [markdown]
# It is data: a file keeps it, training takes it, a widget edits it. And it is a program for imgaug, the library that
# the report used. cxrkit draws the random numbers, and imgaug performs the operations:

# %%
print(recipe.code())

# %% [markdown]
# ### Table 5 on one film
#
# The film is simulated. Each augmenter has the report's range; of the draws of twenty seeds, the one is shown that
# changed the film most.

# %%
kinds = {
    "no finding": {"findings": []},
    COVID: {"covid": True},
    "mass": {"findings": ["Mass"]},
    "effusion": {"findings": ["Effusion"]},
}
films = {
    f"patient {k}, {kind}": to_uint8(phantom.simulate(40 + k, size_px=224, **given).pixels)
    for k, (kind, given) in enumerate(kinds.items())
}
film = films[f"patient 1, {COVID}"]

# %%
names = [name for name in augment.NAMES if name.startswith("table05/")]
most, titles = [film], ["unchanged"]
for name in names:
    draws = augment.apply(augment.load(name), np.stack([film] * 20), seed=0)
    far = int(np.abs(draws.astype(int) - film).mean(axis=(1, 2)).argmax())
    most.append(draws[far])
    titles.append(show.augment.title(augment.draw(augment.load(name), seed=0, index=far)))
show.images(most, titles, simulated=True)

# %% [markdown]
# What the report printed of them, beside the recipe:

# %%
table05 = published.table("table05")
show.table(
    pd.DataFrame(
        {
            "augmenter": table05.index,
            "printed": [f"{low:g} to {high:g} {unit}" for low, high, unit in table05.itertuples(index=False)],
            "recipe": [show.augment.describe(augment.load(f"table05/{name}")) for name in table05.index],
        }
    )
)

# %% [markdown]
# The two noises are printed as shares of white, 255: a standard deviation of up to 7.65 grey levels. Next to them,
# `MultiplyElementwise` is no mild augmenter at all: it multiplies *each pixel* by a factor of its own.

# %% [markdown]
# ## 2. How steps are combined
#
# Table 6 names three ways: `Sequential` does all, `SomeOf` some, `OneOf` one. Drawn 600 times, how many of three steps
# are done?

# %%
parts = [Op("Add", value=(-20, 20)), Op("Multiply", mul=(0.5, 1.5)), Op("GaussianBlur", sigma=(0.5, 1.5))]
ways = {
    "Sequential": Sequential(parts),
    "SomeOf (0, None)": SomeOf((0, None), parts),
    "SomeOf (1, 2)": SomeOf((1, 2), parts),
    "OneOf": OneOf(parts),
}
counts = {name: [len(augment.draw(way, 1, k).children) for k in range(600)] for name, way in ways.items()}
shares = {name: np.bincount(done, minlength=4) / len(done) for name, done in counts.items()}
show.table(pd.DataFrame(shares, index=pd.Index(range(4), name="steps done")).T.rename_axis("recipe").reset_index())

# %% [markdown]
# The report's experiment with one augmenter at a time uses `SomeOf((0, None), [Fliplr(0.5), augmenter])` (figure 8): a
# third of the films gets nothing, a third one of both, a third both. So even "SaltAndPepper" leaves half of the films
# without noise. With `random_order` the order is drawn too, and it matters:

# %%
dark_first = Sequential([Op("Multiply", mul=0.5), Op("Add", value=60)])
bright_first = Sequential([Op("Add", value=60), Op("Multiply", mul=0.5)])
orders = [film, *(augment.apply(each, film[None])[0] for each in (dark_first, bright_first))]
show.images(orders, ["unchanged", "halved, then 60 added", "60 added, then halved"], columns=3, simulated=True)

# %% [markdown]
# The first has lost its blacks; the second its whites, which were cut off at 255 before they were halved. Cut off is
# lost: no later step brings it back.

# %% [markdown]
# ## 3. Seeds
#
# All draws come from a seed and from nothing else: the same seed gives the same films, on any machine. Film k hangs on
# seed and k alone, not on its neighbours.

# %%
composite = augment.load("fig11")
batch = np.stack(list(films.values()))
altered = augment.apply(composite, batch, seed=11)
print("again the same:", np.array_equal(altered, augment.apply(composite, batch, seed=11)))
print("the last alone:", np.array_equal(altered[3:], augment.apply(composite, batch[3:], seed=11, first=3)))
print("another seed:  ", np.array_equal(altered, augment.apply(composite, batch, seed=12)))

# %% [markdown]
# `draw` returns what was drawn for an image. It is a recipe too, in which nothing is random: it can be kept as JSON and
# applied again, to the same image or to another.

# %%
drawn = [augment.draw(composite, seed=11, index=k) for k in range(len(batch))]
for recipe in drawn:
    print(show.augment.drawn_words(recipe))
again = [augment.apply(recipe, film[None])[0] for recipe, film in zip(drawn, batch, strict=True)]
print("the same again:", np.array_equal(altered, again))

# %%
titles = [show.augment.title(recipe, name) for name, recipe in zip(films, drawn, strict=True)]
show.images(list(altered), titles, simulated=True)

# %% [markdown]
# ## 4. What an augmentation may not change
#
# An altered film keeps its label. That is only right where the alteration does not change what the label is about. Four
# alterations, each harmless for one question and fatal for another:

# %%
mass = films["patient 2, mass"]
dark = augment.apply(Op("Multiply", mul=0.5), mass[None])[0]
equal = Op("AllChannelsHistogramEqualization")
changes = {
    "mirrored": augment.apply(Op("Fliplr", p=1), mass[None])[0],
    "blurred": augment.apply(Op("GaussianBlur", sigma=4.0), mass[None])[0],
    "equalised": augment.apply(equal, mass[None])[0],
    "halved, then equalised": augment.apply(equal, dark[None])[0],
    "enlarged": augment.apply(Op("Affine", scale=1.9, mode="reflect"), mass[None])[0],
}
show.images([mass, dark, *changes.values()], ["unchanged", "halved", *changes], simulated=True)

# %% [markdown]
# - **Mirrored**, the heart is on the right. For *is there a mass* that is harmless; for *on which side*, or for a heart
#   that really lies on the right (dextrocardia), the label is now wrong.
# - **Blurred**, the film is one that the cleaning of table 4 would leave out; a small nodule is gone, and its label is
#   not.
# - **Equalised**, the film and its half as bright copy are nearly the same. Good for a network that is not to go by
#   exposure, and fatal for one that is to judge it.
# - **Enlarged**, what the label is about may lie outside the film.
#
# Measured:

# %%
sharp = {name: detail(each) for name, each in {"unchanged": mass, **changes}.items()}
apart = {
    "as they are": np.abs(mass.astype(int) - dark).mean(),
    "equalised": np.abs(changes["equalised"].astype(int) - changes["halved, then equalised"]).mean(),
}
print("detail:", ", ".join(f"{name} {value:.2f}" for name, value in sharp.items()))
print("grey levels between the film and its half:", ", ".join(f"{name} {gap:.1f}" for name, gap in apart.items()))

# %% [markdown]
# And a network's word on it. It was trained with mirrored films; it never saw such a blur:

# %%
findings = networks.load("findings14-small")
said = findings.predict([each / 255 for each in (mass, *changes.values())])[:, findings.labels.index("Mass")]
said = dict(zip(["unchanged", *changes], said.tolist(), strict=True))
show.table(pd.DataFrame({"film": list(said), "probability of Mass": list(said.values())}))

# %% [markdown]
# ## 5. The lab
#
# First as a picture: eight draws of figure 11's composite, and what the COVID-19 network says of them.

# %%
covid = networks.load("covid-small")
draws = augment.apply(composite, np.stack([film] * 8), seed=0)
probs = covid.predict(list(draws / 255))[:, covid.labels.index(COVID)]
titles = [
    show.augment.title(augment.draw(composite, seed=0, index=k), f"draw {k}: {prob:.2f}")
    for k, prob in enumerate(probs)
]
show.images(list(draws), titles, simulated=True)

# %% [markdown]
# Now you. Load a recipe by name, choose a step and drag its range; drag a step to another place, or move it with *Up*
# and *Down*; switch how steps are combined. Below each draw stands what was drawn, what the network says, and whether
# its call changed; the colour shows where it looks. *Save* keeps the recipe for `cxrkit train findings --augment`.
#
# Things to try: make COVID-19 vanish with one step. Find a recipe that changes the histogram and not the answer. Then
# show many films with one draw each: does it hold for all?

# %%
lab = AugmentLab(films, recipe="fig11", label=COVID, seed=2, simulated=True)

# %%
lab

# %% [markdown]
# What you made is `lab.recipe`, a recipe like any other:

# %%
print(show.augment.describe(lab.recipe))
lab.recipe.to_dict()["version"]

# %% [markdown]
# ## 6. One augmenter at a time: table 7 and figure 9
#
# Which augmenter makes a better network? All else alike: the same films of `PATIENTS` patients, the same start, the
# same seeds; figure 8 around each augmenter. To be quick, only a new head is trained here, on frozen features of each
# film and of `DRAWS` altered copies.

# %%
Path(OUT).mkdir(parents=True, exist_ok=True)
sets = experiments.load(MANIFEST, root=ROOT, size_px=SIZE_PX, cache=Path(OUT, "films"))
plan = experiments.Plan(START, mode="frozen", size_px=SIZE_PX, draws=DRAWS)
augmenters = experiments.augmenters(sets, plan, seeds=SEEDS, patients=PATIENTS, out=Path(OUT, "augmenters"))
show.experiments.settings(augmenters, title="Figure 9, held against no augmentation")

# %% [markdown]
# What the report printed beside what was measured. It heads its column *accuracy*; why its numbers must be AUROCs, and
# of how few films, is worked out in `05_covid_transfer`.

# %%
show.experiments.table(augmenters, ("AUROC",))

# %% [markdown]
# A difference is one when its interval leaves 0 out. Seven augmenters are seven chances to be lucky, so the table also
# has p by Holm's method, which asks more of each. The report trained each network once, and ranks them.

# %% [markdown]
# ## 7. What an augmenter takes, and what it brings
#
# Test films like the training films cannot show what augmentation is for. So here are the same test films as another
# machine might deliver them: darker, and with noise. And SaltAndPepper twice: as in figure 8, where half of the copies
# stay clean, and as in table 5 alone, where none does.

# %%
others = {"as they are": None, "darker": Op("Multiply", mul=0.6), "noisy": Op("SaltAndPepper", p=0.05)}
tests = {
    name: sets.test if how is None else replace(sets.test, pixels=augment.apply(how, np.asarray(sets.test.pixels)))
    for name, how in others.items()
}
show.images([each.pixels[0] for each in tests.values()], list(tests), columns=3, simulated=sets.simulated)

# %%
recipes = {
    "none": None,
    "Multiply": "fig08/Multiply",
    "SaltAndPepper": "fig08/SaltAndPepper",
    "SaltAndPepper, always": "table05/SaltAndPepper",
    "figure 11": "fig11",
}
settings = {
    name: experiments.Setting(
        replace(plan, recipe=how and augment.load(how)),
        partial(sets.choose, PATIENTS),
        sets.val,
    )
    for name, how in recipes.items()
}
measured = experiments.measure("elsewhere", sets, settings, tests, plan=plan, seeds=SEEDS, out=Path(OUT, "elsewhere"))

# %%
tables = {test: measured.score(test, reference="none").set_index("setting") for test in tests}
areas = {name: {test: Estimate.from_row(table.loc[name]) for test, table in tables.items()} for name in recipes}
show.experiments.matrix(
    areas, ylabel="augmented with", xlabel="the same test patients, images ...", simulated=sets.simulated
)

# %% [markdown]
# Held against no augmentation, with intervals that cover other patients and other seeds:

# %%
for test in ("as they are", "noisy"):
    for name in list(recipes)[2:]:
        print(f"{test:12} {name:22} {show.experiments.gain(tables[test].loc[name])}")

# %% [markdown]
# Read it by columns, on the course films:
#
# - *As they are*: with noise in every copy, a network that never saw a clean film is lost on clean films, and that is
#   no chance. With noise in half of them it lost nothing that could be shown. The way a recipe is put together may
#   matter more than what is in it.
# - *Darker*: hardly any difference. Brightness is no trouble to this start, which was itself trained with films of many
#   exposures; augmenting against it again buys nothing.
# - *Noisy*: everyone loses, and those that knew the noise least. But the intervals hold 0: so few films do not show it.
#
# In the report's table 7 SaltAndPepper is the worst of all (0.89). It was tested on films without noise. An augmenter
# is a statement about the films to come: *they will differ in this, and it will not matter*. Table 7 asks only about
# films that do not differ.

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
rows = augmenters.table.query("measure == 'AUROC'").set_index("setting").drop("none")
shown = rows[(rows["difference low"] > 0) | (rows["difference high"] < 0)]
print(
    f"Of {len(rows)} augmenters {len(shown)} differ from none: {', '.join(shown.index) or 'no interval leaves 0 out'}."
)
always = areas["SaltAndPepper, always"]
print(
    f"Noise in every copy: {always['as they are'].value:.2f} on clean films, {always['noisy'].value:.2f} on noisy ones;"
)
print(f"no augmentation: {areas['none']['as they are'].value:.2f} and {areas['none']['noisy'].value:.2f}.")
print(f"Blur took the probability of a mass from {said['unchanged']:.2f} to {said['blurred']:.2f}.")
show.disclaimer(simulated=True, not_shown=["COVID-19", "Mass"])

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** Figure 8 around Add: `SomeOf((0, None), [Fliplr(0.5), Add])`. Which share of the training films is mirrored?

# %%
answer = None
check_answer("04.1", answer)

# %% [markdown]
# **2.** Of the alterations of section 4, which moved the network's probability of *Mass* furthest? Give its name as a
# string.

# %%
answer = None
check_answer("04.2", answer, probs=said)

# %% [markdown]
# **3.** The report's SaltAndPepper(0.05) replaces 5% of the pixels. In how many of 1,000 films does a given pixel, say
# the tip of a line in a lung, survive ten altered copies, each with the noise?

# %%
answer = None
check_answer("04.3", answer)
