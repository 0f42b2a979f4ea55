# %% [markdown]
# # Shortcuts: nearly perfect at home, worse than a coin elsewhere
#
# The report of 2020 prints two numbers about one network for COVID-19. On the films that it was made of, its AUROC is
# 0.99 (figure 10). Run on films of ChestX-ray14, which are older than the disease, it calls most of them COVID-19, and
# the AUROC is 0.42 (figure 13). Both numbers are right. Most public data on COVID-19 came about as the report's did,
# and give the first number to whoever does not ask for the second.
#
# **What you will see**
#
# 1. a guess, before you look;
# 2. two simulated hospitals, and a network that is never wrong in either;
# 3. the same patients with the other hospital's mark: what no real hospital can show;
# 4. where the network looks; a network that is shown no lungs; a network that never saw the disease;
# 5. what buys something back, what does not, and a panel to try it with;
# 6. the same questions on 1,800 real images, beside the report's numbers;
# 7. a checklist for data of your own, and one command that goes through it.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
from cxrkit import networks

networks.start_tensorflow()

# %%
import numpy as np
import pandas as pd
import seaborn as sns

from cxrkit import show
from cxrkit.course import check_answer, experiments, published
from cxrkit.course.experiments import VARIANTS, MarkLab, Plan, faint_films, positive
from cxrkit.explain import BoxedFilm
from cxrkit.film import lung_masks, lung_outline
from cxrkit.labels import COVID, NOT_COVID
from cxrkit.widgets import MarkPanel

# %% [markdown]
# `MARK` is what tells the hospitals apart: `"frame"` or `"letter"`. `RESULT` is a file that `cxrkit experiment
# shortcuts MANIFEST --record FILE` wrote about films of your own; with `None` section 6 shows what it found on the real
# films at hand. `GUESS` is yours.

# %% tags=["parameters"]
MARK = "frame"
RESULT = None
GUESS = None
SIZE_PX = 96
RESAMPLES = 1000

# %% [markdown]
# ## A guess
#
# | the report | AUROC |
# |---|---:|
# | figure 10: test films of the same collection | 0.9875 |
# | figure 13: films of ChestX-ray14 | 0.4214 |
#
# You will train a network on films of two hospitals, and it will do as well as figure 10 on films of other patients of
# the same two hospitals. Then each of these test patients gets the *frame of the other hospital's films*: black strips
# at other edges, another grey curve. No lung changes. **What will its AUROC be then?** Put your guess into `GUESS`
# above: 1.0 (a frame is no disease), 0.9, 0.75, 0.5 (as good as a coin), or less. It is worth more if you write it
# down before you scroll.

# %% [markdown]
# ## Two hospitals
#
# All films of this section are **simulated**. Every second patient has COVID-19, but faintly; the others have one
# finding that looks much like it, as faintly: an early case against what it is taken for. The films come from two
# hospitals, as public ones do: patients with the disease from one, all others from the other.

# %%
faint = faint_films(size_px=SIZE_PX)
lab = MarkLab(faint, Plan(start="findings14-small", mode="frozen", size_px=SIZE_PX))
show.table(faint.sets.counts.drop(columns="source"))

# %%
films = lab.films("test", MARK)
has = positive(films)
rows = [*np.flatnonzero(has)[:4], *np.flatnonzero(~has)[:4]]
titles = [
    f"{COVID}, hospital {films.sources[row]}" if has[row] else f"{NOT_COVID}, hospital {films.sources[row]}"
    for row in rows
]
show.images(list(films.pixels[rows]), titles, simulated=True)

# %% [markdown]
# Which row has the disease? You need not look into a single chest to say. Neither does a network.
#
# The network is the report's way: the convolutions of a 14-finding network, and a new head for COVID-19, trained on
# 240 of these films. The features stay as they are, so that each training here takes a second.

# %%
home = lab.areas(MARK, resamples=RESAMPLES)["as in training"]
print(f"AUROC on {home.n} test films of other patients, same hospitals: {home.value:.3f}")
print(f"95% interval {home.low:.3f} to {home.high:.3f}; the report's figure 10 has 0.9875")

