// The system, its training data, its figures by source, and what it must not be used for.

const SECTIONS = ["what", "how", "must_not", "trained", "figures"];

function aboutPart({ model, say }) {
  const part = h("div", { class: "card about" });

  function draw() {
    const networks = model.get("about");
    fill(part, 
      ...SECTIONS.flatMap((section) => [
        h("h2", {}, say(`about.${section}.title`)),
        ...say(`about.${section}.text`).split("\n").map((line) => h("p", {}, line)),
        ...(section === "trained" ? networks.map(trained) : []),
        ...(section === "figures" ? networks.map(figures) : []),
      ]),
    );
  }

  const trained = (network) =>
    h("p", {}, h("strong", {}, network.name), " ", say("about.trained.films", network.trained), " ", h("span", { class: "small" }, say("about.trained.on", network.trained)));

  /** A row for each label, a column for each source: AUROC with its interval and the number of films. */
  function figures(network) {
    const name = say("about.figures.of", { name: network.name, date: network.trained.date });
    return h(
      "div",
      { class: "wide", tabindex: "0", role: "region", "aria-label": name },
      h(
        "table",
        {},
        h("caption", {}, name),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, say("about.figures.label")), network.sources.map((source) => h("th", { scope: "col" }, say(`source.${source}`))))),
        h(
          "tbody",
          {},
          network.rows.map((row) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, say(`label.${row.label}`), row.not_shown && h("span", { class: "small" }, ` ${say("film.not_shown")}`)),
              row.cells.map((cell) => h("td", {}, figure(cell))),
            ),
          ),
        ),
      ),
    );
  }

  const figure = (cell) =>
    cell.value === null
      ? h("span", { class: "small" }, say(cell.n ? "about.figures.one_class" : "about.figures.no_films", cell))
      : [
          h("strong", {}, number(cell.value)),
          " ",
          h("span", { class: "small" }, say("about.figures.interval", { low: number(cell.low), high: number(cell.high), n: cell.n, positives: cell.positives })),
        ];

  return { part, draw };
}
