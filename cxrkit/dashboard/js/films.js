// The gallery of samples, a place to drop images, and the images read so far.

function filmsPart({ model, say, ask, tell }) {
  const samples = h("div", { class: "gallery" });
  const input = h("input", {
    type: "file",
    id: "cxr-files",
    multiple: true,
    // No list of file endings: many DICOM files have none, and the name does not matter.
    class: "visually-hidden",
  });
  const zone = h("label", { for: "cxr-files", class: "zone" });
  const limits = h("p", { class: "small" });
  const list = h("ul", { class: "read" });
  const headings = ["films.samples", "films.own", "films.read"].map((key) => [h("h2"), key]);
  const none = h("p", { class: "small" });
  const part = h("aside", { class: "films card" }, headings[0][0], samples, headings[1][0], input, zone, limits, headings[2][0], none, list);

  const upload = uploader(model, ask, tell);
  input.addEventListener("change", () => {
    upload(input.files);
    input.value = "";
  });
  const over = (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    zone.classList.toggle("over", event.type !== "drop");
    if (event.type === "drop") upload(event.dataTransfer.files);
  };
  const leave = () => zone.classList.remove("over");
  // Anywhere on the page: a film that misses the zone must not make the browser leave the page for it.
  const listeners = { dragover: over, drop: over, dragleave: leave };
  for (const [name, listener] of Object.entries(listeners)) window.addEventListener(name, listener);

  const mark = () => {
    const key = model.get("shown").key;
    for (const button of part.querySelectorAll("button[data-key]")) {
      button.setAttribute("aria-pressed", String(button.dataset.key === key));
    }
  };

  function drawSamples() {
    fill(samples, 
      ...model.get("samples").map((sample) =>
        h(
          "button",
          { type: "button", "data-key": sample.name, onclick: () => ask({ do: "sample", name: sample.name }) },
          picture(sample.thumb, "image/jpeg", { alt: "", width: 84, height: 84 }),
          h("span", {}, say(`sample.${sample.name}`)),
        ),
      ),
    );
  }

  function drawList() {
    const films = model.get("films");
    none.hidden = films.length > 0;
    none.textContent = say("films.none");
    fill(list, 
      ...films.map((film) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", "data-key": film.key, onclick: () => ask({ do: "show", key: film.key }) },
            film.thumb.byteLength
              ? picture(film.thumb, "image/jpeg", { alt: "", width: 40, height: 40 })
              : h("span", { class: "nothing", "aria-hidden": "true" }, "!"),
            h("span", { class: "name" }, film.name),
            h("span", { class: `chip ${film.status}` }, verdictShort(film, say)),
          ),
        ),
      ),
    );
  }

  function draw() {
    for (const [heading, key] of headings) heading.textContent = say(key);
    const { at_once, file_mb, megapixels, films } = model.get("limits");
    fill(zone, h("strong", {}, say("films.drop")), h("span", {}, say("films.formats")));
    limits.textContent = say("films.limits", { at_once, file_mb, megapixels, films });
    drawSamples();
    drawList();
    mark();
  }

  return {
    part,
    draw,
    films: () => {
      drawList();
      mark();
    },
    mark,
    stop: () => {
      for (const [name, listener] of Object.entries(listeners)) window.removeEventListener(name, listener);
    },
  };
}

/** What is said of a film in a word or two. */
function verdictShort(film, say) {
  if (film.status === "error" || film.status === "rejected") return say(`verdict.short.${film.status}`);
  if (film.positive.includes("COVID-19")) return say("label.COVID-19");
  if (film.positive.length) return say("verdict.short.findings", { count: film.positive.length });
  return say("verdict.short.none");
}
