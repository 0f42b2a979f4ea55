// One line that is read aloud when it changes. The element stays, since a screen reader hears changes within it, not
// its coming.

function render({ model, el }) {
  const line = document.createElement("div");
  line.setAttribute("role", "status");
  el.classList.add("cxrkit-message");
  const say = () => {
    line.textContent = model.get("value");
    line.classList.toggle("wrong", model.get("wrong"));
  };
  model.on("change:value", say);
  model.on("change:wrong", say);
  say();
  el.replaceChildren(line);
  return () => {
    model.off("change:value", say);
    model.off("change:wrong", say);
  };
}

export default { render };