# %% [markdown]
# By every rule of the book this is a good test: other patients, an interval, a test set that nothing was chosen on.
#
# ## The same patients, another frame
#
# Now each test film gets the frame of the other hospital. The patients are the same, the disease is the same.

# %%
areas = lab.areas(MARK, resamples=RESAMPLES)
said = "you did not guess" if GUESS is None else f"you guessed {GUESS}"
print(f"as in training {areas['as in training'].value:.2f}; marks swapped {areas['swapped'].value:.2f} ({said})")

# %%
network, tests = lab.learned(MARK), lab.tests(MARK)
probs = {name: network.predict(some) for name, some in tests.items()}
before, after = probs["as in training"], probs["swapped"]
marks = {"as in training": before, "swapped": after}
moved = pd.DataFrame({**marks, "class": np.where(has, COVID, NOT_COVID), "changes": (before >= 0.5) != (after >= 0.5)})
for name, rows in moved.groupby("class"):
    print(f"{name}: {rows['changes'].sum()} of {len(rows)} predictions change")
figure = show.figure(9, 3.6, title="One line per patient; solid where the prediction changes at 0.5", simulated=True)
for axis, (name, rows) in zip(figure.subplots(1, 2, sharey=True), moved.groupby("class"), strict=True):
    tidy = rows[list(marks)].T
    for changes, line in ((False, ":"), (True, "-")):
        if (rows["changes"] == changes).any():
            tidy.loc[:, rows["changes"] == changes].plot(
                ax=axis, style=f"o{line}", color="#0173b2", alpha=0.4, legend=False
            )
    axis.axhline(0.5, color="black")
    axis.set(title=name, xlabel="mark", ylabel=f"probability of {COVID}", xlim=(-0.1, 1.1))
    axis.set_xticks([0, 1], list(marks))
figure

# %% [markdown]
# One patient, twice. Nothing between the two films differs but frame and grey curve:

# %%
one = np.flatnonzero(has)[np.argmax((before - after)[has])]
pair = [tests[name].pixels[one] for name in ("as in training", "swapped", "no marks")]
titles = [f"{name}: p = {probs[name][one]:.3f}" for name in ("as in training", "swapped", "no marks")]
show.images(pair, titles, columns=3, simulated=True)

# %% [markdown]
# An AUROC near 0 is not chance. It is a network that answers *exactly the wrong question* with great skill. And between
# 0 and 1 lies all that a test elsewhere could have shown: which number you get depends on whose films you happen to
# take. The report's 0.42 is one such number.
#
# ## Train and test, crossed
#
# Was it the network's fault? Here are three networks alike, trained on the same patients: with the marks as above; with
# half of each class marked as the other hospital's, so that the mark says nothing; and without marks.

# %%
kinds = {"marks go with the disease": 0.0, "marks say nothing": 0.5, "no marks": None}
crossed = {name: lab.areas(MARK, swapped=share, resamples=RESAMPLES) for name, share in kinds.items()}
show.experiments.matrix(
    crossed, xlabel="the same test patients, marks ...", title="AUROC for COVID-19, simulated films", simulated=True
)

# %% [markdown]
# Read the first row against the second. Same patients, same network, same number of films: *the only thing that
# changed is which hospital's mark lies on whom.* The first column, the only one that a test set of these two hospitals
# can show, ranks the networks the wrong way round.
#
# ## Where does it look?
#
# Class activation maps (notebook 03), all on one scale. Two patients as in training, and the same with the marks
# swapped:

# %%
chosen = np.flatnonzero(has)[:2]
shown = [tests[name].pixels[row] for name in ("as in training", "swapped") for row in chosen]
answers = networks.with_maps(network.model)(np.stack(shown)[..., None].astype("float32") / 255)
heats = np.clip(np.asarray(answers["maps"])[..., 0], 0, None)
titles = [f"{name}\np = {probs[name][row]:.2f}" for name in ("as in training", "swapped") for row in chosen]
films = [BoxedFilm("", "", film / 255, {}) for film in shown]
show.heat_maps(films, titles, {f"evidence for {COVID}": heats / heats.max()}, across=2, simulated=True)

# %% [markdown]
# The letter is a mark with a place. Where does the strongest cell of the map lie on films that have it?

