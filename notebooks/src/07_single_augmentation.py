# %% [markdown]
# # One alteration at a time: what brightness, contrast and blur do to a network's calls
#
# Section C of the report of 2020 asks its network again, on altered test films. First one alteration at a time: tables
# 10 to 16 print 32 rows, of accuracies from 0.766 to 0.829, and from them it chooses what its ten rounds are made of
# (`08_ten_rounds`). This notebook makes all 32 rows, with what the report left out: intervals, the films that changed
# sides, and what another draw would have given.
#
# **What you will see**
#
# 1. the report's rows, rebuilt: is 330 of 397 better than 328?
# 2. alterations that do nothing at all (table 10), or hardly anything (tables 11 and 12);
# 3. a pair of numbers that is a lottery (tables 13 to 16), drawn several times;
# 4. what an accuracy hides: films that changed sides, and McNemar's test;
# 5. sixty-four chances to be lucky.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from cxrkit import networks

networks.start_tensorflow()

# %%
from cxrkit import augment, metrics, rounds, show
from cxrkit.course import check_answer, experiments, published
from cxrkit.course.experiments import Plan

# %% [markdown]
# With `MANIFEST = None` the films are the course's, all simulated; for films of your own give a manifest with a column
# `covid`. A network that is nearly always right, as `covid-small` is on course films, has no calls to change. So here
# one learns from `PATIENTS` patients alone, and errs about as often as the report's. On a whole set of films, with a
# network of yours: `cxrkit sweep MANIFEST --model MODEL --out runs/sweep`.

# %% tags=["parameters"]
MANIFEST = None
ROOT = None
START = "findings14-small"
SIZE_PX = 96
PATIENTS = 20
SEEDS = (0, 1, 2)
THRESHOLD = 0.5
OUT = "runs/07_single_augmentation"

# %% [markdown]
# ## 1. The report's rows
#
# The report asks 397 films, 97 of them COVID-19, and prints five measures of each row. Only one count of right and
# wrong calls fits each row, so that it can be rebuilt, and with it the interval:

# %%
untouched, stack = ("table09", "4"), ("table23", "blur>sharpen")
rows = {"untouched (table 9)": untouched, "Multiply(1.1)": ("table11", "Multiply(1.1)"), "blur, then sharpen": stack}
found = {name: published.matrix(*row) for name, row in rows.items()}
for name, one in found.items():
    print(f"{name}: {one.tp + one.tn} of {one.n} right, {one.fn} of {one.tp + one.fn} with COVID-19 missed")
show.forest(
    {name: one.estimates()["accuracy"] for name, one in found.items()},
    reference=None,
    xlabel="accuracy, 397 films",
    title="The report's untouched films and its two best rows",
)

# %% [markdown]
# The rows are of the same films, so overlapping intervals do not settle it: what counts are the films that one row has
# right and the other wrong. The report does not print which these are. But not everything is possible; so all ways to
# pair the calls are tried, and the smallest and the largest p of McNemar's test stand for all.

# %%
better = published.compare(stack, untouched)
print(f"330 of 397 against 328: {better.differing[0]} to {better.differing[1]} films on which only one is right,")
print(f"p {better.p[0]:.2f} to {better.p[1]:.2f}; the difference, at its surest,", end=" ")
print(f"{better.narrowest.value:+.3f} ({better.narrowest.low:+.3f} to {better.narrowest.high:+.3f})")

# %% [markdown]
# **However the calls were paired, it is not shown that 330 is better than 328.** And all 32 rows against the untouched
# films?

# %%
tables = [f"table{number}" for number in range(10, 17)]
theirs = {
    (name, row): published.compare((name, row), untouched) for name in tables for row in published.table(name).index
}
shown = {
    row: ("better" if one.a.value > one.b.value else "worse", one.p)
    for row, one in theirs.items()
    if one.p[0] < show.rounds.SHOWN
}
print(f"{sum(one.a.value > one.b.value for one in theirs.values())} of {len(theirs)} rows have more films right;")
print(f"{len(shown)} can be another than the untouched films at all, in the pairing that suits them best:")
for (name, row), (way, p) in shown.items():
    print(f"    {name} {row}: {way}, p {p[0]:.3f} to {p[1]:.3f}")

# %% [markdown]
# No row of the report is shown to be a gain, and the only differences that may be real are losses. What the report took
# on to its ten rounds was chosen by differences that luck alone can make, on the very films that it then reported.
#
# ## 2. Nothing, or hardly anything: tables 10 to 12
#
# Now the same here. The network: the 14-finding network's layers, and a new head.

# %%
Path(OUT).mkdir(parents=True, exist_ok=True)
sets = experiments.load(MANIFEST, root=ROOT, size_px=SIZE_PX, cache=Path(OUT, "films"))
plan = Plan(START, mode="frozen", size_px=SIZE_PX)
learned = experiments.learn(sets.choose(PATIENTS), sets.val, plan, seed=0)
films, targets, patients = sets.test.pixels, experiments.positive(sets.test), sets.test.patients
print(f"{len(films)} test films of {sets.name}, {int(targets.sum())} of them COVID-19")
print("right, untouched:", f"{np.mean((learned.predict(sets.test) >= THRESHOLD) == targets):.3f}")

