// Steps as a tree or a list: choose, drag to another place with mouse, pen or finger, or move with the keyboard.
// Python holds what they are and every word; this shows `rows` and sends what was asked for.

const MODES = ["before", "inside", "after"];
// A pointer that moves less means a click.
const STILL_PX = 5;
// A row that is dragged so near to an end of the list scrolls it, so much for every move of the pointer.
const EDGE_PX = 24;
const SCROLL_PX = 8;
let trees = 0;

function render({ model, el }) {
  // JupyterLab's own shortcuts (arrows, D D) would otherwise take these keys.
  el.dataset.lmSuppressShortcuts = "true";
  el.classList.add("cxrkit-steps");
  const tree = document.createElement("ul");
  tree.setAttribute("role", "tree");
  const help = document.createElement("p");
  help.id = `cxrkit-steps-help-${(trees += 1)}`;
  tree.setAttribute("aria-describedby", help.id);
  el.replaceChildren(tree, help);
  // {place, item, id, x, y, moving}: the row under a pointer that is down.
  let held = null;

  const places = () => model.get("rows").map((row) => row.place);
  const choose = (place) => {
    model.set("chosen", place);
    model.save_changes();
  };
  const within = (place, other) => place === other || place.startsWith(other === "" ? "" : other + ".");

  function mode(y, item, row) {
    if (row.place === "") return "inside";
    const box = item.getBoundingClientRect();
    const part = (y - box.top) / box.height;
    if (!row.group) return part < 0.5 ? "before" : "after";
    return part < 0.3 ? "before" : part > 0.7 ? "after" : "inside";
  }

  // Where what is held would land: a row that is not within it, and how.
  function landing(event) {
    const item = el.getRootNode().elementFromPoint(event.clientX, event.clientY)?.closest("li");
    const at = [...tree.children].indexOf(item);
    const row = model.get("rows")[at];
    // A step cannot be put into itself; a row of another page is none of ours.
    return row === undefined || within(row.place, held.place) ? null : { item, row, mode: mode(event.clientY, item, row) };
  }

  function unmark() {
    for (const item of tree.children) item.classList.remove(...MODES);
  }

  function release() {
    held?.item.classList.remove("held");
    held = null;
    unmark();
  }

  function draw() {
    const focused = tree.contains(el.getRootNode().activeElement);
    release();
    tree.replaceChildren(
      ...model.get("rows").map((row) => {
        const chosen = row.place === model.get("chosen");
        const item = document.createElement("li");
        item.setAttribute("role", "treeitem");
        item.setAttribute("aria-level", row.depth + 1);
        item.setAttribute("aria-selected", chosen);
        item.tabIndex = chosen ? 0 : -1;
        item.style.paddingLeft = `${1.1 * row.depth}em`;
        item.title = row.text;
        item.classList.toggle("group", row.group);
        item.classList.toggle("movable", row.place !== "");
        const grip = document.createElement("span");
        grip.className = "grip";
        grip.setAttribute("aria-hidden", "true");
        grip.textContent = row.place === "" ? "" : "\u2807";
        const text = document.createElement("span");
        text.textContent = row.text;
        item.append(grip, text);
        item.addEventListener("click", () => choose(row.place));
        item.addEventListener("pointerdown", (event) => {
          // A finger on the text scrolls the page; on the handle it drags.
          const drags = event.pointerType === "mouse" ? event.button === 0 : event.target === grip;
          if (row.place === "" || !drags || held !== null) return;
          held = { place: row.place, item, id: event.pointerId, x: event.clientX, y: event.clientY, moving: false };
        });
        return item;
      }),
    );
    if (focused) tree.querySelector('[aria-selected="true"]')?.focus({ preventScroll: true });
  }

  function moved(event) {
    if (event.pointerId !== held?.id) return;
    if (!held.moving && Math.hypot(event.clientX - held.x, event.clientY - held.y) < STILL_PX) return;
    if (!held.moving) {
      held.moving = true;
      held.item.classList.add("held");
      tree.setPointerCapture(held.id);
    }
    event.preventDefault();
    const box = tree.getBoundingClientRect();
    if (event.clientY < box.top + EDGE_PX) tree.scrollTop -= SCROLL_PX;
    if (event.clientY > box.bottom - EDGE_PX) tree.scrollTop += SCROLL_PX;
    unmark();
    const to = landing(event);
    to?.item.classList.add(to.mode);
  }

  function dropped(event) {
    if (event.pointerId !== held?.id) return;
    const to = held.moving ? landing(event) : null;
    if (to !== null) model.send({ do: "drop", place: held.place, to: to.row.place, mode: to.mode });
    release();
  }

  tree.addEventListener("pointermove", moved);
  tree.addEventListener("pointerup", dropped);
  tree.addEventListener("pointercancel", release);
  tree.addEventListener("keydown", (event) => {
    const all = places();
    const at = all.indexOf(model.get("chosen"));
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step && event.altKey) model.send({ do: step < 0 ? "up" : "down" });
    else if (step) choose(all[Math.min(Math.max(at + step, 0), all.length - 1)]);
    else if (event.key === "Home") choose(all[0]);
    else if (event.key === "End") choose(all[all.length - 1]);
    else if (event.key === "Delete") model.send({ do: "remove" });
    else if (event.key === "Escape" && held?.moving) release();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function say() {
    tree.setAttribute("aria-label", model.get("label"));
    help.textContent = model.get("help");
  }

  const heard = { "change:rows": draw, "change:chosen": draw, "change:label": say, "change:help": say };
  for (const [name, react] of Object.entries(heard)) model.on(name, react);
  say();
  draw();
  return () => {
    for (const [name, react] of Object.entries(heard)) model.off(name, react);
  };
}

export default { render };
