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
# 5. 32 chances to be lucky.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit import environment

environment.start_tensorflow()

# %%
from cxrkit import augment, exercises, experiments, metrics, published, report, rounds, rounds_report
from cxrkit.experiments import Plan

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
report.intervals(
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
    if one.p[0] < rounds_report.SHOWN
}
print(f"{sum(one.a.value > one.b.value for one in theirs.values())} of {len(theirs)} rows have more films right;")
print(f"{len(shown)} can be another than the untouched films at all, in the pairing that suits them best:")
for (name, row), (way, p) in shown.items():
    print(f"    {name} {row}: {way}, p {rounds_report.p_of(p[0])} to {rounds_report.p_of(p[1])}")

# %% [markdown]
# No row of the report is shown to be a gain, and the only differences that may be real are losses. What the report
# took on to its ten rounds was chosen by luck, on the very films on which it was then praised.
#
# ## 2. Nothing, or hardly anything: tables 10 to 12
#
# Now the same here. The network: the 14-finding network's layers, and a new head.

# %%
Path(OUT).mkdir(parents=True, exist_ok=True)
sets = experiments.load(MANIFEST, root=ROOT, size_px=SIZE_PX, cache=Path(OUT, "films"))
plan = Plan(START, mode="frozen", size_px=SIZE_PX)
learned = experiments.learn(experiments.subset(sets, PATIENTS)(0), sets.val, plan, seed=0)
films, targets, patients = sets.test.pixels, experiments.positive(sets.test), sets.test.patients
print(f"{len(films)} test films of {sets.name}, {int(targets.sum())} of them COVID-19")
print("right, untouched:", f"{np.mean((learned.predict(sets.test) >= THRESHOLD) == targets):.3f}")

# %% [markdown]
# A film and what some of the rows make of it:

# %%
extremes = ["Add(100)", "Multiply(1.5)", "GammaContrast((0.5,0.5))", "GammaContrast((2.5,2.5))"]
extremes += ["Sharpen(alpha=0.03,lightness=1.5)", "GaussianBlur((1.0,1.0))", "GaussianBlur((5.0,1.0))"]
grids = {name: rounds.grid(name) for name in tables}
recipes = {row: recipe for grid in grids.values() for row, recipe in grid.items()}
film = films[0]
altered = [augment.apply(recipes[row], film[None], seed=0)[0] for row in extremes]
report.gallery([film, *altered], ["as it is", *extremes], simulated=sets.simulated)

# %% [markdown]
# Each table is one call. Every row is held against the untouched films (the broken line); where a row draws its values,
# it is drawn once with each seed.

# %%
options = {"patients": patients, "threshold": THRESHOLD, "seeds": SEEDS}
sweeps = {name: rounds.sweep(learned.ask, films, targets, name, **options) for name in tables}
rounds_report.sweep_figure(sweeps["table10"], simulated=sets.simulated, title="Table 10: Add")

# %%
rounds_report.swept(sweeps["table10"])

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
rounds_report.sweep_figure(sweeps["table11"], simulated=sets.simulated, title="Table 11: Multiply")

# %%
rounds_report.sweep_figure(sweeps["table12"], simulated=sets.simulated, title="Table 12: Sharpen")

# %% [markdown]
# `alpha=0.03` mixes 3% of the sharpened film into the film. All four rows of table 12 look like the film that they
# were made of; the report takes two of them into its ten rounds as *most effective*.
#
# ## 3. A pair is a lottery: tables 13 to 16
#
# The report writes `GammaContrast((0.5, 2.0))` and describes it as a first and a second parameter. To imgaug a pair is
# a *range*: each film gets a value of its own, drawn between the two. So such a row is one draw, and another would have
# given another accuracy. The thin marks are the lowest and the highest of the draws here.

# %%
rounds_report.sweep_figure(sweeps["table13"], simulated=sets.simulated, title="Table 13: GammaContrast from 0.5 on")

# %%
rounds_report.sweep_figure(sweeps["table14"], simulated=sets.simulated, title="Table 14: GammaContrast up to 2.5")

# %%
rounds_report.sweep_figure(sweeps["table15"], simulated=sets.simulated, title="Table 15: GaussianBlur from 0 on")

# %%
rounds_report.sweep_figure(sweeps["table16"], simulated=sets.simulated, title="Table 16: GaussianBlur, 1.0 at one end")

