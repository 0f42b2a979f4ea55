# %% [markdown]
# # Start here
#
# cxrkit looks at chest radiographs. You give it a folder of films; one network says which of them look like COVID-19,
# and a second one looks for 14 findings in the rest. It is the system of a student project of 2020, built again so
# that every step can be opened, measured and doubted.
#
# **What you will see**
#
# 1. which notebooks there are, and whether this machine is ready for them;
# 2. one film going through the whole system in one call;
# 3. what the networks answered, where they looked, and what is really on the film.
#
# The films of the course are *simulated*: a computer sent rays through a chest made of ellipsoids and tubes. So the
# truth about each of them is known to the pixel, and nobody's privacy is at stake.
#
# > **cxrkit is a teaching and research tool, not a medical device: do not use it to diagnose or treat.**

# %% [markdown]
# ## The notebooks
#
# | notebook | what it is about |
# |---|---|
# | [00_start_here](00_start_here.ipynb) | this one: check the machine, triage one film |
# | [01_data](01_data.ipynb) | who is in the data, how patients leak, what the labels are worth |
# | [02_findings_training](02_findings_training.ipynb) | seven networks, a training, one that learns nothing |
# | [03_findings_heatmaps](03_findings_heatmaps.ipynb) | what the findings network calls, and where it looks |
# | [04_augmentation](04_augmentation.ipynb) | what altered films teach, and a lab to make recipes by hand |
# | [05_covid_transfer](05_covid_transfer.ipynb) | COVID-19 by transfer: what a start is worth, and where it works |
# | [06_shortcuts](06_shortcuts.ipynb) | nearly perfect at home, worse than a coin elsewhere: disease or hospital? |
# | [07_single_augmentation](07_single_augmentation.ipynb) | altered test films: 32 rows of the report, and their luck |
# | [08_ten_rounds](08_ten_rounds.ipynb) | looking again, ten times: does it help? An explorer to try it with |
# | [09_triage](09_triage.ipynb) | a whole folder: three spreadsheets, scored against the truth |
# | [10_jetson](10_jetson.ipynb) | the network on a board: copied over SSH, timed, compared film by film |
# | [12_dashboard](12_dashboard.ipynb) | a page for people who will never open a notebook: `make dashboard` |
#
# Each has one cell of parameters that you may change and ends with exercises that check your answers. Read them in
# any order.

# %% [markdown]
# ## Setup

# %%
from pathlib import Path

from cxrkit import film, networks, show, triage
from cxrkit.course import check_answer, check_machine
from cxrkit.data import course_images, course_manifest, simulate_row
from cxrkit.labels import COVID, FINDINGS
from cxrkit.widgets import FilmPanel

# %% [markdown]
# `FILM` is the film to look at; `None` takes one from the course. Put the path of a film of your own there (PNG, JPEG,
# DICOM...) and run the notebook again. `OUT` is where results go.

# %% tags=["parameters"]
FILM = None
COVID_MODEL = "covid-small"
FINDINGS_MODEL = "findings14-small"
OUT = "runs/00_start_here"

# %% [markdown]
# ## Is this machine ready?
#
# One row per thing that matters. Where `ok` is not *yes*, the last column says what to do; what is *optional* is
# needed by some notebooks only.

# %%
show.table(check_machine())

# %% [markdown]
# ## A film
#
# The course has 600 films of 400 imagined patients, but no film is stored: the first call draws them from the seeds in
# the manifest, `data_manifest.csv`, and checks each against its checksum. A row of the manifest is a film; here
# is every fifth of the first forty test films.

# %%
films = course_manifest().query("split == 'test'").set_index("image")
root = course_images("test").parent
show.table(films.reset_index()[["image", "view", "sex", "age", "covid", "findings"]].iloc[:40:5])

# %% [markdown]
# We take the first film with an effusion: fluid in the pleural space, which blunts the angle between rib cage and
# diaphragm and, when there is more of it, hides the lung from below.

# %%
name = films.index[films["findings"].str.contains("Effusion")][0]
path = root / name if FILM is None else Path(FILM)
radiograph = film.read(path)
print(f"{path.name}: {radiograph.format}, {radiograph.original_size[0]} x {radiograph.original_size[1]} pixels")
show.images(radiograph.pixels, path.name, simulated=FILM is None)

