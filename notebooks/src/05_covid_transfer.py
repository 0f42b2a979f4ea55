# %% [markdown]
# # COVID-19 by transfer: how much is a start worth, and where does it work?
#
# The report of 2020 takes its 14-finding network, replaces the head by a two-way one (COVID-19 or not) and trains on.
# It prints an accuracy of 0.9875 with that start and 0.548 without, then 0.421 on films of another source, and 0.826
# after that source's films were mixed in. Single numbers, each from one training. This notebook does the same with
# several trainings, and with intervals.
#
# **What you will see**
#
# 1. the films of table 4: blurred ones left out, dealt 3:1:1 by patient;
# 2. the composite of augmentations (figures 10 and 11), and right and wrong films by a rule (table 8);
# 3. transfer against retraining (figure 12), over training-set sizes and not at one point;
# 4. the network on a source that it never saw (figure 13);
# 5. mixing the other source in (table 9).
#
# One augmenter at a time (table 7) is in `04_augmentation`; why a network fails on another source, in `06_shortcuts`.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
from cxrkit import networks

networks.start_tensorflow()

# %%
from pathlib import Path

import cv2
import numpy as np
import seaborn as sns

from cxrkit import augment, metrics, show
from cxrkit.course import check_answer, experiments, published
from cxrkit.film import detail, read, resize
from cxrkit.metrics import Estimate

# %% [markdown]
# With `MANIFEST = None` the films are the course's, all simulated. For films of your own give a manifest with a column
# `covid`, and a `source` for sections 4 and 5; then 128 px or more, `EPOCHS = 5`, `STEPS = 100` and three seeds are in
# order, on a machine with a graphics card, or in a terminal: `cxrkit experiment transfer MANIFEST --out runs/transfer`.
#
# On the course films COVID-19 is easily told at full size. So that differences can be seen at all, films are 64 px here
# and few are learned from. What costs time is kept under `OUT`: run again, a cell that is there is not trained anew.

# %% tags=["parameters"]
MANIFEST = None
ROOT = None
START = "findings14-small"
SIZE_PX = 64
SEEDS = (0, 1)
PATIENTS = 60
SIZES = (10, 40, 160)
EPOCHS, STEPS, BATCH_SIZE = 3, 12, 8
OUT = "runs/05_covid_transfer"

# %% [markdown]
# ## 1. The films: table 4
#
# The report leaves out films that are too blurred to read, and deals the rest 3:1:1. Here a film's fine detail is held
# against its coarser detail, and a line drawn that was fitted on real images. A split by patient is the manifest's.

# %%
clean = experiments.data(MANIFEST, root=ROOT)
show.experiments.counts(clean)

# %% [markdown]
# What was left out, and where a film would lie that is blurred on purpose, at 256 px (it is no part of the films):

# %%
sharp = resize(read(clean.root / clean.frame["image"].iloc[0]).pixels, 256)
further = {"a film": detail(sharp)}
for sigma_px in (1, 2):
    further[f"blurred by {sigma_px} px"] = detail(cv2.GaussianBlur(sharp, (0, 0), sigma_px))
title = f"{len(clean.detail)} images of {clean.name}"
figure = show.figure(9, 2.6, title=title, simulated=clean.simulated, model=False)
axis = figure.subplots()
sns.histplot(x=clean.detail["detail"], bins=40, ax=axis)
axis.axvline(clean.line, color="black", label="blurred below this")
axis.set(xlabel="detail: log ratio of fine to coarser detail", ylabel="images")
axis.legend()
for place, (name, value) in enumerate(further.items()):
    height = axis.get_ylim()[1] * (0.2 + 0.25 * place)
    axis.plot(value, height, "D", color="#d62728")
    axis.annotate(name, (value, height), (0, 6), textcoords="offset points", ha="center", fontsize=8.5)
figure

# %% [markdown]
# The films below the line are what a machine calls blurred; look at them before you believe it. The report's *Normal*
# has no finding at all. Here the class against COVID-19 is **all else**, pneumonia and consolidation included: that is
# the question a ward asks, and a harder one.
#
# All further sections read the films once, at `SIZE_PX`:

# %%
Path(OUT).mkdir(parents=True, exist_ok=True)
sets = experiments.load(MANIFEST, root=ROOT, size_px=SIZE_PX, cache=Path(OUT, "films"))
plan = experiments.Plan(START, size_px=SIZE_PX, epochs=EPOCHS, steps=STEPS, batch_size=BATCH_SIZE, learning_rate=5e-4)
show.table(sets.counts)

# %% [markdown]
# ## 2. The composite: figures 10 and 11, table 8
#
# Figure 11 draws one to three of six operations for each film. It is held against mirroring alone and against no
# augmentation, with the same films of `PATIENTS` patients, the same start and the same seeds. To be quick, only a new
# head is trained here: the layers before it are *frozen*, each film and each altered copy is put through them once.

