# %% [markdown]
# # Ten rounds: does looking again help?
#
# A radiologist changes brightness and contrast, and looks again. The report of 2020 lets its network do so: ten rounds,
# each with an altered picture, and at the end one answer (tables 17 to 29). It does not say how the answers are
# combined, nor whether the ten are better than one. Both can be measured.
#
# **What you will see**
#
# 1. the ten rounds (tables 17 to 22, 24 to 26, 28 and 29), on the original and stacked upon one another;
# 2. what each round calls, and what they come to together;
# 3. why votes of one network are not votes of eleven readers;
# 4. rounds on rounds: the report's other description;
# 5. stopping early, without changing one answer;
# 6. pairs and triples in every order (tables 23 and 27), and what its *null* may mean;
# 7. what choosing on the test films would have claimed;
# 8. an explorer, in which you drag the rounds into an order.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binom

from cxrkit import networks

networks.start_tensorflow()

# %%
from cxrkit import networks, rounds, show
from cxrkit.course import check_answer, experiments, published
from cxrkit.course.experiments import Plan
from cxrkit.data import course_images, course_manifest
from cxrkit.film import read
from cxrkit.labels import COVID
from cxrkit.metrics import Estimate
from cxrkit.widgets import RoundsExplorer

# %% [markdown]
# With `MANIFEST = None` the films are the course's, all simulated; for films of your own give a manifest with a column
# `covid`. A network that is nearly always right, as `covid-small` is on course films, leaves ten rounds nothing to
# mend. So here one learns from `PATIENTS` patients alone, and errs about as often as the report's. With a network of
# yours: `cxrkit rounds MANIFEST --model MODEL --out runs/rounds`.

# %% tags=["parameters"]
MANIFEST = None
ROOT = None
START = "findings14-small"
SIZE_PX = 96
PATIENTS = 20
NETWORKS = 4
THRESHOLD = 0.5
OUT = "runs/08_ten_rounds"

# %%
Path(OUT).mkdir(parents=True, exist_ok=True)
sets = experiments.load(MANIFEST, root=ROOT, size_px=SIZE_PX, cache=Path(OUT, "films"))
plan = Plan(START, mode="frozen", size_px=SIZE_PX)
learned = experiments.learn(sets.choose(PATIENTS), sets.val, plan, seed=0)
val, test = (
    rounds.Cases(some.pixels, experiments.positive(some).astype(int), some.patients) for some in (sets.val, sets.test)
)
print(f"{len(val.films)} validation films, {len(test.films)} test films of {sets.name}")

# %% [markdown]
# ## 1. The ten rounds
#
# A and B blur, C and D change the contrast, E and F sharpen, each with two settings (tables 17 to 22 show a film before
# and after). G to I are stacks of two (tables 24 to 26), J is one of three (table 28); the settings within the stacks
# are not printed, so that those of A, C and E are taken.

# %%
recipes = rounds.named(rounds.REPORT)
show.table(pd.DataFrame({"round": list(recipes), "recipe": [rounds.describe(one) for one in recipes.values()]}))

# %% [markdown]
# Table 29 shows a film in all of them. Here is one of the course (*simulated*), each recipe done to the original:

# %%
rows = course_manifest().query("split == 'test'")
root = course_images("test").parent
viewer = rounds.Viewer(networks.load("covid-small"))
answers = viewer.predictor.predict([read(root / name).pixels for name in rows["image"][:40]])[:, 0]
near = np.argsort(np.abs(answers - viewer.predictor.thresholds[COVID]))[:6]
close = {rows["image"].iloc[k]: read(root / rows["image"].iloc[k]).pixels for k in near}
name, film = next(iter(close.items()))
look = viewer.run(film, label=COVID)
show.images(list(look.views.values()), list(look.views), simulated=True)

# %% [markdown]
# The report describes it in another way as well: each recipe done *to the picture of the round before*. By round J the
# film has been blurred five times:

# %%
stacked = viewer.run(film, label=COVID, mode="cumulative")
show.images(list(stacked.views.values()), list(stacked.views), simulated=True)

# %% [markdown]
# ## 2. What each round calls, and what they come to
#
# Validation films and test films of other patients are asked in all eleven rounds. One call does all that follows;
# whatever is chosen or fitted, is so on the validation films.

# %%
search = rounds.search(learned.predict_batch, val, test, threshold=THRESHOLD)
targets, patients = search.test_targets, test.patients
measures = search.test.measures(targets, patients)
show.rounds.rounds_figure(measures, search, simulated=sets.simulated)

# %% [markdown]
# Which films changed sides? Each round against the untouched film:

# %%
flips = search.test.flips(targets, patients)
show.rounds.flips_table(flips, "round")

# %% [markdown]
# And every rule that makes one answer of eleven. `weighted` and `stacked` were fitted on the validation films.