# %% [markdown]
# How far apart are draws of the same row, and how far apart are rows that the report ranks?

# %%
drawn = pd.concat([each.table.query("measure == 'accuracy' and draws > 1") for each in sweeps.values()])
spread = (drawn["highest"] - drawn["lowest"]).max()
printed = [one.a.value for (name, _), one in theirs.items() if name in ("table13", "table15")]
print(f"here, draws of one row lie up to {spread:.3f} apart ({len(SEEDS)} draws, {len(films)} films);")
print(f"the report's best five rows of tables 13 and 15 lie {np.ptp(sorted(printed)[-5:]):.3f} apart, one draw each")

# %% [markdown]
# A blur has a `sigma` in *pixels*. On films of 96 px `sigma=5` takes away what it takes away at 224 px with 11.7, so
# that the rows of tables 15 and 16 are harder here than in the report, and no row can be held against its own row
# there as if both were one experiment. The table as words:

# %%
rounds_report.swept(sweeps["table15"])

# %% [markdown]
# ## 4. What an accuracy hides
#
# Two films mended and two spoilt leave the accuracy where it was. A row's calls are compared film by film: *wrong to
# right*, *right to wrong*. McNemar's test asks whether one of the two is more than chance; films on which both agree
# say nothing.

# %%
flips = pd.concat([each.flips for each in sweeps.values()], ignore_index=True)
rounds_report.flips(flips.query("`wrong to right` + `right to wrong` > 0"), "row")

# %%
both = flips.query("`wrong to right` > 0 and `right to wrong` > 0")
turned = flips["wrong to right"] + flips["right to wrong"]
net = (flips["wrong to right"] - flips["right to wrong"]).abs()
print(f"{len(both)} of {len(flips)} rows mend some films and spoil others.")
print(f"In all {turned.sum()} calls changed, and accuracies moved by {net.sum()} films.")

# %% [markdown]
# ## 5. Thirty-two chances to be lucky
#
# At 0.05 one of twenty alterations that do nothing will seem to do something. Holm's method asks more of each, the more
# there are.

# %%
flips["p (Holm)"] = metrics.holm(flips["p"].to_numpy(float))
flips["way"] = np.where(flips["difference"] > 0, "better", "worse")
alone, together = (flips[flips[column] < rounds_report.SHOWN] for column in ("p", "p (Holm)"))
print(f"alone, {len(alone)} of {len(flips)} rows differ from the untouched films at 0.05:")
report.table(alone[["row", "way", "wrong to right", "right to wrong", "p", "p (Holm)"]])

# %% [markdown]
# An alteration that the network never saw in training mostly takes something away; where it gives, it moves the
# network's answers up or down as a whole, which a *threshold* does as well. Recall and specificity show it: what blur
# gains in one it pays in the other, here as in the report.

# %%
trade = {
    row: {
        measure: published.matrix("table15", row).estimates()[measure]
        for measure in ("accuracy", "recall", "specificity")
    }
    for row in published.table("table15").index
}
report.metrics_table(trade, first="the report's table 15")

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
print(f"The report: 330 of 397 against 328, p {better.p[0]:.2f} to {better.p[1]:.2f}: not shown to be better.")
print(f"Of its 32 rows {len(shown)} can differ from the untouched films, all of them for the", end=" ")
print("worse." if all(way == "worse" for way, _ in shown.values()) else "worse or the better.")
print(f"Here {len(alone)} of {len(flips)} rows differ one by one, {len(together)} after Holm's correction:", end=" ")
print(f"{(together['way'] == 'worse').sum()} worse, {(together['way'] == 'better').sum()} better.")
print(f"Another draw moves the accuracy of a row by up to {spread:.3f}.")
report.disclaimer(simulated=sets.simulated, not_shown=["COVID-19"])

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** Suppose an alteration spoils none of the report's 328 right films. How many of 397 must it have right at least,
# so that McNemar's mid-p test gives less than 0.05?

# %%
answer = None
exercises.check("07.1", answer)

# %% [markdown]
# **2.** Which row of this run changed most calls, in either direction? Give its name as a string.

# %%
answer = None
exercises.check("07.2", answer, turned=dict(zip(flips["row"], turned, strict=True)))

# %% [markdown]
# **3.** If no alteration did anything but change calls at random, how many of 32 rows would you expect to be *shown* at
# 0.05, without Holm's method?

# %%
answer = None
exercises.check("07.3", answer)
