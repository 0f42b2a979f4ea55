// Two buttons: `text` to the clipboard, and as a file of `name` to the reader's own computer.

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https there is no clipboard to write to; the old way still works.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function render({ model, el }) {
  const button = (label, title) => {
    const made = document.createElement("button");
    made.className = "jupyter-button";
    made.textContent = label;
    made.title = title;
    return made;
  };
  const copy = button("Copy", "copy the text to the clipboard");
  const download = button("Download", `keep it on your own computer as ${model.get("name")}`);
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  said.style.cssText = "font: 12px sans-serif; margin-left: 0.5em; color: var(--jp-ui-font-color1, #222)";
  copy.addEventListener("click", async () => {
    said.textContent = (await copied(model.get("text"))) ? "copied" : "not copied: select the text and press Ctrl-C";
  });
  download.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([model.get("text")], { type: "text/plain" }));
    link.download = model.get("name");
    link.click();
    URL.revokeObjectURL(link.href);
    said.textContent = "downloaded";
  });
  const forget = () => (said.textContent = "");
  model.on("change:text", forget);
  el.replaceChildren(copy, download, said);
  return () => model.off("change:text", forget);
}

export default { render };
