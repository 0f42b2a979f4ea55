# %% [markdown]
# # Triage: a folder in, three spreadsheets out
#
# The report of 2020 ends with its two networks put together. A folder of films goes through the COVID-19 network
# first. What it calls COVID-19 is listed in one spreadsheet (figure 14); the rest goes to the 14-finding network and
# is listed in a second one with its findings (figure 15); a third merges both (figure 16).
#
# **What you will see**
#
# 1. the report's three spreadsheets, and something odd in them;
# 2. the same three made here, from the test films of the course;
# 3. how right they are, with intervals, and what it costs to ask the COVID-19 network first;
# 4. what a threshold does;
# 5. a run that is broken off and goes on, and films that nobody should read;
# 6. the same for a folder of your own.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## Setup

# %%
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from IPython.display import display
from sklearn.metrics import RocCurveDisplay

from cxrkit import networks, show, triage
from cxrkit.course import check_answer, published
from cxrkit.data import course_images, course_manifest
from cxrkit.film import read
from cxrkit.labels import COVID, COVID_CLASSES, FINDINGS
from cxrkit.metrics import Confusion
from cxrkit.widgets import ThresholdPanel

# %% [markdown]
# `FOLDER` is a folder of films of your own for the last section; `None` takes course films there too. `THRESHOLD`
# replaces the COVID-19 network's own threshold.

# %% tags=["parameters"]
FOLDER = None
COVID_MODEL = "covid-small"
FINDINGS_MODEL = "findings14-small"
THRESHOLD = None
OUT = "runs/09_triage"

# %% [markdown]
# ## What the report shows
#
# Three lists of names and labels. The first two, as printed, begin like this:

# %%
printed = published.spreadsheets()
shown = {
    figure: show.table(rows.drop(columns="figure"), title=f"The report's figure {figure}")
    for figure, rows in printed.groupby("figure")
}
display(shown[14], shown[15])

# %% [markdown]
# The names tell where a film is from. `covid_...` is a film of a patient with COVID-19. Eight digits, an underscore and
# three digits is ChestX-ray14, and those films were taken years before the disease existed. How many of the films that
# the report lists as COVID-19 in figures 14 and 16 cannot be?

# %%
covid_rows = printed[printed["Predict label"] == "Covid-19"].drop_duplicates("Image Index")
too_old = covid_rows["Image Index"].str.fullmatch(r"\d{8}_\d{3}\.png")
print(f"{too_old.sum()} of the {len(covid_rows)} films listed as COVID-19 are older than COVID-19:")
print(*covid_rows.loc[too_old, "Image Index"])

# %% [markdown]
# The report does not remark on it. Keep it in mind: a list of names hides its errors unless someone holds it against
# the truth. We will.
#
# ## The same, here
#
# The course's test films are simulated, and no network was trained on their patients.

# %%
films = course_images("test")
settings = {"covid_model": COVID_MODEL, "findings_model": FINDINGS_MODEL, "threshold": THRESHOLD}
triage.run(films, OUT, **settings, restart=True)
print(*sorted(path.name for path in Path(OUT).iterdir()))

# %% [markdown]
# ### Figure 14: called COVID-19
#
# The first two columns are the report's. Behind them stand the probabilities, the quality notes, the status of the
# file and its checksum; we show a few.

# %%
columns = ["Image Index", "Predict label", "prob_COVID-19", "status"]
ours = triage.read_table(Path(OUT, "covid.csv"))
display(shown[14], show.table(ours[columns], rows=10, title="The same here: covid.csv", model=True))

# %% [markdown]
# ### Figure 15: not COVID-19, with findings

# %%
ours = triage.read_table(Path(OUT, "not_covid.csv"))
display(shown[15], show.table(ours[columns], rows=10, title="The same here: not_covid.csv", model=True))

# %% [markdown]
# ### Figure 16: both
#
# Every file of the folder has exactly one row here, whatever is wrong with it.

