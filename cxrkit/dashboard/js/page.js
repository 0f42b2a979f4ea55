// The page: a head that says what this is, tabs, and the parts; what is seen follows the traits that Python sets.

const TABS = ["film", "table", "lab", "rounds", "about"];
// The kernel has this long to answer; after that the page reports that it is gone. Under Voila the page also queries the server.
const PATIENCE_MS = 60_000;
const ASK_SERVER_MS = 10_000;

/** Return the page of a model, and what ends it. */
function build(model) {
  const say = speaker(model);
  const root = h("div", { class: "cxrkit", "data-lm-suppress-shortcuts": "true" });
  const status = h("p", { role: "status", class: "status" });
  // What is read aloud of a film stands on the page already.
  const spoken = h("p", { role: "status", class: "visually-hidden" });
  const lost = h("div", { role: "alert", class: "card bad", hidden: true });
  let told = [null];
  const tell = (key, fields) => {
    told = [key, fields];
    status.textContent = key === null ? "" : say(key, fields);
  };

  // ---------------------------------------------------------------- asking the kernel
  let asked = 0;
  const answers = new Map();
  function ask(content, buffers = []) {
    const number = (asked += 1);
    return new Promise((resolve) => {
      const gone = setTimeout(giveUp, PATIENCE_MS);
      answers.set(number, (reason) => {
        clearTimeout(gone);
        resolve(reason);
      });
      model.send({ ...content, number }, undefined, buffers);
    });
  }
  function giveUp() {
    if (!lost.hidden) return;
    lost.hidden = false;
    fill(
      lost,
      h("p", { class: "said" }, say("page.lost")),
      h("button", { type: "button", class: "plain", onclick: () => location.reload() }, say("page.reload")),
    );
  }
  const voila = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  const watch = voila.kernelId && setInterval(seeAlive, ASK_SERVER_MS);
  async function seeAlive() {
    try {
      const { status } = await fetch(`${voila.baseUrl}api/kernels/${voila.kernelId}`);
      if (status === 404) {
        clearInterval(watch);
        giveUp();
      } else if (!answers.size) lost.hidden = true;
    } catch {
      // Maybe for a moment: a laptop wakes up before its network does.
      giveUp();
    }
  }
  const answered = (content) => {
    answers.get(content.number)?.(content.error);
    answers.delete(content.number);
    lost.hidden = true;
    if (content.error) tell("page.refused", { reason: content.error });
  };
  model.on("msg:custom", answered);

  // ---------------------------------------------------------------- parts
  const shared = { model, say, ask, tell };
  const parts = { films: filmsPart(shared), film: filmPart(shared), rounds: roundsPart(shared), table: tablePart(shared), about: aboutPart(shared) };
  const panels = {
    film: h("div", { class: "panel viewing" }, parts.films.part, parts.film.part, parts.rounds.part),
    table: h("div", { class: "panel" }, parts.table.part),
    lab: h("div", { class: "panel" }),
    rounds: h("div", { class: "panel" }),
    about: h("div", { class: "panel" }, parts.about.part),
  };
  const intro = { lab: h("p", { class: "card small" }), rounds: h("p", { class: "card small" }) };
  for (const [name, words] of Object.entries(intro)) panels[name].append(words);

  const title = h("p", { class: "subtitle" });
  const notice = h("p", { class: "notice", role: "note" });
  const language = h(
    "select",
    {
      id: "cxr-language",
      onchange: (event) => {
        localStorage.setItem("cxrkit-language", event.target.value);
        model.set("language", event.target.value);
        model.save_changes();
      },
    },
    Object.entries(model.get("languages")).map(([tag, name]) => h("option", { value: tag, lang: tag }, name)),
  );
  const languageLabel = h("label", { for: "cxr-language", class: "visually-hidden" });
  const tabs = h("div", { role: "tablist" });
  for (const name of TABS) {
    tabs.append(h("button", { type: "button", role: "tab", id: `cxr-tab-${name}`, "aria-controls": `cxr-panel-${name}`, onclick: () => open(name) }));
    const panel = panels[name];
    panel.id = `cxr-panel-${name}`;
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `cxr-tab-${name}`);
  }
  tabs.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    const at = TABS.indexOf(model.get("tab"));
    const to = { Home: 0, End: TABS.length - 1 }[event.key] ?? (event.key in steps ? at + steps[event.key] : null);
    if (to === null) return;
    event.preventDefault();
    open(TABS[(to + TABS.length) % TABS.length]);
    tabs.children[(to + TABS.length) % TABS.length].focus();
  });
  function open(name) {
    model.set("tab", name);
    model.save_changes();
  }

  root.append(
    h("header", {}, h("div", {}, h("h1", {}, "cxrkit"), title), h("div", {}, languageLabel, language)),
    notice,
    tabs,
    lost,
    status,
    spoken,
    h("main", {}, Object.values(panels)),
  );

  // ---------------------------------------------------------------- following
  function showTab() {
    const chosen = model.get("tab");
    const leaves = TABS.some((name) => name !== chosen && panels[name].contains(document.activeElement));
    for (const [at, name] of TABS.entries()) {
      tabs.children[at].setAttribute("aria-selected", String(name === chosen));
      tabs.children[at].tabIndex = name === chosen ? 0 : -1;
      panels[name].hidden = name !== chosen;
    }
    // A film was chosen in the table: keys go on from its tab, not from the top of the page.
    if (leaves) tabs.children[TABS.indexOf(chosen)].focus();
  }
  function draw() {
    const tag = model.get("language");
    root.lang = tag;
    // The page is ours alone only where our template made it; in JupyterLab it is not.
    if (document.body.classList.contains("cxrkit-page")) {
      document.documentElement.lang = tag;
      document.title = `cxrkit: ${say("page.title")}`;
    }
    language.value = tag;
    languageLabel.textContent = say("page.language");
    title.textContent = say("page.title");
    notice.textContent = say("notice.device");
    tell(...told);
    for (const [at, name] of TABS.entries()) tabs.children[at].textContent = say(`tab.${name}`);
    tabs.setAttribute("aria-label", say("page.tabs"));
    for (const [name, words] of Object.entries(intro)) words.textContent = say(`tab.${name}.about`);
    for (const part of Object.values(parts)) part.draw();
    speak();
    showTab();
  }
  function shown() {
    const film = model.get("shown");
    parts.film.draw();
    parts.rounds.draw();
    parts.films.mark();
    if (film.covid) ask({ do: "rounds", key: film.key });
    speak();
  }
  function speak() {
    const film = model.get("shown");
    spoken.textContent = `${film.name}: ${film.why ? say(lacking(film)) : verdict(film, say)}`;
  }
  const follow = {
    "change:language": draw,
    "change:tab": showTab,
    "change:shown": shown,
    "change:rounds": parts.rounds.draw,
    "change:films": () => {
      parts.films.films();
      parts.table.draw();
    },
    "change:tables": parts.table.draw,
  };
  for (const [event, listener] of Object.entries(follow)) model.on(event, listener);

  const wished = localStorage.getItem("cxrkit-language") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh-Hant" : "en");
  if (wished in model.get("languages") && wished !== model.get("language")) {
    model.set("language", wished);
    model.save_changes();
  }
  draw();
  shown();

  const stop = () => {
    clearInterval(watch);
    parts.films.stop();
    model.off("msg:custom", answered);
    for (const [event, listener] of Object.entries(follow)) model.off(event, listener);
  };
  return { root, stop };
}

function render({ model, el }) {
  window.dispatchEvent(new Event("cxrkit-linked"));
  // Under Voila the page stands already. It stays where it is, with all that a viewer did there meanwhile.
  const standing = document.querySelector("#early > .cxrkit-dashboard")?.early;
  if (standing) {
    standing.tie(model);
    return standing.stop;
  }
  const { root, stop } = build(model);
  fill(el, root);
  window.dispatchEvent(new Event("cxrkit-ready"));
  return stop;
}

export default { render };
