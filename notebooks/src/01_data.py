# %% [markdown]
# # The data: who is in it, and what its labels are worth
#
# Before a network there is a table: one row per film, with a patient and a list of findings. What a network can learn,
# and what its figures mean, is decided there. The report's table comes from ChestX-ray14: 112,120 films of 30,805
# patients, labelled by a program that read the radiologists' reports. Nobody labelled the films themselves.
#
# **What you will see**
#
# 1. the report's table 1, counted again;
# 2. how rare findings are, and which come together;
# 3. why films must be dealt to training and test *by patient*: else, answers that look at no film at all score well;
# 4. the mined labels held against radiologists who did look at the films;
# 5. what a call is worth where few are ill, with a slider.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
import numpy as np
import pandas as pd
import seaborn as sns

from cxrkit import film, metrics, networks, show
from cxrkit.course import check_answer, published, survey
from cxrkit.data import check_manifest, course_images, course_manifest
from cxrkit.labels import FINDINGS
from cxrkit.widgets import PrevalencePanel

# %% [markdown]
# `NIH_LABELS` is a folder with ChestX-ray14's tables: `Data_Entry_2017_v2020.csv`, `train_val_list.txt`, CheXNet-Keras'
# `dev.csv` and `test.csv`, and `google2019_nih-chest-xray-labels.csv` (each may be gzipped; no film is needed). With
# `None` you see what they gave once: counts and intervals alone come with cxrkit. `FINDING` and `PREVALENCE` are for
# the last section: an infiltration has no sharp edge, so that the network is often in doubt.

# %% tags=["parameters"]
NIH_LABELS = None
FINDING = "Infiltration"
PREVALENCE = 0.02
FINDINGS_MODEL = "findings14-small"

# %%
nih = survey.recorded_nih() if NIH_LABELS is None else survey.measure_nih(NIH_LABELS)
course_set = course_manifest()
here = survey.describe(course_set, name="course set (simulated)")
for found in (nih.survey, here):
    print(f"{found.name}: {found.films:,} films of {found.patients:,} patients")
print("ChestX-ray14's figures:", nih.made_by or f"measured now in {NIH_LABELS}")

# %% [markdown]
# ## Table 1 of the report
#
# How many films of each split have each finding, as printed in 2020 and as counted. *+1* means that the report prints
# one more than there are.

# %%
table01 = survey.beside_table01(nih.table01)
show.table(table01)

# %% [markdown]
# The split is the one that the CheXNet-Keras project publishes. The total counts labels, not films: a film with three
# findings is in it three times, and a film with none not at all. The films themselves:

# %%
equal = table01.filter(like="differs").iloc[:-1].eq("").to_numpy()
print(f"{equal.sum()} of {equal.size} numbers are equal")
show.table(nih.splits.assign(share=(nih.splits["films"] / nih.splits["films"].sum()).map("{:.1%}".format)))

# %% [markdown]
# A split of 93:6:1 leaves little to test on. Suppose that a network finds every test film with a hernia. How
# sensitive is it? The interval is the answer, not the 100%:

# %%
hernias = int(nih.table01.loc["Hernia", "test"])
pneumonias = int(nih.table01.loc["Pneumonia", "test"])
show.table(
    {
        f"all {hernias} films with Hernia found": {"sensitivity": metrics.wilson(hernias, hernias)},
        f"18 of {pneumonias} films with Pneumonia found": {"sensitivity": metrics.wilson(18, pneumonias)},
    }
)

# %% [markdown]
# ## How rare is a finding?
#
# Each mark is the share of films with a finding, its line the 95% interval. The axis is logarithmic: the commonest
# finding of ChestX-ray14 is almost 90 times as common as the rarest. The course set was made with more of each, so that
# 600 films are enough to learn from; a threshold or a precision found on it holds for it alone.

# %%
as_shares = {
    "xlabel": "share of images with the finding",
    "reference": None,
    "log": True,
    "model": False,
}
show.forest({"ChestX-ray14": nih.survey.prevalence["all"], here.name: here.prevalence["all"]}, **as_shares)

# %% [markdown]
# Prevalence also differs *within* ChestX-ray14. Its official test films show more of every finding than its training
# films: their patients have nine films each, the others three. Whoever chooses a threshold on the one and reports
# precision on the other will wonder.