# %%
recipe = augment.load("fig11")
film = sets.test.pixels[:1]
copies = [augment.apply(recipe, film, seed)[0] for seed in range(7)]
show.images([film[0], *copies], ["a film", *[f"draw {k}" for k in range(7)]], simulated=sets.simulated)

# %%
frozen = experiments.Plan(START, mode="frozen", size_px=SIZE_PX, recipe=augment.load("flip"))
composite = experiments.composite(sets, frozen, seeds=SEEDS, patients=PATIENTS, out=Path(OUT, "composite"))
show.experiments.settings(composite, title="Figure 10: the composite and what it is held against")

# %%
show.experiments.table(composite)

# %% [markdown]
# An interval that holds 0 is compatible with no difference. **On simulated films the composite cannot show its worth**:
# they were all made by one machine, in one way, and the test films like the training films. Augmentation is for what
# training films lack.
#
# How far can 0.9875 be believed? The report does not print of how many films it is. All numbers of table 7 and of
# figures 10 and 12 are whole multiples of 1/320. AUROCs of 160 pairs of films are that, since ties count half; the 97
# and 309 test films of table 4 cannot give them. 160 pairs are, for instance, 8 films with COVID-19 and 20 without. The
# interval of Hanley and McNeil (1982) would then be:

# %%
printed = published.table("table07").to_numpy(float)[:, :2].ravel().tolist()
printed += [published.table(name).loc[row, "auroc"] for name in ("fig10", "fig12") for row in ("Normal", "COVID-19")]
print(f"all {len(printed)} numbers are multiples of 1/320: {np.allclose(np.array(printed) * 320 % 1, 0)}")
for positives, negatives in ((8, 20), (10, 16), (4, 40), (97, 309)):
    area = metrics.hanley_mcneil(0.9875, positives, negatives)
    print(f"0.9875 of {positives} and {negatives} films: {area.low:.3f} to {area.high:.3f}")

# %% [markdown]
# ### Table 8: right and wrong
#
# The report ranks the two classes by certainty, for two right films and two wrong ones, and does not say how it found
# them. Here a rule does: of those rightly called the one of median certainty, of those wrongly called the most certain.
# The network is that of the first seed.

# %%
show.experiments.examples(composite, sets.test)

# %% [markdown]
# Beside it the report's four, as printed. Its two certainties do not add up to 1: its network must have had two
# independent outputs. Ours exclude one another.

# %%
table08 = published.table("table08").assign(sum=lambda rows: rows.sum(axis=1))
show.table(table08.rename_axis("example").reset_index())

# %% [markdown]
# ## 3. Transfer against retraining: figure 12
#
# Three ways, from the same films and with the same seeds:
#
# - **frozen**: a new head on the 14-finding network's features;
# - **fine-tuned**: all layers, from the 14-finding network's weights;
# - **retrained**: all layers, from random weights.
#
# The sets of training patients are nested: those of 10 are among those of 40. Each seed chooses its own.

# %%
curve = experiments.transfer(sets, plan, sizes=SIZES, seeds=SEEDS, out=Path(OUT, "transfer"))
show.experiments.curves(curve, title=f"Figure 12 as a curve: {EPOCHS * STEPS} steps, {len(SEEDS)} seeds")

# %%
show.experiments.table(curve)

# %% [markdown]
# On the course films the order is clear with few patients, and the report's is confirmed: **a start is worth most where
# films are few**. But its 0.548 is no property of retraining: the curve still rises at the right edge, and 36 steps are
# not what random weights need.
#
# On real images, whose look the start knows less well, it was the other way round: next to nothing at 20 patients, and
# the more, the more films ([docs/results](../docs/results/2026-11-24-covid-transfer.md)).
#
# On a source that the start was not trained on, its worth may be another. Our start learned from simulated and real
# films; that these films are simulated too makes it look better than it is.

# %% [markdown]
# ## 4. A source that the network never saw: figure 13
#
# The report ran its COVID-19 network on ChestX-ray14, which is older than the disease: most films were called COVID-19,
# and it prints an AUROC of 0.421. The films of one source look alike, and public COVID-19 films come from other sources
# than films without. The course has one source; so its films get the looks of three, dealt by patient as public films
# come: **A** has both classes, **B** no COVID-19, **C** nothing else. (Your own films keep their sources.)

# %%
one = sets.simulated and len(sets.sources) == 1
sourced = experiments.simulated_sources(sets) if one else sets
first = [int(np.flatnonzero(sourced.test.sources == source)[0]) for source in sourced.sources]
show.images(list(sourced.test.pixels[first]), [f"source {name}" for name in sourced.sources], simulated=sets.simulated)

# %% [markdown]
# Networks learn from all sources, from all but one, and from A alone; each is tested on each source. Within a source of
# one class there is no AUROC. Held *across*, the source's films are ranked against the other class of the sources that
# were learned from; so the report's 0.421 must have been counted.

