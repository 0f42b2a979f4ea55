// What ipywidgets leaves out for those who hear a panel or have no mouse: which language it is in, what each slider
// sets, which of some buttons is the chosen one, and how to open what is folded.

// By a handle's class, which of `ends` names it.
const ENDS = { "noUi-handle-lower": "low", "noUi-handle-upper": "high" };
const WATCHED = { childList: true, subtree: true, characterData: true, attributeFilter: ["class"] };

const labelOf = (control) => control.querySelector(".widget-label")?.textContent ?? "";

function nameSlider(slider, ends) {
  const name = labelOf(slider);
  const handles = [...slider.querySelectorAll(".noUi-handle")];
  for (const handle of handles) {
    const end = Object.keys(ENDS).find((kind) => handle.classList.contains(kind));
    handle.setAttribute("aria-label", handles.length > 1 ? ends[ENDS[end]].replace("{name}", name) : name);
  }
  const readout = slider.querySelector(".widget-readout");
  if (readout?.isContentEditable) {
    readout.setAttribute("role", "textbox");
    readout.setAttribute("aria-label", name);
  }
}

function nameButtons(control) {
  const name = labelOf(control);
  control.setAttribute("role", "group");
  if (name !== "") control.setAttribute("aria-label", name);
  for (const button of control.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.classList.contains("mod-active"));
  }
}

function makeButton(header) {
  header.setAttribute("aria-expanded", header.parentElement.classList.contains("jupyter-widget-Collapse-open"));
  if (header.getAttribute("role") === "button") return;
  header.setAttribute("role", "button");
  header.tabIndex = 0;
  // Enter is JupyterLab's own otherwise.
  header.dataset.lmSuppressShortcuts = "true";
  header.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    header.click();
  });
}

function render({ model, el }) {
  let waiting = null;
  let watcher = null;
  el.hidden = true;

  function name() {
    const panel = el.closest(".cxrkit-panel");
    panel.lang = model.get("language");
    for (const slider of panel.querySelectorAll(".widget-slider")) nameSlider(slider, model.get("ends"));
    for (const control of panel.querySelectorAll(".widget-toggle-buttons")) nameButtons(control);
    for (const header of panel.querySelectorAll(".jupyter-widget-Collapse-header")) makeButton(header);
  }

  function begin() {
    const panel = el.closest(".cxrkit-panel");
    if (panel === null) {
      // A widget is made before it is put into its page.
      waiting = requestAnimationFrame(begin);
      return;
    }
    name();
    watcher = new MutationObserver(name);
    watcher.observe(panel, WATCHED);
    model.on("change:language change:ends", name);
  }

  begin();
  return () => {
    cancelAnimationFrame(waiting);
    watcher?.disconnect();
    model.off("change:language change:ends", name);
  };
}

export default { render };
