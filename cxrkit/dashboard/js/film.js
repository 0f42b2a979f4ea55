// One image with a heat map over it, the prediction in words, and each probability with its threshold.

function filmPart({ model, say }) {
  const part = h("section", { class: "film" });
  let label = null;
  let key = null;
  let fade = 60;
  let boxes = true;

  function draw() {
    const film = model.get("shown");
    if (film.key === undefined) return fill(part);
    if (film.key !== key) {
      key = film.key;
      label = film.why ? null : strongest(film);
    }
    fill(part, ...(film.why ? withoutPrediction(film, say) : [pictureCard(film), verdictCard(film)]));
  }

  const strongest = (film) =>
    film.covid.positive ? film.covid.label : ([...film.findings].sort(byWeight)[0] ?? film.covid).label;

  function pictureCard(film) {
    const shown = [film.covid, ...film.findings].find((one) => one.label === label);
    const overlay = picture(film.maps[label], "image/png", { class: "overlay", alt: "" });
    overlay.style.opacity = fade / 100;
    const frame = framed(film, alt(film, shown), overlay);
    if (boxes) frame.append(...truthBoxes(film));
    const slider = h("input", {
      type: "range",
      id: "cxr-fade",
      min: 0,
      max: 100,
      value: fade,
      oninput: (event) => {
        fade = Number(event.target.value);
        overlay.style.opacity = fade / 100;
      },
    });
    const choice = h(
      "select",
      { id: "cxr-label", onchange: (event) => choose(event.target.value) },
      [film.covid, ...film.findings].map((one) =>
        h("option", { value: one.label, selected: one.label === label }, `${say(`label.${one.label}`)} ${number(one.prob)}`),
      ),
    );
    const known = Object.keys(film.boxes).length > 0;
    return h(
      "figure",
      { class: "card picture" },
      frame,
      h(
        "div",
        { class: "controls" },
        h("label", { for: "cxr-label" }, say("film.map_of")),
        choice,
        h("label", { for: "cxr-fade" }, say("film.fade")),
        slider,
        known &&
          h(
            "label",
            { class: "check" },
            h("input", {
              type: "checkbox",
              id: "cxr-boxes",
              checked: boxes,
              onchange: (event) => {
                boxes = event.target.checked;
                draw();
              },
            }),
            say("film.boxes"),
          ),
      ),
      h("figcaption", { class: "small" }, film.simulated && h("strong", {}, `${say("film.simulated")} `), say("film.map_means")),
    );
  }

  function choose(name) {
    label = name;
    draw();
  }

  const alt = (film, shown) =>
    say(film.simulated ? "film.alt_simulated" : "film.alt", {
      name: film.name,
      label: say(`label.${shown.label}`),
      prob: number(shown.prob),
    });

  function truthBoxes(film) {
    return Object.entries(film.boxes).flatMap(([name, places]) =>
      places.map(([x, y, width, height], at) => {
        // Named once: a finding may have several boxes, one upon the other.
        const side = x > 0.6 ? "to-left" : "";
        const box = h("div", { class: `box ${side} ${name === label ? "chosen" : ""}` }, at === 0 && h("span", {}, say(`label.${name}`)));
        Object.assign(box.style, { left: `${100 * x}%`, top: `${100 * y}%`, width: `${100 * width}%`, height: `${100 * height}%` });
        return box;
      }),
    );
  }

  function verdictCard(film) {
    return h(
      "div",
      { class: "card verdict" },
      h("h2", {}, film.name),
      film.quality.length > 0 &&
        h(
          "div",
          { class: "warning" },
          h("strong", {}, say("film.look_first")),
          h("ul", {}, film.quality.map((flag) => h("li", {}, say(`quality.${flag}`)))),
        ),
      h("p", { class: "said" }, verdict(film, say)),
      doubts(film),
      film.truth !== null && h("p", {}, h("strong", {}, say("film.truth")), " ", truth(film)),
      bar(film.covid),
      h("h3", {}, say("film.findings")),
      h("p", { class: "small" }, say(film.covid.positive ? "film.findings_unasked" : "film.findings_mean")),
      h("div", { class: "bars" }, [...film.findings].sort(byWeight).map(bar)),
    );
  }

  function doubts(film) {
    const names = [film.covid, ...(film.covid.positive ? [] : film.findings)].filter((one) => one.positive && one.not_shown);
    return names.length > 0 && h("p", { class: "doubt" }, say("film.doubt", { labels: names.map((one) => say(`label.${one.label}`)).join(say("list.comma")) }));
  }

  function truth(film) {
    const names = film.truth.map((name) => say(`label.${name}`)).join(say("list.comma"));
    return film.truth.length ? names : say("film.truth_none");
  }

  /** A probability and its threshold, as a button that chooses the heat map. */
  function bar(one) {
    const fields = { label: say(`label.${one.label}`), prob: number(one.prob), threshold: number(one.threshold) };
    const state = say(one.positive ? "film.called" : "film.not_called");
    const filled = h("span", { class: "filled" });
    filled.style.width = `${100 * one.prob}%`;
    const from = h("span", { class: "from" });
    from.style.left = `${100 * one.threshold}%`;
    return h(
      "button",
      {
        type: "button",
        class: `bar ${one.positive ? "positive" : ""} ${one.not_shown ? "doubtful" : ""}`,
        "data-label": one.label,
        "aria-pressed": String(one.label === label),
        title: say("film.bar", fields),
        onclick: () => choose(one.label),
      },
      h("span", { class: "what" }, fields.label, one.not_shown && h("span", { class: "small" }, ` ${say("film.not_shown")}`)),
      h("span", { class: "track", "aria-hidden": "true" }, filled, from),
      h("span", { class: "prob" }, fields.prob, h("span", { class: "visually-hidden" }, ` ${say("film.from", fields)}`)),
      h("span", { class: "state" }, state),
    );
  }

  return { part, draw };
}

/** Positive ones first, then by probability. */
const byWeight = (one, other) => other.positive - one.positive || other.prob - one.prob;

/** The prediction in one sentence. */
function verdict(film, say) {
  const fields = { prob: number(film.covid.prob), threshold: number(film.covid.threshold) };
  if (film.covid.positive) return say("verdict.covid", fields);
  const positive = film.findings.filter((one) => one.positive);
  if (!positive.length) return say("verdict.clear", fields);
  const labels = positive.sort(byWeight).map((one) => say(`label.${one.label}`));
  return say("verdict.findings", { ...fields, labels: labels.join(say("list.comma")) });
}

/** The picture of a film in a frame of its shape, with what lies over it. */
function framed(film, alt, ...over) {
  const frame = h("div", { class: "frame" });
  frame.style.aspectRatio = `${film.width} / ${film.height}`;
  frame.append(picture(film.picture, "image/jpeg", { alt }), ...over);
  return frame;
}

/** The text that says why a file has no prediction. */
const lacking = (film) => (film.status === "rejected" ? "film.rejected" : "film.bad");

/** A file without a prediction: its picture where it has one, what came, what is legal, the way out. */
function withoutPrediction(film, say) {
  const kind = lacking(film);
  const why = h(
    "div",
    { class: "card bad", role: "alert" },
    h("h2", {}, film.name),
    h("p", { class: "said" }, say(kind)),
    h("p", {}, say(`${kind}_way_out`)),
    h("p", { class: "small" }, say("film.bad_reason", { reason: film.why })),
  );
  if (!film.picture) return [why];
  const caption = h("figcaption", { class: "small" }, film.simulated && h("strong", {}, say("film.simulated")));
  return [h("figure", { class: "card picture" }, framed(film, film.name), caption), why];
}