# %% [markdown]
# ## One call
#
# `triage.run` takes a folder, so the film gets a folder to itself. The answer is written to `OUT` as three CSV files,
# which notebook [09_triage](09_triage.ipynb) opens; here is the row of our film. In a terminal the same is
# `cxrkit triage FOLDER --out OUT`.

# %%
inbox, out = Path(OUT, "films"), Path(OUT, "triage")
inbox.mkdir(parents=True, exist_ok=True)
(inbox / path.name).write_bytes(path.read_bytes())
triage.run(inbox, out, covid_model=COVID_MODEL, findings_model=FINDINGS_MODEL, restart=True)
combined = triage.read_table(out / "combined.csv")
row = combined.loc[combined["Image Index"] == path.name, ["Image Index", "Predict label", "status"]]
show.table(row, model=True)

# %% [markdown]
# ## What the networks answered
#
# A label is a probability that reached its threshold, and each label has its own, chosen on validation films. Here we
# ask both networks for all that they have, also the second one where triage would not pass the film on.

# %%
covid, findings = networks.load(COVID_MODEL), networks.load(FINDINGS_MODEL)
probs = {COVID: covid.predict([radiograph.pixels])[0, 0]}
answers, maps = findings.predict_maps([radiograph.pixels])
probs |= dict(zip(FINDINGS, answers[0], strict=True))
thresholds = {COVID: covid.thresholds[COVID], **findings.thresholds}
not_shown = [label for label in probs if label in covid.not_shown | findings.not_shown]
truth = None if FILM else films.loc[name, "findings"].split("|") + [COVID] * int(films.loc[name, "covid"])

# %%
show.findings(probs, thresholds, not_shown=not_shown, truth=truth, title=path.name, simulated=FILM is None)

# %% [markdown]
# ## What we saw: answer and truth

# %%
called = {label for label, prob in probs.items() if prob >= thresholds[label]}
if truth is not None:
    print("true and called:    ", ", ".join(sorted(called & set(truth))) or "nothing")
    print("true but not called:", ", ".join(sorted(set(truth) - called)) or "nothing")
    print("called but not true:", ", ".join(sorted(called - set(truth))) or "nothing")
show.disclaimer(simulated=FILM is None, not_shown=not_shown)

# %% [markdown]
# One film proves nothing, in either direction. How often the networks are right, and within which interval, is what
# [09_triage](09_triage.ipynb) measures.
#
# ## Where the network looked
#
# The networks end in an average over the picture. Leave the average out and each place of the film keeps its own
# vote: a *class activation map*. It shows what moved the network, which need not be what a doctor would look at. The
# boxes on a course film mark where the finding really is; the simulator knows.

# %%
label = "Effusion" if FILM is None else next((name for name in FINDINGS if name in called), FINDINGS[0])
boxes = {} if FILM else simulate_row(films.loc[name]).boxes
show.overlay(
    radiograph.pixels,
    maps[0, FINDINGS.index(label)],
    label=label,
    boxes={label: boxes.get(label, ())},
    simulated=FILM is None,
)

# %% [markdown]
# The panel draws the same figure for the films, labels and opacity that you choose. (Without a running kernel it stays
# empty; the figure above does not.)

# %%
chosen = {path.name: radiograph.pixels}
if FILM is None:
    chosen |= {Path(image).name: film.read(root / image).pixels for image in films.index[:40:5]}
FilmPanel(chosen, findings, label=label, simulated=FILM is None)

# %% [markdown]
# ## Exercises
#
# Put your answer in place of `None` and run the cell.
#
# **1.** How many of the 14 findings would be called on this film if 0.5 were the threshold of each?

# %%
answer = None
check_answer("00.1", answer, probs=probs)

# %% [markdown]
# **2.** Which finding came closest to being called without being called?

# %%
answer = None
check_answer("00.2", answer, probs=probs, thresholds=thresholds)

# %% [markdown]
# **3.** Set `FILM` to a photograph and run the notebook again. What stands under `status` in the row that triage
# writes, and is there a label? Then go on to [09_triage](09_triage.ipynb).
