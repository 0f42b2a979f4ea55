// Elements, words and pictures. Text goes in as text: nothing that a file says is ever read as HTML.

/** Return an element; attributes that are false, null or undefined are left out, those named on... are listeners. */
function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  fill(made, ...children);
  return made;
}

/** Put these into an element in place of what it held; false, null and undefined are left out. Focus stays. */
function fill(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  element.replaceChildren(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  if (focused) (element.contains(focused) ? focused : like(element, focused))?.focus({ preventScroll: true });
}

/** Return what in an element took the place of another: what bears the same name. */
function like(element, other) {
  const name = ["id", "data-key", "data-label", "data-column", "data-table"].find((one) => other.hasAttribute(one));
  return name && element.querySelector(`[${name}="${CSS.escape(other.getAttribute(name))}"]`);
}

/**
 * Return what says a text of the page's language, with its fields: say("verdict.clear", fields). A field that is
 * { key, fields } is words too.
 */
function speaker(model) {
  const say = (key, fields = {}) => {
    const text = model.get("texts")[model.get("language")][key];
    if (text === undefined) throw new Error(`no such text: ${key}`);
    return text.replace(/\{(\w+)\}/g, (_, name) => field(fields[name]));
  };
  const field = (value) => (typeof value === "object" ? say(value.key, value.fields) : String(value));
  return say;
}

/** Return an img of bytes; its object URL is released once it is drawn. */
function picture(bytes, type, attributes) {
  const url = URL.createObjectURL(new Blob([bytes], { type }));
  const image = h("img", { ...attributes, src: url, draggable: "false" });
  image.decode().then(
    () => URL.revokeObjectURL(url),
    () => URL.revokeObjectURL(url),
  );
  return image;
}

/** Hand a text to the reader's computer as a file. */
function download(name, text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const number = (value) => value.toFixed(2);