# %%
combined = triage.read_table(Path(OUT, "combined.csv"))
display(shown[16], show.table(combined[columns], rows=10, title="The same here: combined.csv", model=True))

# %%
covid, findings = networks.load(COVID_MODEL), networks.load(FINDINGS_MODEL)
not_shown = [label for label in (COVID, *FINDINGS) if label in covid.not_shown | findings.not_shown]
is_predicted = combined["status"].isin(["ok", "flagged"])
labels = combined["Predict label"].where(is_predicted, "no prediction").fillna("").replace("", "none")
counts = labels.str.split("|").explode().value_counts(ascending=True)
figure = show.figure(9, 4.6, title=f"{len(combined)} files: how often each label is positive", simulated=True)
axis = figure.subplots()
colours = ["lightgrey" if name in not_shown else "#0173b2" for name in counts.index]
counts.rename(lambda name: name.replace("_", " ")).plot.barh(ax=axis, color=colours)
axis.bar_label(axis.containers[0], padding=3)
axis.set(xlabel="images", ylabel="")
figure

# %% [markdown]
# What is grey was *not shown to work on real images*: on real test images its AUROC's interval reaches down to 0.5,
# which is chance. Hold that against how well it does on simulated films, below: a test set that looks like the training
# set flatters a network.
#
# `run.json` keeps what is needed to trust the lists later: versions, checksums of the models, thresholds, counts.

# %%
run = json.loads(Path(OUT, "run.json").read_text(encoding="utf-8"))
for key in ("cxrkit", "python", "finished", "seconds", "counts", "covid_model"):
    print(f"{key:12} {run[key]}")

# %% [markdown]
# ## How right is it?
#
# The manifest of the course knows the truth; films are matched by their checksum. First the COVID-19 network: rows are
# the truth, columns what was called.

# %%
score = triage.score(combined, course_manifest())
counts = pd.DataFrame(score.confusion, COVID_CLASSES, COVID_CLASSES)
shares = counts.div(counts.sum(axis=1), axis=0)
cells = counts.map("{:,}\n".format) + shares.map("{:.0%} of the row".format)
show.matrix(shares, cells, title=f"{len(score.films)} test films", simulated=True)

# %% [markdown]
# Each share with its 95% interval, beside the best of the six networks in the report's table 9 (which calls
# sensitivity *recall*). The columns are no race: its films were real, ours are simulated.

# %%
best = published.table("table09").sort_values("accuracy").iloc[-1]
printed_as = {"sensitivity": "recall", "precision": "precision", "accuracy": "accuracy"}
show.table(
    {name: (best.get(printed_as.get(name)), estimate) for name, estimate in score.covid.items()},
    first="COVID-19 network",
)

# %% [markdown]
# Then the 14 findings, on the films that reached their network. A bar that crosses the dashed line is compatible with
# a network that guesses; a long bar says that few of these films have the finding.

# %%
areas = {name: measures["AUROC"] for name, measures in score.findings.items()}
show.forest(areas, not_shown=not_shown, title="14 findings, simulated test films", simulated=True)

# %% [markdown]
# At the thresholds in use:

# %%
show.table(score.findings, first="finding")

# %% [markdown]
# ## What does the order of the stages cost?
#
# Two errors of the first network travel on. A film with COVID-19 that it misses goes to a network that has no word for
# COVID-19. And a film without COVID-19 that it calls never gets its findings.

# %%
missed = score.films[score.films["is covid"] & ~score.films["covid positive"]]
swallowed = score.films[~score.films["is covid"] & score.films["covid positive"]]
lost = swallowed["true findings"].map(len).sum()
print(f"{len(missed)} films with COVID-19 were passed on, and were called:", end="")
print("", *(missed["Predict label"].replace("", "nothing")), sep="\n    ")
print(f"{len(swallowed)} films without COVID-19 were not passed on; they hold {lost} findings that no list shows.")

# %% [markdown]
# Asking the COVID-19 network first also spares the second network the films with COVID-19. To see both effects we
# ask it about *every* film, as if there were no first stage, and score it again. Where *all films* is clearly lower,
# COVID-19 may pass for the finding; where the intervals overlap, there is nothing to explain.