# %%
lettered = lab.films("test", "letter").where(has)
with_maps = networks.with_maps(lab.learned("letter").model)
maps = with_maps.predict(lettered.scaled(SIZE_PX), batch_size=8, verbose=0)["maps"][..., 0]
strongest = maps.reshape(len(maps), -1).argmax(axis=1)
cells = maps[0].size
print(f"in the corner with the letter on {np.mean(strongest == 0):.0%} of {len(maps)} films; by chance {1 / cells:.0%}")
heats = np.clip(maps[:4], 0, None)
films = [BoxedFilm("", "", film / 255, {}) for film in lettered.pixels[:4]]
by_method = {f"evidence for {COVID}": heats / heats.max()}
show.heat_maps(films, ["with the letter"] * 4, by_method, across=2, simulated=True)

# %% [markdown]
# A map is a good witness *against* a network. It is a poor one for it: a grey curve has no place, and a map that lies
# on the lungs says nothing about whether it is the disease that is seen there.
#
# ## A network that is shown no lungs
#
# So ask the other way round: take something away, train again, and see what is left. First of all, **take the lungs
# away**. What can still be told was not in them.

# %%
shown = {variant: lab.films("test", MARK, variant=variant) for variant in VARIANTS}
row = int(np.flatnonzero(has)[0])
show.images([some.pixels[row] for some in shown.values()], list(shown), simulated=True)

# %% [markdown]
# Masks come from the simulator here. On films without one, `cxrkit.film` finds the lungs with a U-Net
# (its [card](../cxrkit/film/weights/lungs/README.md) says how well, and on what). Compared with the truth:

# %%
bare, truth = faint.sets.test.pixels[:60], faint.lungs["test"][:60]
found = np.stack([lung_outline(mask) for mask in lung_masks(bare)])
dice = 2 * (found & truth).sum(axis=(1, 2)) / (found.sum(axis=(1, 2)) + truth.sum(axis=(1, 2)))
print(f"Dice {dice.mean():.3f} in the mean of {len(dice)} simulated films, {dice.min():.3f} on the worst")

# %%
by_variant = {variant: lab.areas(MARK, variant=variant, resamples=RESAMPLES) for variant in VARIANTS}
show.forest(
    {f"marks {name}": {variant: areas[name] for variant, areas in by_variant.items()} for name in tests},
    title="Each variant trained and tested for itself",
    simulated=True,
)

# %% [markdown]
# The second row is the heart of it. A network to which nobody ever showed a lung is as good *at home* as the first
# one. Then the first one's score at home is no evidence that it looks at lungs. **If border and lungs score alike, you
# have measured the border.**
#
# ## A network that never saw the disease
#
# One can go further. Train a network on films *without* COVID-19 alone, half of each hospital, to tell the hospitals
# apart. It never sees a patient with the disease. Then take its answer for *this is hospital C* as if it said *this is
# COVID-19*:

# %%
never = lab.source_areas(MARK, resamples=RESAMPLES)
show.table(
    {
        "what it learned: which hospital": {"AUROC": never["hospital"]},
        "taken for COVID-19, marks as in training": {"AUROC": never["as in training"]},
        "taken for COVID-19, marks swapped": {"AUROC": never["swapped"]},
        "taken for COVID-19, no marks": {"AUROC": never["no marks"]},
    },
    first="a network that never saw COVID-19",
)

# %% [markdown]
# Whatever a test set scores such a network with, it scores *for nothing*. This is the line to hold a result against,
# not one half.
#
# ## What buys it back?
#
# See the variants above again, the rows below *lungs masked out*. Each takes a shortcut away, and what counts is
# *marks swapped*: the nearer it comes to *no marks*, the less the network goes by the mark.
#
# - *edge blanked*, *lungs only*, *cropped*: they take away what lies at the border. A letter is gone then; a grey
#   curve, which lies on every pixel, is not.
# - *histogram matched*: takes away the grey curve, in one number per grey, and leaves strips and letters.
# - *cropped and matched*: both.
#
# The same for the letter:

