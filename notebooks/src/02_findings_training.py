# %% [markdown]
# # Fourteen findings: seven networks, two of which learnt nothing
#
# The report of 2020 takes seven networks that were known from photographs, gives each 14 outputs, trains them on
# ChestX-ray14 and compares them by one finding, pneumonia. Four get somewhere; VGG16 and VGG19 stay at 0.5, and nothing
# is printed for the seventh.
#
# **What you will see**
#
# 1. the report's table 2 and figure 4, and what their numbers must be;
# 2. the seven networks built, counted and timed on this machine;
# 3. a network trained while you wait, with what it prints after each epoch (figure 3) and the curve of that;
# 4. a network that learns nothing, made on purpose; what mends it, and what does not;
# 5. a slider: what the threshold of a finding costs.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup
#
# TensorFlow greets every program with lines about the processor, which a notebook shows as errors, and takes other
# libraries along that are not needed here. `start_tensorflow` leaves out both. The first line switches off oneDNN, a
# faster way to compute convolutions that keeps memory for each network built. To train large networks, remove it.

# %%
import os

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

from cxrkit import networks

networks.start_tensorflow()

# %%
import contextlib
import functools
import io
from pathlib import Path

import numpy as np
import seaborn as sns
from scipy.special import ndtri

from cxrkit import metrics, networks, show, train
from cxrkit.course import check_answer, published
from cxrkit.data import COURSE_MANIFEST, course_images, load_films, read_manifest
from cxrkit.labels import FINDINGS
from cxrkit.widgets import PrevalencePanel

# %% [markdown]
# With `MANIFEST = None` the films are the course's: 360 simulated ones to train on, 120 to validate, 120 to test. For
# films of your own give a manifest with a split column, and in `TRAIN` the networks, such as
# `("DenseNet121", "ResNet50")` or all of `networks.BACKBONES`; then `WEIGHTS = "imagenet"`, `SIZE_PX = 224` and a
# machine with a graphics card are in order.
#
# Two cores cannot train the seven in the minute or two that a notebook may take. At course scale `TRAIN` is therefore
# `("thin VGG16",)`: the thirteen convolutions of VGG16 at an eighth of the width, with batch normalisation, on small
# films. To train all seven alike, in a terminal: `for b in DenseNet121 VGG16 VGG19 ResNet50 InceptionV3
# InceptionResNetV2 NASNetMobile; do cxrkit train findings MANIFEST --out runs/$b --backbone $b; done`.

# %% tags=["parameters"]
MANIFEST = None
ROOT = None
TRAIN = ("thin VGG16",)
WEIGHTS = None
SIZE_PX = 48
EPOCHS = 4
SEEDS = (1,)
COST_PX = 96
FINDING = "Cardiomegaly"
PREVALENCE = 0.02
OUT = "runs/02_findings_training"

# %% [markdown]
# ## Table 2: seven networks by one finding
#
# Pneumonia, by batch size; the report calls the numbers *accuracy*. Its table has six rows: NASNetMobile is among the
# networks, but no number is printed for it.

# %%
table02 = published.table("table02")
batches = {f"batch size {size}": table02[f"batch{size}"].to_dict() for size in (36, 44)}
show.forest(batches, xlabel="Pneumonia, as the report prints it", title="The report's table 2 (figure 4)")

# %% [markdown]
# Can it be accuracy? The report's split is 93:6:1 of 112,120 films, and few of them have pneumonia. Someone who always
# says *no pneumonia* is right almost always:

# %%
positives = published.table("table01").loc["Pneumonia", ["val", "test"]].astype(int)
films = {"val": round(0.06 * 112_120), "test": round(0.01 * 112_120)}
for name, count in films.items():
    print(f"{name}: {positives[name]} of {count:,} films; always no is right in {1 - positives[name] / count:.1%}")

# %% [markdown]
# So a network that answers the same for every film has an accuracy near 1, or, if all are called, near 0; never 0.5.
# The **AUROC** of the same answer for every film is 0.5 exactly: of a film with pneumonia and one without, neither is
# ranked higher. The numbers of table 2 can hardly be other than AUROCs, and then the two VGGs gave all films the same
# answer.
#
# How far must two networks be apart to differ? The report prints no interval and does not say whether it counted on val
# or on test. Here is the 95% interval of an AUROC of 0.79 with as many films (answers spread like two bells, 0.79
# apart in rank):