# %%
pixels = [read(films / name).pixels for name in score.films["Image Index"]]
one_by_one = np.vstack([findings.predict([film]) for film in pixels])
probs = dict(zip((f"prob_{name}" for name in FINDINGS), one_by_one.T, strict=True))
alone = triage.score_findings(score.films.assign(**probs))
show.table(
    {name: {"films passed on": score.findings[name]["AUROC"], "all films": alone[name]["AUROC"]} for name in FINDINGS},
    first="AUROC of",
)

# %% [markdown]
# ## What does a threshold do?
#
# Each dot is a film; what lies to the right of the line is called COVID-19.

# %%
truth, covid_probs = score.films["is covid"].to_numpy(), score.films["prob_COVID-19"].to_numpy()
groups = dict(zip(COVID_CLASSES, (covid_probs[truth], covid_probs[~truth]), strict=True))
threshold = THRESHOLD if THRESHOLD is not None else covid.thresholds[COVID]
show.scores(groups, threshold, title="COVID-19 network, test films", simulated=True)

# %% [markdown]
# The same figure with a line that you can move:

# %%
ThresholdPanel(groups, threshold, simulated=True)

# %% [markdown]
# Moving the line trades one error for the other. Every place of the line is one point of the ROC curve.

# %%
area, in_use = score.covid["AUROC"], (1 - score.covid["specificity"].value, score.covid["sensitivity"].value)
figure = show.figure(9, 4.7, simulated=True)
axis = figure.subplots()
name = f"{COVID}: AUROC {area.value:.3f} ({area.low:.3f} to {area.high:.3f})"
RocCurveDisplay.from_predictions(truth, covid_probs, ax=axis, plot_chance_level=True)
axis.lines[0].set_label(name)
axis.plot(*in_use, "o", markersize=10, label="threshold in use")
axis.set(xlabel="1 - specificity", ylabel="sensitivity")
axis.legend(loc="center left", bbox_to_anchor=(1.03, 0.5))
figure

# %%
measures = {"sensitivity": "recall", "specificity": "specificity", "precision": "precision"}
counts = {f"{at:.2f}": Confusion.count(truth, covid_probs, at) for at in (0.1, 0.3, 0.5, 0.7, 0.9)}
show.table(
    {at: {name: count.measure(measure) for name, measure in measures.items()} for at, count in counts.items()},
    first="threshold",
)

# %% [markdown]
# The *precision* above holds for this folder, in which COVID-19 is common. Exercise 3 takes it to a ward.
#
# ## Broken off, and gone on
#
# A folder can hold 20,000 films, and machines are switched off. Here a run is broken off after 40 films, as with
# Ctrl-C; `kill -9` and a full disk do no more harm.


# %%
def break_off(done, total):
    if done == 40:
        raise KeyboardInterrupt


again = Path(OUT, "broken-off")
try:
    triage.run(films, again, **settings, restart=True, progress=break_off)
except KeyboardInterrupt:
    print("broken off; tables written so far:", len(list(again.glob("*.csv"))))

# %% [markdown]
# The same call goes on where it was. Nothing is done twice, and the result is the same to the byte.

# %%
result = triage.run(films, again, **settings)
print(f"{result.counts['all']} films, of which this run had to read {result.done}")
same = Path(OUT, "combined.csv").read_bytes() == (again / "combined.csv").read_bytes()
print("the same bytes as the unbroken run:", same)

# %% [markdown]
# ## Films that nobody should read
#
# The report removed images too blurred to read by hand before training. Triage checks every image. One that can
# still be read is predicted and flagged. One that is blank, or no frontal chest radiograph, is **rejected**: a
# network gives a number for any picture, and such a number has no meaning. We spoil one image in five ways.