# %%
official = {f"official {part}": nih.survey.prevalence[part] for part in ("train", "test")}
show.forest(official, title="ChestX-ray14", **as_shares)

# %% [markdown]
# ## Which findings come together?
#
# Of the films in a row, the share that also has the finding of the column. A network that is asked for *Edema* can
# score by recognising *Infiltration*, which 43% of those films have as well.


# %%
together = {}
for name, pairs in (("ChestX-ray14", nih.survey.pairs), (here.name, here.pairs)):
    images = np.diag(pairs)
    shares = (pairs / images[:, None]).where(~np.eye(len(pairs), dtype=bool))
    rows = [f"{finding} ({count:,})" for finding, count in zip(pairs.index, images, strict=True)]
    together[name] = shares.set_axis(rows)
axes = {"xlabel": "... that also have", "ylabel": "of the images with (number of images) ...", "model": False}
show.matrix(together["ChestX-ray14"], title="ChestX-ray14", **axes)

# %% [markdown]
# The course set makes the rare findings common, but draws what goes with them from these frequencies, at most three on
# a film:

# %%
show.matrix(together[here.name], title=here.name, simulated=True, **axes)

# %% [markdown]
# ## How many films has a patient?
#
# More than half of ChestX-ray14's patients have one film. One in six has six or more, and these few own three films of
# five: the sick come back.

# %%
counts = {found.name: found.films_per_patient for found in (nih.survey, here)}
counts = pd.concat(counts, names=["data set", "images of a patient"])
shares = (counts / counts.groupby("data set").transform("sum")).rename_axis(columns="of").stack().rename("share")
bars = {"x": "images of a patient", "y": "share", "hue": "data set", "col": "of"}
grid = sns.catplot(shares.reset_index(), kind="bar", height=3.2, aspect=1.3, palette="colorblind", **bars)
grid.set_titles("share of {col_name}").tick_params("x", rotation=30)


# %% [markdown]
# ## Leakage: one patient, two splits
#
# Deal the films of the course set to splits of the same sizes as before, as cards are dealt, without a look at whose
# they are. `check_manifest` looks for what would spoil a split; here on the films of the folder `test`.

# %%
root = course_images("test").parent
dealt = survey.split_by_film(course_set, seed=0)
print(check_manifest(dealt[course_set["split"] == "test"], root).summary())

# %% [markdown]
# Pairs that look the same are two films of one patient, taken at different times: what a network may remember. The
# manifest as it comes is dealt by patient (`data.split_by_patient`), and nothing leaks:

# %%
print(check_manifest(course_set[course_set["split"] == "test"], root).summary())

# %% [markdown]
# How many test films are of a patient whom the network has met in training or validation?

# %%
deals = {
    f"{found.name}, {way}": found.leakage.loc[way] for found in (nih.survey, here) for way in ("by film", "by patient")
}
show.table(pd.DataFrame(deals).T.rename_axis("split").reset_index())

# %% [markdown]
# ### Does it matter?
#
# Let us answer without a network and without a film. For each test film of the deal by film: which share of the
# *same patient's other films* is labelled with the finding? A network that recognises people could answer so.

# %%
show.forest(nih.survey.memorised, title="ChestX-ray14, dealt by film: answers that look at no film")

# %% [markdown]
# After a deal by patient the same answers give 0.5, for then the patient has no other films to go by. To see how much
# that is, hold it against the AUROCs that the report's figure 3 prints after 100 epochs, for a network that did look at
# its films (validation films of a split by patient):

# %%
printed = published.table("fig03")["val_auroc_epoch100"]
show.table(
    {name: (round(float(printed[name]), 3), nih.survey.memorised[name]) for name in FINDINGS},
    first="AUROC: trained network, and memory of patients",
)

# %% [markdown]
# On the course set, with wider intervals:

# %%
show.forest(here.memorised, title=f"{here.name}, dealt by film: answers that look at no film", simulated=True)

# %% [markdown]
# ## Can the labels be believed?
#
# ChestX-ray14's labels were mined from reports. In 2019 Google had several radiologists look at each of 4,376 of the
# films again, for four things, and settle their differences (Majkowska et al., *Radiology* 2020). Three of the four
# have counterparts among the mined labels. We take the radiologists as the truth and ask how good the mined label is,
# as if it were a network.