# %%
for name, count in films.items():
    truth = np.arange(count) < positives[name]
    ranks = [ndtri((np.arange(n) + 0.5) / n) for n in (positives[name], count - positives[name])]
    area = metrics.auroc(truth, np.concatenate([ranks[0] + np.sqrt(2) * ndtri(0.79), ranks[1]]))
    inside = ((table02 >= area.low) & (table02 <= area.high)).to_numpy().sum()
    print(f"{name}: {area.value:.2f} ({area.low:.2f} to {area.high:.2f}) holds {inside} of the 8 numbers above 0.5")

# %% [markdown]
# A comparison of two networks on the same images is a little more precise than two such intervals suggest
# (`metrics.compare`), but it needs their probabilities. The two batch sizes do not even agree on an order:
# DenseNet121, which the report chose, is the last of the four in one column and the first in the other.
#
# ## The seven networks
#
# Built here with a head of 14 sigmoids. Milliseconds are one pass forward at `COST_PX`, four films at a time, on this
# machine as busy as it is now; what the weights are makes no difference to that. They grow with the area: at the
# report's 224 px, about fivefold.

# %%
costs = networks.costs(networks.BACKBONES, input_size=COST_PX)
shown = costs.assign(
    parameters=costs["parameters"].map("{:,}".format),
    MB=costs["MB"].round().astype(int),
    **{"ms per film": costs["ms per film"].map("{:.1f}".format)},
    **{"report, batch 36": costs["network"].map(table02["batch36"])},
)
show.table(shown)

# %% [markdown]
# The VGGs have few layers and do by far the most work. The others differ from them in a second way, which will matter
# below: each of them normalises its signal after (almost) every convolution.
#
# Training takes about three passes per film, in each epoch. The report trained 100 epochs on 93% of 112,120 films, in
# three days, and gained little over 10. One epoch at 224 px, on this machine, would take about

# %%
films_of_report = round(0.93 * 112_120)
for name, ms in zip(costs["network"], costs["ms per film"], strict=True):
    print(f"{name:18} {3 * ms * (224 / COST_PX) ** 2 * films_of_report / 3.6e6:6.0f} hours")

# %% [markdown]
# ## A training, epoch by epoch
#
# `train.findings` takes a manifest and makes a model folder. The split is the manifest's; a patient in two splits stops
# the run. Here it trains what `TRAIN` names.

# %%
simulated = MANIFEST is None
root = course_images() if simulated else ROOT
source = COURSE_MANIFEST if simulated else Path(MANIFEST)
settings = {"size_px": SIZE_PX, "epochs": EPOCHS, "weights": WEIGHTS, "learning_rate": 1e-3, "augment": "none"}
thin = functools.partial(networks.thin_vgg, FINDINGS, input_size=SIZE_PX, width=8)

# %%
logs = {}
for name in TRAIN:
    small = name == "thin VGG16"
    chosen = train.Settings(**settings) if small else train.Settings(backbone=name, **settings)
    network = functools.partial(thin, batch_norm=True) if small else None
    with contextlib.redirect_stdout(io.StringIO()) as log:
        train.findings(source, Path(OUT, name), chosen, root=root, network=network)
    logs[name] = log.getvalue()

# %% [markdown]
# ### Figure 3: what is printed after each epoch
#
# Here the last epoch. (`epochs.csv` has them all; a run that was finished before prints nothing.)

# %%
run = Path(OUT, TRAIN[-1], "run")
epochs = train.history(run)
print("Epoch" + logs[TRAIN[-1]].rsplit("\nEpoch", 1)[-1] if logs[TRAIN[-1]] else f"{run} was finished before")

# %% [markdown]
# Beside it what the report's figure 3 shows for its 100th epoch. No race: its films were real and 104,000.

# %%
fig03, last = published.table("fig03")["val_auroc_epoch100"], epochs.iloc[-1]
measured = {name: (fig03[name], last[f"{name} (val)"]) for name in FINDINGS}
measured |= {name: (fig03[name], last[name]) for name in ("val_loss", "learning_rate")}
show.table(measured, first=f"epoch 100 there, {EPOCHS} here")

# %% [markdown]
# The learning rate of figure 3 is the lowest that the schedule knows, 1e-8: it was divided by ten whenever val_loss did
# not improve, until nothing could change any more. Many of the 100 epochs were waiting. The curve here:

# %%
figure = show.figure(9, 3.9, title=TRAIN[-1], simulated=simulated)
left, right = figure.subplots(1, 2)
by_epoch = epochs.set_index("epoch")
by_epoch[[f"{name} (val)" for name in FINDINGS]].plot(ax=left, color="grey", linewidth=0.7, alpha=0.6, legend=False)
by_epoch["mean auroc (val)"].plot(ax=left, color="black", marker="o", title="AUROC on val")
left.axhline(0.5, color="black", linewidth=1, linestyle="--")
by_epoch[["loss", "val_loss"]].plot(ax=right, style=["o-", "D--"], title="cross-entropy")
figure

# %% [markdown]
# Each thin line is a finding, the thick one their mean, the broken one chance. On 120 films with a dozen of each a
# single curve is mostly noise; look at the mean. What the best epoch comes to on the test films stands in the model
# folder, with intervals:

# %%
folder = Path(OUT, TRAIN[-1])
predictor = networks.load(folder)
frame = read_manifest(source, root=root).frame
sets = {
    name: load_films(frame[frame["split"] == name], Path(root), SIZE_PX, cache=run / "films")
    for name in ("train", "val", "test")
}
test = sets["test"]
probs = predictor.predict(list(test.scaled(SIZE_PX)[..., 0]), prepared=True)
areas = dict(zip(FINDINGS, metrics.auroc_by_patient(test.targets, probs, test.patients, seed=0), strict=True))
show.forest(areas, title=f"{TRAIN[-1]}, {len(test)} test films", simulated=simulated)

# %% [markdown]
# And the row that this network would have in table 2:

# %%
rows = {name: (table02.loc[name, "batch36"], None) for name in table02.index}
show.table(rows | {TRAIN[-1]: (None, areas["Pneumonia"])}, first="AUROC for Pneumonia")

# %% [markdown]
# ## A network that learns nothing
#
# Of how the report's VGGs were trained we know the batch size alone, so nobody can say for certain what went wrong. But
# the symptom is easily had. VGG16 is thirteen convolutions in a row, with nothing between them that keeps the signal in
# bounds: no shortcuts, no normalisation. What a step does to the size of the signal in one of them, it does thirteen
# times over. After one that is too long,
#
# - the signal may *fade*: a ReLU that is at zero for every film passes no gradient, so it stays there; when too many
#   do, the network can only move its last bias;
# - or it may *burst*: every answer is 0 or 1 for certain, and there the sigmoid passes no gradient.
#
# The thin VGG16 again, now as VGG16 is, *without* normalisation: from random weights, at four starts, on the same films
# in the same order.

# %%
starts = {
    "rate 0.01": train.Start(thin, 0.01),
    "rate 0.001": train.Start(thin, 0.001),
    "rate 0.01, He's first weights": train.Start(functools.partial(thin, initializer="he_normal"), 0.01),
    "rate 0.01, batch normalisation": train.Start(functools.partial(thin, batch_norm=True), 0.01),
}
curves = train.compare_starts(starts, sets["train"], sets["val"], epochs=EPOCHS, seeds=SEEDS)
prior = train.prior_loss(sets["train"].targets)

# %% [markdown]
# The *spread* is how far the answers to different films lie apart; 1e-8 is nothing at all. The broken line in the first
# panel is chance; that in the third is the loss of someone who looks at no film and always answers how common each
# finding is.