# %%
film = pixels[int(np.argmin(score.films["prob_COVID-19"]))]
height, width = film.shape
spoiled = {
    "as it was": film,
    "blurred": cv2.GaussianBlur(film, (0, 0), width / 40),
    "inverted": 1 - film,
    "a corner": film[: height // 3, : width // 3],
    "on its side": np.rot90(film),
    "blank": np.full_like(film, 0.5),
}
show.images(list(spoiled.values()), list(spoiled), columns=6, simulated=True)

# %%
odd = Path(OUT, "odd-films")
odd.mkdir(parents=True, exist_ok=True)
for name, pixels_of in spoiled.items():
    cv2.imwrite(str(odd / f"{name}.png"), np.rint(pixels_of * 255).astype(np.uint8))
(odd / "no film at all.png").write_text("These are the words of a letter.")
triage.run(odd, Path(OUT, "odd"), **settings, restart=True)
answers = triage.read_table(Path(OUT, "odd", "combined.csv"))
show.table(answers[["Image Index", "Predict label", "quality", "read_note", "status", "reason"]], model=True)

# %% [markdown]
# A flag is a measure with a limit. Which of the five were noticed, and which have a label? The negative was turned
# over before it was predicted, and `read_note` says so. Compare the labels with those of the first row: spoiling an
# image can make findings appear. `triage.run(..., keep_rejected=True)` predicts the rejected ones too; try it, and
# see what the networks predict for a blank image.
#
# ## A folder of your own
#
# Set `FOLDER` at the top; until then the course films stand in. There is no truth to hold the answers
# against, so this is all that there is: counts, the list, and what to look at again. In a terminal it is
# `cxrkit triage FOLDER --out OUT`.

# %%
mine = films if FOLDER is None else Path(FOLDER)
result = triage.run(mine, Path(OUT, "mine"), **settings, restart=FOLDER is None, recursive=FOLDER is not None)
answers = triage.read_table(result.tables["combined"])
print(f"{result.counts['all']} files in {result.seconds:.1f} s:", result.counts)
is_predicted = answers["status"].isin(["ok", "flagged"])
labels = answers["Predict label"].where(is_predicted, "no prediction").fillna("").replace("", "none")
counts = labels.str.split("|").explode().value_counts().rename("images").rename_axis("label").reset_index()
counts["shown to work on real images"] = ["no" if name in not_shown else "" for name in counts["label"]]
show.table(counts, model=True)

# %%
doubtful = answers[answers["status"] != "ok"]
rows = doubtful if len(doubtful) else answers.head(5)
show.table(rows[[*columns, "reason"]], rows=20, model=True)

# %% [markdown]
# ## What we saw
#
# The cell below puts the numbers of this run into words.

# %%
sensitivity, specificity = score.covid["sensitivity"], score.covid["specificity"]
chance = [name for name, area in areas.items() if not area.low > 0.5]
print(f"Sensitivity for COVID-19 {sensitivity.value:.2f} ({sensitivity.low:.2f} to {sensitivity.high:.2f}),")
print(f"specificity {specificity.value:.2f} ({specificity.low:.2f} to {specificity.high:.2f}), simulated films.")
print(f"{len(missed)} films with COVID-19 went on to a network that cannot name it.")
print("Findings whose interval reaches down to chance, or is unknown:", ", ".join(chance) or "none")
show.disclaimer(simulated=True, not_shown=not_shown)

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** How many films with COVID-19 did the first network miss?

# %%
answer = None
check_answer("09.1", answer, truth=truth, called=score.films["covid positive"])

# %% [markdown]
# **2.** A ward wants no film with COVID-19 missed. What is the highest threshold, in hundredths, that misses none of
# these? What does it cost?

# %%
answer = None
check_answer("09.2", answer, truth=truth, probs=covid_probs)

# %% [markdown]
# **3.** On that ward one film in a hundred has COVID-19, and the network is as sensitive and specific as here. Of the
# films that it calls COVID-19, which share has it? Two decimals will do.

# %%
answer = None
check_answer("09.3", answer, sensitivity=sensitivity.value, specificity=specificity.value)