# %%
agreement = nih.agreement
show.table(agreement, first="mined label")

# %%
parts = {f"{name}: {what}": agreement[name][what] for name in agreement for what in ("sensitivity", "specificity")}
show.forest(parts, reference=None, xlabel="mined labels against radiologists", title="ChestX-ray14")

# %% [markdown]
# The mined labels miss about half of what radiologists see on the films, and kappa, agreement beyond chance, is what
# textbooks call fair to moderate. Before you blame the program that read the reports:
#
# - a report answers a question and may leave out what the doctor already knows; the radiologists of 2019 had the film;
# - *airspace opacity* is no label of ChestX-ray14. We count a film as labelled with it when it has any of Atelectasis,
#   Infiltration, Pneumonia, Consolidation or Edema; the last row leaves Atelectasis out;
# - the 4,376 films are not a random draw (45% are official test films, of all films 23%), so the PPV above is theirs.
#
# Whoever trains and tests on mined labels gets a network that predicts mined labels. Exercise 2 shows what that does
# to someone who is always right.
#
# ## What is a call worth?
#
# Sensitivity and specificity belong to a network and its threshold. What a *call* means also depends on how many
# of those who come are ill. We ask the bundled network about the course's test films; the figure takes its answers
# to a place where `PREVALENCE` of the films have the finding.

# %%
films = course_set[course_set["split"] == "test"]
network = networks.load(FINDINGS_MODEL)
answers = np.vstack([network.predict([film.read(root / image).pixels]) for image in films["image"]])
probs = answers[:, FINDINGS.index(FINDING)]
truth = films["findings"].str.split("|").map(lambda names: FINDING in names).to_numpy()
patients = films["patient_id"].to_numpy(str)

# %%
threshold = network.thresholds[FINDING]
worth = metrics.Worth.measure(truth, probs, patients, threshold=threshold, prevalence=PREVALENCE)
show.worth(worth, finding=FINDING, simulated=True)

# %% [markdown]
# Move the two sliders. The threshold trades sensitivity for specificity; the prevalence changes neither, and yet it
# decides what a call is worth. Try 0.3 (a ward), then 0.003 (a screening).

# %%
PrevalencePanel(truth, probs, patients, finding=FINDING, threshold=threshold, prevalence=PREVALENCE, simulated=True)

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers into words.

# %%
leak, mined, ppv = nih.survey.leakage.loc["by film"], agreement["Pneumothorax"]["sensitivity"], worth.estimates["PPV"]
best = max(FINDINGS, key=lambda name: nih.survey.memorised[name].value)
shared = leak["films shared"] / leak["test films"]
print(f"Table 1: {equal.sum()} of {equal.size} numbers are as printed.")
print(f"Dealt by film, {shared:.0%} of ChestX-ray14's test films are of patients met before;")
print(f"knowing the patient alone gives an AUROC of {nih.survey.memorised[best].value:.2f} for {best}.")
print(f"Of the pneumothoraces that radiologists see, {mined.value:.0%} are in the mined labels", end=" ")
print(f"({mined.low:.0%} to {mined.high:.0%}).")
print(f"Simulated films, prevalence {PREVALENCE:.1%}: a call of {FINDING} is right in {ppv.value:.0%}", end=" ")
print(f"({ppv.low:.0%} to {ppv.high:.0%}).")
show.disclaimer()

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** A network answers "no hernia" to every film of ChestX-ray14. What is its accuracy for Hernia?

# %%
answer = None
check_answer("01.1", answer, prevalence=nih.survey.prevalence["all"]["Hernia"].value)

# %% [markdown]
# **2.** A radiologist who is never wrong reads the 4,376 films. You score her against the *mined* labels. What
# sensitivity for Pneumothorax do you print? Two decimals will do.

# %%
answer = None
tp, fp = nih.confusion.loc["Pneumothorax", ["tp", "fp"]]
check_answer("01.2", answer, tp=tp, fp=fp)

# %% [markdown]
# **3.** At the threshold in the figure above, at which prevalence is every second call right? Read it off the curve, or
# work it out. Two decimals will do.

# %%
answer = None
shares = {name: worth.estimates[name].value for name in ("sensitivity", "specificity")}
check_answer("01.3", answer, **shares)