# %%
letter_areas = {variant: lab.areas("letter", variant=variant, resamples=RESAMPLES) for variant in VARIANTS}
show.table(
    {variant: {f"marks {name}": areas[name] for name in tests} for variant, areas in letter_areas.items()},
    first="letter: AUROC by variant",
)

# %% [markdown]
# Every one of these needs you to *know* the shortcut. The one remedy that does not is to have films of both kinds from
# each hospital. How many does it take?

# %%
shares = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)
mixed = {share: lab.areas(MARK, swapped=share, resamples=RESAMPLES) for share in shares}
x = "% of training films with the other mark"
points = [{"test": f"marks {name}", x: 100 * s, **vars(mixed[s][name])} for s in shares for name in tests]
points = pd.DataFrame(points).rename(columns={"value": "AUROC"})
figure = show.figure(9, 3.9, simulated=True)
axis = figure.subplots()
sns.lineplot(points, x=x, y="AUROC", hue="test", style="test", markers=True, palette="colorblind", ax=axis)
for line, (_, rows) in zip(axis.lines, points.groupby("test", sort=False), strict=False):
    axis.fill_between(rows[x], rows["low"], rows["high"], color=line.get_color(), alpha=0.18)
axis.axhline(0.5, color="black", linewidth=1, linestyle="--")
figure

# %% [markdown]
# A handful does little; it takes a good part of the films. And *at home* none of it shows, or it even looks like a
# loss: a hospital that chooses its network by its own test films has no reason to mix.
#
# ## Try it
#
# Choose a mark, how many training films of each class have the other hospital's, and a variant. A choice that is new is
# trained while you wait, a few seconds. First as a picture:

# %%
show.forest(
    {"test patients": lab.areas(MARK, swapped=0.05, variant="cropped and matched", resamples=RESAMPLES)},
    title=f"mark: {MARK}; mixed in: 5% of each class; films cropped and matched",
    simulated=True,
)

# %%
MarkPanel(lab, mark=MARK)

# %% [markdown]
# ## Real films
#
# With real images no mark can be swapped: nobody has the same patient from two hospitals. But a source can be left out,
# the lungs can be masked, and a network can learn the source. So it was done on films of three public collections:
# `nih` (ChestX-ray14, no COVID-19), `hannover` (nothing else), and `cohen`, the only one with both.

# %%
real = experiments.recorded_shortcuts(RESULT)
print(f"{show.experiments.trained(real)} Made by {real.extra['made by']}.")

# %%
show.table(real.films)

# %% [markdown]
# Rows: what a network learned from. Columns: what it was tested on, and whether it had seen films of that source. The
# last row is the network that never saw COVID-19: it learned which films are of `nih` and which of `cohen`, on films
# without the disease alone.

# %%
show.experiments.sources(real, title="AUROC for COVID-19, real images")

# %% [markdown]
# ### A floor of more than one half
#
# What of the score on mixed sources needs the disease, or the lungs? (Exercise 1 asks what someone would score who
# looks at no film at all.)

# %%
area = real.estimates("trained on", "tested on", variant="unchanged")
everything, *_ = [name for name in area if name == "all sources"] or list(area)
bare = real.estimates("trained on", "tested on", variant="lungs masked out")[everything][everything]
show.table(
    {
        "learned COVID-19 from films as they are": {"AUROC": area[everything][everything]},
        "learned COVID-19 from films without lungs": {"AUROC": bare},
        "never saw COVID-19": {"AUROC": area["images without COVID-19"][everything]},
    },
    first="asked about all sources",
)

# %% [markdown]
# ### Fewer films, a worse test score, a better network?
#
# Whoever chooses by the score on all test films takes the second row of these two. On sources that it never saw, it is
# the first that has learned more:

# %%
alone, pair = list(area)[:2]
per_source = real.films.query("split == 'train'").set_index("source")[["COVID-19", "other"]].sum(axis=1)
counts = {name: per_source[per_source.index.isin(name.split(" and "))].sum() for name in (alone, pair)}
show.table(
    {
        f"{name} ({counts[name]} films)": {
            "all test films": area[name][everything],
            "sources it learned from": area[name][name],
            "sources never seen": area[name][other],
        }
        for name, other in ((alone, pair), (pair, alone))
    },
    first="learned from",
)