# %%
unseen = experiments.unseen(sourced, frozen, seeds=(0, 1, 2), out=Path(OUT, "unseen"))
show.experiments.sources(unseen, title="Figure 13 for every source: a new head on frozen features")

# %% [markdown]
# Go through it row by row, on the course films:
#
# - **All sources**: nearly everything is right. Who stops here publishes 1.00.
# - **All but A** learned COVID-19 from C alone and the rest from B alone. Within both it looks perfect, for it may call
#   a film COVID-19 because it *looks like C*. On A, where both classes look alike, hardly a film is called.
# - **A alone** saw both classes in one look. It ranks C's films with COVID-19 *below* A's without: below chance, like
#   the report's 0.421. A look that it never saw moves the answer more than the disease does.
#
# An AUROC across sources says how two looks are ranked. It can be 1.00 or 0.4 for a network that knows nothing about
# lungs. `06_shortcuts` takes this apart.

# %%
show.experiments.table(unseen)

# %% [markdown]
# The report printed

# %%
across = unseen.table.query("measure == 'AUROC across' and seen == 'never seen'")
rows = {
    f"{row['trained on']}, tested on {row['tested on']}": (None, Estimate.from_row(row))
    for row in across.to_dict("records")
}
show.table(
    {"ChestX-ray14": (show.experiments.printed(unseen)[""].value, None)} | rows, first="AUROC across, never seen"
)

# %% [markdown]
# ## 5. Mixing the other source in: table 9
#
# The report's answer to 0.421: mix ChestX-ray14's films in as *not COVID-19*. Its six mixes, to scale, with B in the
# place of ChestX-ray14; row 0 is the first without B. All are tested on the same films, those of all three sources,
# which the report's mixes were not.

# %%
mixing = experiments.mixing(sourced, frozen, seeds=(0, 1, 2), out=Path(OUT, "mixing"))
show.experiments.settings(mixing, title="Table 9, with the intervals that it could have had")

# %%
show.experiments.table(mixing, ("accuracy", "recall", "specificity, own", "specificity, other"))

# %% [markdown]
# - A few films of the other source mend nearly all that it broke; more of them change little.
# - Rows 2, 3, 4 and 6 are one row here: a batch size is nothing to a new head that is fitted at once. Where all layers
#   are trained, on real images, they differ ([docs/results](../docs/results/2026-11-24-covid-mixing.md)).
# - Of the report's six accuracies, the intervals of all but the first overlap, and its test films changed from row to
#   row. **That batch 8 is best was not shown.** The dotted line is what calling no film would reach, on our films; on
#   the report's 397 it is

# %%
best = published.matrix("table09", "4")
print(
    f"calling none: {best.fp + best.tn} of {best.n}; row 4: {best.tp + best.tn} of {best.n}, and {best.fn} of "
    f"{best.tp + best.fn} films with COVID-19 missed"
)

# %% [markdown]
# - Mixing mends the accuracy *on the source that was mixed in*. It says nothing about a fourth one.

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
area = composite.table.query("measure == 'AUROC' and setting == 'figure 11'").iloc[0]
ends = curve.table.query("measure == 'AUROC'").pivot(index="mode", columns="patients", values="value")
few, many = ends.columns[0], ends.columns[-1]
lowest, mended = across.loc[across["value"].idxmin()], mixing.table.query("measure == 'accuracy'").iloc[1]
print(f"{len(clean.removed)} of {len(clean.detail)} films were left out; {clean.shared} patients are in two splits.")
print("The composite against none, AUROC:", show.experiments.gain(area))
for mode in ends.index:
    print(f"{mode}: AUROC {ends.loc[mode, few]:.2f} from {few} patients, {ends.loc[mode, many]:.2f} from {many}.")
print(f"Never seen: {lowest['trained on']}, tested on {lowest['tested on']}: {lowest['value']:.2f} across sources.")
print("The first mix against none, accuracy:", show.experiments.gain(mended))
show.disclaimer(simulated=sets.simulated, not_shown=["COVID-19"])

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** How many more of its 397 test films did the report's best mix get right than someone who calls no film?

# %%
answer = None
check_answer("05.1", answer)

# %% [markdown]
# **2.** From how many patients on does retraining reach the AUROC that fine-tuning has with the fewest? Answer with a
# size of the curve, or `"none"`.

# %%
answer = None
check_answer("05.2", answer, fine_tuned=ends.loc["fine-tuned"].to_dict(), scratch=ends.loc["scratch"].to_dict())

# %% [markdown]
# **3.** On ChestX-ray14 the report's network has an AUROC of 0.421. What is the AUROC of a network that gives every
# film the opposite answer, 1 - p? Is it a better network?

# %%
answer = None
check_answer("05.3", answer)

# %% [markdown]
# **4.** Set `SEEDS = (0, 1, 2, 3)` at the top and run the notebook again; what was trained is kept. Which intervals
# became narrower, which did not, and why?