# %%
titles = {"AUROC": "mean AUROC on val", "spread": "spread of the answers", "loss": "loss on the training images"}
each = {"hue": "start", "style": "start", "units": "seed", "estimator": None, "markers": True, "palette": "colorblind"}
figure = show.figure(9, 4.4, simulated=simulated)
axes = dict(zip(titles, figure.subplots(1, 3), strict=True))
for column, axis in axes.items():
    shown = curves.assign(spread=curves["spread"].clip(lower=1e-8))
    sns.lineplot(shown, x="epoch", y=column, ax=axis, legend=column == "AUROC", **each)
    axis.set(title=titles[column], ylabel="", xticks=range(1, EPOCHS + 1, max(1, EPOCHS // 6)))
    axis.set_yscale("linear" if column == "AUROC" else "log")
for column, height in (("AUROC", 0.5), ("loss", prior)):
    axes[column].axhline(height, color="black", linewidth=1, linestyle="--")
figure.legend(handles=axes["AUROC"].get_legend_handles_labels()[0], loc="outside upper right", ncols=2)
axes["AUROC"].get_legend().remove()
figure

# %%
ends = curves[curves["epoch"] == EPOCHS].drop(columns="epoch")
show.table(ends.assign(spread=ends["spread"].map("{:.0e}".format)))

# %% [markdown]
# On the course set, read the panels together:
#
# - **rate 0.01** is the two VGGs of table 2, faded. The spread falls to what rounding leaves, the AUROC is 0.5 give or
#   take that rounding, and the loss is the one of the shares: it is no worse a *loss* than a real network's first
#   epochs, and who looks at the loss alone may wait for days.
# - **rate 0.001**, all else equal, learns.
# - **He's first weights** keep the signal as large as it comes in, which is what deep ReLU networks want. But VGG's
#   films come in on a scale of 0 to 255, so that the first answers are certain and wrong. Here it is no cure: the
#   network bursts. The spread is exactly 0, every answer is certain, and the loss far above the line.
# - **batch normalisation** learns at the rate at which the same network without it dies, if not smoothly.
#
# With three seeds and seven starts it is the same ([docs/results](../docs/results/2026-11-24-vgg-starts.md)), but that
# at a rate of 0.01 one of the three bursts. He's first weights die at a rate of 0.001 too, and a rate of 0.0001 does
# not die, but hardly moves in ten epochs. Weights from ImageNet are the usual cure; they do not come with the course,
# and we have not tried them here.
#
# How to tell: **look at the spread of the answers.** An AUROC of 0.5 on a small validation set could be bad luck, and
# the loss of a faded network looks like learning. The same answer for all films is neither.

# %% [markdown]
# ## What a threshold costs
#
# Back to the network that learnt something. Its model folder holds a threshold for each finding, chosen on val by
# Youden's J; here on the test films, and taken to a place where `PREVALENCE` of the films have the finding.

# %%
column = FINDINGS.index(FINDING)
truth, answers, threshold = test.targets[:, column], probs[:, column], predictor.thresholds[FINDING]
worth = metrics.Worth.measure(truth, answers, test.patients, threshold=threshold, prevalence=PREVALENCE)
show.worth(worth, finding=FINDING, simulated=simulated)

# %% [markdown]
# Move the threshold until nobody with the finding is missed; read off what it costs. Then see what the prevalence does
# to the worth of a call.

# %%
PrevalencePanel(
    truth,
    answers,
    test.patients,
    finding=FINDING,
    threshold=threshold,
    prevalence=PREVALENCE,
    simulated=simulated,
)

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
best = epochs.loc[epochs["val_loss"].idxmin()]
dead = [f"{row.start} (seed {row.seed})" for row in ends.itertuples() if row.spread < 1e-6]
heavy, light = (costs.loc[costs["parameters"].agg(which)] for which in ("idxmax", "idxmin"))
print(
    f"{heavy['network']} has {heavy['parameters'] / light['parameters']:.0f} times the weights of {light['network']}."
)
print(f"{TRAIN[-1]}: lowest val_loss {best['val_loss']:.3f} after epoch {best['epoch']:.0f} of {len(epochs)},")
print(f"mean AUROC on val there {best['mean auroc (val)']:.2f}; on test, Pneumonia has", end=" ")
print(f"{areas['Pneumonia'].value:.2f} ({areas['Pneumonia'].low:.2f} to {areas['Pneumonia'].high:.2f}).")
print("Gave all films the same answer:", "; ".join(dead) or "no start")
show.disclaimer(simulated=simulated, not_shown=[name for name in FINDINGS if name in predictor.not_shown])

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** In how many epochs of the training did val_loss improve? Look at the curve, or at the table `epochs`.

# %%
answer = None
check_answer("02.1", answer, improved=epochs["improved"])

# %% [markdown]
# **2.** Adam keeps two running averages for each weight. How many MB do the weights of VGG19 and its averages take,
# before the first film?

# %%
answer = None
check_answer("02.2", answer, parameters=costs.set_index("network").loc["VGG19", "parameters"])

# %% [markdown]
# **3.** One finding is on 10 of 100 films. A network that learnt nothing answers 0.1 for each. What is its
# cross-entropy? And why is that no reason to be content? Two decimals will do.

# %%
answer = None
check_answer("02.3", answer)

# %% [markdown]
# **4.** Add `"rate 0.0001": train.Start(thin, 0.0001)` to `starts`, and `SEEDS = (0, 1, 2)` at the top. Is it dead, or
# only slow? Which panel tells?
