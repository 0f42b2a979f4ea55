// Steps as a tree or a list: choose, drag to another place, or move with the keyboard.
// Python holds what they are; this shows `rows` and sends what was asked for.

const MODES = ["before", "inside", "after"];

function render({ model, el }) {
  // JupyterLab's own shortcuts (arrows, D D) would otherwise take these keys.
  el.dataset.lmSuppressShortcuts = "true";
  el.classList.add("cxrkit-steps");
  const tree = document.createElement("ul");
  tree.setAttribute("role", "tree");
  tree.setAttribute("aria-label", model.get("label"));
  const help = document.createElement("p");
  help.textContent = `Drag a ${model.get("one")}, or Alt and an arrow key; Delete removes it.`;
  el.replaceChildren(tree, help);
  let dragged = null;

  const places = () => model.get("rows").map((row) => row.place);
  const choose = (place) => {
    model.set("chosen", place);
    model.save_changes();
  };
  const within = (place, other) => place === other || place.startsWith(other === "" ? "" : other + ".");

  function mode(event, row) {
    if (row.place === "") return "inside";
    const box = event.currentTarget.getBoundingClientRect();
    const part = (event.clientY - box.top) / box.height;
    if (!row.group) return part < 0.5 ? "before" : "after";
    return part < 0.3 ? "before" : part > 0.7 ? "after" : "inside";
  }

  function unmark() {
    for (const item of tree.children) item.classList.remove(...MODES);
  }

  function draw() {
    const focused = tree.contains(document.activeElement);
    tree.replaceChildren(
      ...model.get("rows").map((row) => {
        const chosen = row.place === model.get("chosen");
        const item = document.createElement("li");
        item.setAttribute("role", "treeitem");
        item.setAttribute("aria-level", row.depth + 1);
        item.setAttribute("aria-selected", chosen);
        item.tabIndex = chosen ? 0 : -1;
        item.draggable = row.place !== "";
        item.style.paddingLeft = `${0.4 + 1.1 * row.depth}em`;
        item.title = row.text;
        item.classList.toggle("group", row.group);
        const grip = document.createElement("span");
        grip.className = "grip";
        grip.setAttribute("aria-hidden", "true");
        grip.textContent = item.draggable ? "\u2807" : "";
        const text = document.createElement("span");
        text.textContent = row.text;
        item.append(grip, text);

        item.addEventListener("click", () => choose(row.place));
        item.addEventListener("dragstart", (event) => {
          dragged = row.place;
          event.dataTransfer.effectAllowed = "move";
          event.dataTransfer.setData("text/plain", row.text);
          event.stopPropagation();
        });
        item.addEventListener("dragend", () => {
          dragged = null;
          unmark();
        });
        item.addEventListener("dragover", (event) => {
          // A step cannot be put into itself; a row of another page is none of ours.
          if (dragged === null || within(row.place, dragged)) return;
          event.preventDefault();
          unmark();
          item.classList.add(mode(event, row));
        });
        item.addEventListener("drop", (event) => {
          if (dragged === null || within(row.place, dragged)) return;
          event.preventDefault();
          event.stopPropagation();
          model.send({ do: "drop", place: dragged, to: row.place, mode: mode(event, row) });
          dragged = null;
          unmark();
        });
        return item;
      }),
    );
    if (focused) tree.querySelector('[aria-selected="true"]')?.focus();
  }

  tree.addEventListener("keydown", (event) => {
    const all = places();
    const at = all.indexOf(model.get("chosen"));
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step && event.altKey) model.send({ do: step < 0 ? "up" : "down" });
    else if (step) choose(all[Math.min(Math.max(at + step, 0), all.length - 1)]);
    else if (event.key === "Home") choose(all[0]);
    else if (event.key === "End") choose(all[all.length - 1]);
    else if (event.key === "Delete") model.send({ do: "remove" });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  model.on("change:rows", draw);
  model.on("change:chosen", draw);
  draw();
  return () => {
    model.off("change:rows", draw);
    model.off("change:chosen", draw);
  };
}

export default { render };
