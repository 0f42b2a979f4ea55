// All films read so far, as a table that can be sorted, and triage's three tables to take away.

const COLUMNS = ["name", "verdict", "covid", "findings", "quality", "status"];

function tablePart({ model, say, ask }) {
  let by = null;
  let falling = false;
  const heading = h("h2");
  const about = h("p", { class: "small" });
  const files = h("div", { class: "buttons" });
  const samples = h("button", { type: "button", class: "plain", onclick: () => ask({ do: "samples" }) });
  const head = h("tr");
  const body = h("tbody");
  const caption = h("caption", { class: "visually-hidden" });
  const table = h("table", {}, caption, h("thead", {}, head), body);
  const part = h("div", { class: "card" }, heading, about, files, h("div", { class: "wide", tabindex: "0", role: "region" }, table));

  const cells = (film) => ({
    name: film.name,
    verdict: verdictShort(film, say),
    covid: film.prob ?? -1,
    findings: film.positive.filter((name) => name !== "COVID-19").map((name) => say(`label.${name}`)).join(say("list.comma")),
    quality: film.quality.map((flag) => say(`quality.short.${flag}`)).join(say("list.comma")),
    status: say(`status.${film.status}`),
  });

  function sort(column) {
    falling = by === column ? !falling : column === "covid";
    by = column;
    draw();
  }

  function draw() {
    const language = model.get("language");
    heading.textContent = caption.textContent = say("table.title");
    table.parentElement.setAttribute("aria-label", say("table.title"));
    about.textContent = say("table.about");
    samples.textContent = say("table.read_samples");
    fill(files, 
      ...Object.entries(model.get("tables")).map(([name, text]) =>
        h("button", { type: "button", class: "plain", "data-table": name, onclick: () => download(`${name}.csv`, text) }, say(`table.${name}`)),
      ),
      samples,
    );
    fill(head, 
      ...COLUMNS.map((column) =>
        h(
          "th",
          { scope: "col", "aria-sort": by === column ? (falling ? "descending" : "ascending") : null },
          h(
            "button",
            { type: "button", "data-column": column, onclick: () => sort(column) },
            say(`table.column.${column}`),
            h("span", { "aria-hidden": "true" }, by === column ? (falling ? " ▼" : " ▲") : ""),
          ),
        ),
      ),
    );
    const rows = model.get("films").map((film) => [film, cells(film)]);
    if (by !== null) {
      const order = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, language, { numeric: true }));
      rows.sort(([, one], [, other]) => order(one[by], other[by]) * (falling ? -1 : 1));
    }
    fill(body, 
      ...rows.map(([film, cell]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, h("button", { type: "button", class: "link", "data-key": film.key, onclick: () => ask({ do: "show", key: film.key, tab: "film" }) }, cell.name)),
          h("td", {}, h("span", { class: `chip ${film.status}` }, cell.verdict)),
          h("td", { class: "number" }, film.prob === null ? "" : number(film.prob)),
          h("td", {}, cell.findings),
          h("td", {}, cell.quality),
          h("td", {}, cell.status),
        ),
      ),
      ...(rows.length ? [] : [h("tr", {}, h("td", { colspan: COLUMNS.length }, say("films.none")))]),
    );
  }

  return { part, draw };
}