# %%
show.rounds.flips_table(search.flips, "rule")

# %%
show.table(search.rules, by=["rule"])

# %% [markdown]
# Read *any* and *all* by recall and specificity: *any* round that calls is enough, so that little is missed and much is
# called; *all* is the opposite. Both are a threshold moved, at the price of ten further passes. In plain sentences:

# %%
print(show.rounds.verdict(search))

# %% [markdown]
# That is of one network. Others learn from other patients, and are asked about the same test films:

# %%
gains = [search.flips.query("rule == 'mean'")]
for seed in range(1, NETWORKS):
    other = experiments.learn(sets.choose(PATIENTS, seed), sets.val, plan, seed=seed)
    found = rounds.run(other.predict_batch, test.films, threshold=THRESHOLD)
    gains.append(found.flips(targets, patients).query("round == 'combined'"))
gains = pd.concat(gains, ignore_index=True)
gains.insert(0, "network", [f"learned from {PATIENTS} patients, seed {seed}" for seed in range(NETWORKS)])
show.rounds.flips_table(gains, "network")

# %% [markdown]
# ## 3. Why eleven votes are not eleven readers
#
# Suppose eleven readers are each right as often as this network is with the untouched film, and err *each on their
# own*. The majority of them would hardly ever be wrong:

# %%
right = measures.query("round == 'none' and measure == 'accuracy'")["value"].item()
majority = search.rules.query("rule == 'majority' and measure == 'accuracy'").iloc[0]
print(f"one: {right:.3f}; the majority of eleven that err on their own: {binom.sf(5, 11, right):.3f};")
print(f"the majority of these eleven rounds: {majority['value']:.3f} ({majority['low']:.3f} to {majority['high']:.3f})")

# %% [markdown]
# The rounds are one network and one film. Where the untouched film is called wrongly, how many of the other ten are
# wrong too?

# %%
wrong = search.test.round_positive[:, :, 0] != (targets == 1)[:, None]
among = wrong[wrong[:, 0], 1:].mean()
print(f"of all films a round A to J errs in {wrong[:, 1:].mean():.0%};")
print(
    f"of those that the untouched film has wrong, in {among:.0%}: readers of their own would stay at the first figure"
)

# %%
agreement = search.test.agreement(patients)
show.table(agreement.query("round == 'none'")[["round", "with", "agreement", "low", "high", "kappa"]])

# %% [markdown]
# A vote can mend only the errors that its voters do not share. Eleven looks of one network are worth as many readers as
# they err apart, and that is what the second figure above counts.
#
# ## 4. Rounds on rounds
#
# The report's other description: each round on the picture of the round before. The same recipes, the same films:

# %%
cumulative = rounds.run(learned.predict_batch, test.films, threshold=THRESHOLD, mode="cumulative")
modes = {"independent": measures, "cumulative": cumulative.measures(targets, patients)}
both = [each.query("measure == 'accuracy'").assign(measure=mode) for mode, each in modes.items()]
show.table(pd.concat(both), by=["round"], first="accuracy, round")

# %%
show.rounds.flips_table(cumulative.flips(targets, patients), "round")

# %% [markdown]
# Stacked, a blur never goes away: rounds say much the same as one another, and less and less of the film that they
# began with. How often two rounds call the same:

# %%
for mode, each in {"independent": search.test, "cumulative": cumulative}.items():
    pairs = each.agreement(patients).query("round != 'all'")
    with_none = pairs["round"] == "none"
    print(
        f"{mode}: a round and the untouched film {pairs.loc[with_none, 'agreement'].mean():.2f}, "
        f"two rounds of A to J {pairs.loc[~with_none, 'agreement'].mean():.2f}"
    )

# %% [markdown]
# ## 5. Stopping early
#
# With `majority`, six rounds that call a film settle it, whatever the other five say. With `mean` a film is settled
# when even zeros, or ones, in all rounds to come would leave it on its side of the threshold. So a film may leave
# without any label changing; in which order rounds are best made is learned on the validation films.

# %%
show.table(search.passes.round(2))

# %%
order = search.val.with_combine("majority").fit_order()
early = rounds.run(
    learned.predict_batch,
    test.films,
    threshold=THRESHOLD,
    combine="majority",
    early_stop=True,
    order=order,
    batch_size=16,
)
whole = search.test.with_combine("majority")
print("made in the order", ", ".join(order))
print(f"{early.saved:.0%} of the passes were not made;", end=" ")
print(f"films called otherwise: {int((early.positive != whole.positive).sum())}")

# %% [markdown]
# What it cannot save is the first six. If ten rounds do not help, the one pass that needs no rounds is cheaper still.
#
# ## 6. Every order: tables 23 and 27
#
# Blur, gamma and sharpen, stacked in all twelve orders of two and of three. The report chose G, H, I and J among them.