# %% [markdown]
# A film and what some of the rows make of it:

# %%
extremes = ["Add(100)", "Multiply(1.5)", "GammaContrast((0.5,0.5))", "GammaContrast((2.5,2.5))"]
extremes += ["Sharpen(alpha=0.03,lightness=1.5)", "GaussianBlur((1.0,1.0))", "GaussianBlur((5.0,1.0))"]
grids = {name: rounds.GRIDS[name] for name in tables}
recipes = {row: recipe for grid in grids.values() for row, recipe in grid.items()}
film = films[0]
altered = [augment.apply(recipes[row], film[None], seed=0)[0] for row in extremes]
titles = ["unchanged", *(row.replace("(", "\n(", 1) for row in extremes)]
show.images([film, *altered], titles, simulated=sets.simulated)

# %% [markdown]
# Each table is one call. Every row is held against the untouched films (the broken line); where a row draws its values,
# it is drawn once with each seed.

# %%
options = {"patients": patients, "threshold": THRESHOLD, "seeds": SEEDS}
sweeps = {
    name: published.beside(rounds.sweep(learned.predict_batch, films, targets, name, **options)) for name in tables
}
show.rounds.sweep_figure(sweeps["table10"], simulated=sets.simulated, title="Table 10: Add")

# %%
show.rounds.sweep_table(sweeps["table10"])

# %% [markdown]
# `Add(0.01)` and `Add(0.1)` *must* be the untouched films: pixels are whole grey levels, and 0.1 of one is rounded
# away. That the report has them equal says that nothing went wrong. But it has all five rows equal, to the last film:

# %%
small = [np.array_equal(augment.apply(recipes[row], film[None])[0], film) for row in ("Add(0.01)", "Add(0.1)")]
changed = sweeps["table10"].flips.set_index("row").eval("`wrong to right` + `right to wrong`")
print("Add(0.01) and Add(0.1) leave the film as it is:", small)
print("calls that changed here:", changed.to_dict())
print("white, cut off, after Add(100):", f"{np.mean(altered[0] == 255):.0%} of the pixels of the film above")

# %% [markdown]
# For a network to change not one of 397 calls when 100 grey levels are added to every pixel, its input must be made
# even, film by film, before it is seen, or the addition never reached it. The report does not say. Where a table holds
# five equal rows, ask whether the experiment was done.

# %%
show.rounds.sweep_figure(sweeps["table11"], simulated=sets.simulated, title="Table 11: Multiply")

# %%
show.rounds.sweep_figure(sweeps["table12"], simulated=sets.simulated, title="Table 12: Sharpen")

# %% [markdown]
# `alpha=0.03` mixes 3% of the sharpened film into the film. All four rows of table 12 look like the film that they
# were made of; two of them are rounds E and F. That some calls change all the same says how close to the threshold
# this network has put some films, and nothing about their lungs.
#
# ## 3. A pair is a lottery: tables 13 to 16
#
# The report writes `GammaContrast((0.5, 2.0))` and describes it as a first and a second parameter. To imgaug a pair is
# a *range*: each film gets a value of its own, drawn between the two. So such a row is one draw, and another would have
# given another accuracy. The thin marks are the lowest and the highest of the draws here.

# %%
show.rounds.sweep_figure(sweeps["table13"], simulated=sets.simulated, title="Table 13: GammaContrast from 0.5 on")

# %%
show.rounds.sweep_figure(sweeps["table14"], simulated=sets.simulated, title="Table 14: GammaContrast up to 2.5")

# %%
show.rounds.sweep_figure(sweeps["table15"], simulated=sets.simulated, title="Table 15: GaussianBlur from 0 on")

# %%
show.rounds.sweep_figure(sweeps["table16"], simulated=sets.simulated, title="Table 16: GaussianBlur, 1.0 at one end")

# %% [markdown]
# How far apart are draws of the same row, and how far apart are rows that the report ranks?

# %%
drawn = pd.concat([each.table.query("measure == 'accuracy' and draws > 1") for each in sweeps.values()])
spread = (drawn["highest"] - drawn["lowest"]).max()
drawing = {row for each in sweeps.values() for row, recipe in each.recipes.items() if not augment.is_fixed(recipe)}
printed = [one.a.value - one.b.value for (_, row), one in theirs.items() if row in drawing]
print(f"here, draws of one row lie up to {spread:.3f} apart ({len(SEEDS)} draws, {len(films)} films);")
print(
    f"{sum(abs(gap) <= spread for gap in printed)} of the report's {len(printed)} rows that draw lie no further",
    end=" ",
)
print("from its untouched films, one draw each")

# %% [markdown]
# A blur has a `sigma` in *pixels*. On films of 96 px `sigma=5` takes away what it takes away at 224 px with 11.7, so
# that the rows of tables 15 and 16 are harder here than in the report, and no row can be held against its own row
# there as if both were one experiment. The table as words:

