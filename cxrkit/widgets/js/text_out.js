// Two buttons: `text` to the clipboard, and as a file of `name` to the reader's own computer. Every word is in `words`.

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
  const button = () => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "jupyter-button";
    return made;
  };
  const [copy, download] = [button(), button()];
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  said.style.cssText = "font: 12px sans-serif; margin-left: 0.5em; color: var(--jp-ui-font-color1, #222)";
  // What was last said, by its key, so that it can be said in another language.
  let last = null;

  function say() {
    const words = model.get("words");
    copy.textContent = words.copy;
    copy.title = words["copy.tip"];
    download.textContent = words.download;
    download.title = words["download.tip"];
    said.textContent = last === null ? "" : words[last];
  }
  const tell = (key) => {
    last = key;
    say();
  };
  copy.addEventListener("click", async () => tell((await copied(model.get("text"))) ? "copied" : "not_copied"));
  download.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([model.get("text")], { type: "text/plain" }));
    link.download = model.get("name");
    link.click();
    URL.revokeObjectURL(link.href);
    tell("downloaded");
  });
  const forget = () => tell(null);
  model.on("change:text", forget);
  model.on("change:words", say);
  say();
  el.style.cssText = "display: flex; flex-wrap: wrap; align-items: center; gap: 4px";
  el.replaceChildren(copy, download, said);
  return () => {
    model.off("change:text", forget);
    model.off("change:words", say);
  };
}

export default { render };