# %% [markdown]
# Look at the intervals before you tell anyone: those on sources never seen touch or come near. And these, too, are two
# collections of one class each: part of what ranks them is not the disease (look at *lungs masked out* below).
#
# Beside the report:

# %%
fig10, fig13 = published.table("fig10"), published.table("fig13")
show.table(
    {
        "sources mixed, tested on the same sources": (float(fig10.loc["mean", "auroc"]), area[everything][everything]),
        "the other source's films, never seen": (float(fig13.iloc[0, 0]), area[alone][pair]),
        f"learned from {pair}, tested on {alone}": (None, area[pair][alone]),
        f"learned from {everything}, tested on {alone}": (None, area[everything][alone]),
        "never saw COVID-19, tested on all sources": (None, area["images without COVID-19"][everything]),
    },
    first="AUROC",
)

# %% [markdown]
# Who is called COVID-19? Of films of ChestX-ray14 the right share is none.

# %%
show.experiments.predicted_positive(real)

# %% [markdown]
# What each variant leaves, for the network that learned from sources of one class each, and for the one that learned
# from the source with both:

# %%
show.experiments.variants(real, pair)

# %%
show.experiments.variants(real, alone)

# %% [markdown]
# How to read it:
#
# - *Lungs masked out* on the same sources: what is left there is not the disease.
# - A variant that lowers the score at home and not elsewhere took the shortcut away. One that lowers both took the
#   disease away too.
# - Intervals cover other patients of these sources. They say nothing about the next hospital: for that, three sources
#   are three.
#
# ## Data of your own
#
# Before you believe a score:
#
# 1. **Count source by class.** A source that holds one class alone cannot show anything about the other.
# 2. **Ask what the source alone would score** (exercise 1), and what a network does that never saw the disease.
# 3. **Mask the lungs out and train again.** What remains is the floor, not one half.
# 4. **Leave a whole source out** and test on it. Splitting by patient is not enough.
# 5. **Report each source apart**; above all the one with both classes.
# 6. **Swap or remove what you can**: crop, blank the edge, match histograms. Look at what it does *elsewhere*.
# 7. **Mix**: get films of both kinds from each hospital, and more than a handful.
# 8. **Do not choose among networks by the score at home.** It ranks them by how well they know the hospital.
#
# In a terminal, with a manifest that has `image`, `source`, `patient_id`, `covid` and, if it likes, `split`:
#
#     cxrkit experiment shortcuts MANIFEST --out runs/shortcuts --record runs/shortcuts.json
#
# and then `RESULT = "runs/shortcuts.json"` above.

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
print(f"Simulated: {home.value:.2f} at home, {areas['swapped'].value:.2f} on the same patients with the other mark,")
print(f"{by_variant['lungs masked out']['as in training'].value:.2f} at home without lungs,")
print(f"{never['as in training'].value:.2f} by a network that never saw the disease.")
print(f"Real: {area[everything][everything].value:.2f} on mixed sources;", end=" ")
print(f"{area['images without COVID-19'][everything].value:.2f} by the network that never saw the disease,")
print(f"{bare.value:.2f} without lungs.")
show.disclaimer(simulated=True)

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** Someone looks at no chest at all. Of each real test film they know the source, and say *COVID-19* unless it is
# of `nih`. What is the AUROC of this answer on all test films together? Two decimals; the table of films above has the
# counts.

# %%
answer = None
check_answer("06.1", answer, films=real.films)

# %% [markdown]
# **2.** Of the variants of the simulated films, which brings the score with swapped marks nearest to the score without
# marks? Give its name as a string.

# %%
answer = None
check_answer(
    "06.2",
    answer,
    swapped={variant: areas["swapped"].value for variant, areas in by_variant.items()},
    unmarked={variant: areas["no marks"].value for variant, areas in by_variant.items()},
)

# %% [markdown]
# **3.** From which share of mixed films on, of those tried, is the network with swapped marks shown to be better than a
# coin? (Its interval lies above one half.)

# %%
answer = None
check_answer("06.3", answer, lows={share: mixed[share]["swapped"].low for share in shares})