# %%
show.rounds.sweep_table(sweeps["table15"])

# %% [markdown]
# ## 4. What an accuracy hides
#
# Two films mended and two spoilt leave the accuracy where it was. A row's calls are compared film by film: *wrong to
# right*, *right to wrong*. McNemar's test asks whether one of the two is more than chance; films on which both agree
# say nothing.

# %%
flips = pd.concat([each.flips for each in sweeps.values()], ignore_index=True)
show.rounds.flips_table(flips.query("`wrong to right` + `right to wrong` > 0"), "row")

# %%
both = flips.query("`wrong to right` > 0 and `right to wrong` > 0")
turned = flips["wrong to right"] + flips["right to wrong"]
net = (flips["wrong to right"] - flips["right to wrong"]).abs()
print(f"{len(both)} of {len(flips)} rows mend some films and spoil others.")
print(f"In all {turned.sum()} calls changed, and accuracies moved by {net.sum()} films.")

# %% [markdown]
# Nor is that all that it hides. `Add(100)` may leave the accuracy nearly where it was, and lose most films with
# COVID-19 on the way, paid for with films without it. So the same test once among the films with COVID-19, where it is
# about *recall*, and once among the others, *specificity*:

# %%
classes, tests = {"recall": targets, "specificity": ~targets}, []
for each in sweeps.values():
    for row, (first, *_) in each.probs.items():
        for measure, of in classes.items():
            test = metrics.mcnemar(targets[of], first[of] >= THRESHOLD, each.untouched[of] >= THRESHOLD)
            ends = {"difference": test.difference.value, "low": test.difference.low, "high": test.difference.high}
            tests.append({"row": row, "measure": measure, **ends, "p": test.p})
tests = pd.DataFrame(tests)
tests["p (Holm)"] = multipletests(tests["p"], method="holm")[1]
show.table(tests.sort_values("p").head(12))

# %% [markdown]
# ## 5. Sixty-four chances to be lucky
#
# At 0.05 one of twenty alterations that do nothing will seem to do something. Holm's method, in the last column, asks
# more of each, the more there are.

# %%
alone, together = tests[tests["p"] < show.rounds.SHOWN], tests[tests["p (Holm)"] < show.rounds.SHOWN]
changes = int((flips["p"] < show.rounds.SHOWN).sum())
print(f"accuracy: {changes} of {len(flips)} rows differ from the untouched films at 0.05, before any correction;")
print(f"recall and specificity: {len(alone)} of {len(tests)} do, {len(together)} after Holm's:")
for measure, of in together.groupby("measure"):
    print(f"    {measure}: {(of['difference'] > 0).sum()} rose, {(of['difference'] < 0).sum()} fell")

# %% [markdown]
# *Not shown* is not *nothing*: with so few films only large differences can be shown. But what is shown, on the course
# films, goes one way for those with COVID-19 and the other way for the rest: the alteration moves all answers up or
# down, which a *threshold* does as well, for nothing. Blur in the report, and here:

# %%
measured = sweeps["table15"].table.set_index(["row", "measure"])
trade = {}
for row in published.table("table15").index:
    theirs_of = published.matrix("table15", row).estimates()
    trade[row] = {f"{measure}, report": theirs_of[measure] for measure in classes}
    trade[row] |= {f"{one}, here": metrics.Estimate.from_row(measured.loc[row, one]) for one in classes}
show.table(trade, first="table 15")

# %% [markdown]
# In the report more blur means more calls, on the course films fewer; either way one rate pays for the other. Which way
# a network goes when it is shown what it never saw is nobody's choice.

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
print(f"The report: 330 of 397 against 328, p {better.p[0]:.2f} to {better.p[1]:.2f}: not shown to be better.")
print(f"Of its 32 rows {len(shown)} can differ from the untouched films, all of them for the", end=" ")
print("worse." if all(way == "worse" for way, _ in shown.values()) else "worse or the better.")
print(
    f"Here {changes} of {len(flips)} accuracies differ; of recalls and specificities {len(together)} of {len(tests)},"
)
print(f"after Holm's method; {turned.sum()} calls changed, and accuracies moved by {net.sum()} films.")
print(f"Another draw moves the accuracy of a row by up to {spread:.3f}.")
show.disclaimer(simulated=sets.simulated, not_shown=["COVID-19"])

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** Suppose an alteration spoils none of the report's 328 right films. How many of 397 must it have right at least,
# so that McNemar's mid-p test gives less than 0.05?

# %%
answer = None
check_answer("07.1", answer)

# %% [markdown]
# **2.** Which row of this run changed most calls, in either direction? Give its name as a string.

# %%
answer = None
check_answer("07.2", answer, turned=dict(zip(flips["row"], turned, strict=True)))

# %% [markdown]
# **3.** If no alteration did anything but change calls at random, how many of 32 rows would you expect to be *shown* at
# 0.05, without Holm's method?

# %%
answer = None
check_answer("07.3", answer)