# %%
orders = rounds.sweep(
    learned.predict_batch, test.films, targets, rounds.stacks(), patients=patients, threshold=THRESHOLD
)
orders = published.beside(orders)
show.rounds.sweep_figure(orders, simulated=sets.simulated, title="Tables 23 and 27: pairs and triples in order")

# %%
show.rounds.sweep_table(orders)

# %% [markdown]
# Two things about the report's tables. Their last column is headed *F1* and holds the **specificity**; beside ours
# stands the F1 of the matrix that each row fits. And four of twelve orders are printed as **null**, without a reason:

# %%
show.rounds.nulls_table(orders)

# %% [markdown]
# An accuracy has a value for every network that answers at all, so that no order of recipes can make it undefined. A
# precision has none where nothing is called; then recall is 0 and the accuracy is that of calling nobody, 300 of 397,
# and not null. All four have `sharpen` before `gamma`, with or without `blur` between or after: more likely a program
# that failed than a finding about films.
#
# And the report's best order against its untouched films is 330 against 328 of 397, which `07_single_augmentation`
# takes apart. Here, of twelve orders against the untouched films:

# %%
show.rounds.flips_table(orders.flips, "row")

# %% [markdown]
# ## 7. What choosing on the test films would have claimed
#
# The report compared its rows on the films that it then reported. So among many rows the best one is partly the
# luckiest. Here all sets of the eleven rounds were tried with all rules, once on the validation films, as is right, and
# once on the test films, as the report did:

# %%
show.rounds.choices_table(search)

# %%
chosen, claimed = search.chosen, search.claimed
n = len(targets)
print(f"{search.tried:,} ways were tried. Chosen on the validation films: {round(chosen.test.value * n)} of {n} right;")
print(f"the untouched film alone: {round(right * n)}; chosen on the test films, it would have been", end=" ")
print(f"{round(claimed.test.value * n)}. On the validation films that claim has {claimed.val.value:.3f},", end=" ")
print(f"the choice {chosen.val.value:.3f}.")

# %% [markdown]
# The interval and the p of the lower row know nothing of the choice; they are what a paper would print. The best of
# thousands is always good on the films that it was chosen on.
#
# ## 8. The explorer
#
# First as a picture: one film, whose answer lies close to the threshold. Bars show what all rounds together can still
# come to; where a bar leaves the threshold behind, the film could leave.

# %%
show.strips.strip(
    look,
    film=name,
    network="covid-small",
    opacity=0.5,
    scale=float(look.maps.max()),
    not_shown=COVID in viewer.predictor.not_shown,
    simulated=True,
)

# %% [markdown]
# Now you. Drag the rounds into an order, or move them with *Up* and *Down*; remove one, add another. Below stands the
# same with two rounds swapped. (Without a running kernel it stays empty; the figure above does not.) Things to try:
# with `majority`, let the film leave as soon as possible. Then take `cumulative`: which swap changes what is called?

# %%
RoundsExplorer(close, [viewer.predictor], label=COVID, simulated=True)

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
gain, p = Estimate.from_row(gains.iloc[0], "difference"), gains.iloc[0]["p"]
helps = "help" if gain.low > 0 else "do harm" if gain.high < 0 else "are not shown to help"
sure = {"gained": gains["difference low"] > 0, "lost": gains["difference high"] < 0}
print(f"Ten further rounds {helps} here: the mean of all eleven has an accuracy {gain.value:+.3f}", end=" ")
print(f"({gain.low:+.3f} to {gain.high:+.3f}) against one look, p {p:.3f}, for eleven passes;")
print(
    f"of {len(gains)} networks {sure['gained'].sum()} gained and {sure['lost'].sum()} lost with an interval without 0."
)
print(f"Where the first look errs, a further round errs in {among:.0%}, and in {wrong[:, 1:].mean():.0%} of all films.")
print(f"Early stop saves {early.saved:.0%} of the passes with majority, and changes no label.")
print(f"Choosing on the test films claims {round((claimed.test.value - chosen.test.value) * n)} films more.")
show.disclaimer(simulated=sets.simulated, not_shown=[COVID])

# %% [markdown]
# On real images, with `covid-small`, it was the same: ten rounds were not shown to change anything
# ([docs/results](../docs/results/2026-11-30-rounds-covid-small.md)).
#
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** With `majority` and eleven rounds, which share of the passes can early stop save at the very most?

# %%
answer = None
check_answer("08.1", answer)

# %% [markdown]
# **2.** Of the ten rounds in `flips`, which one alone has most films right? Give its name as a string.

# %%
answer = None
check_answer("08.2", answer, gained=dict(zip(flips["round"], flips["difference"], strict=True)))

# %% [markdown]
# **3.** Eleven readers are each right on 8 films of 10 and err on their own. How often is their majority right? Two
# decimals will do.

# %%
answer = None
check_answer("08.3", answer)
