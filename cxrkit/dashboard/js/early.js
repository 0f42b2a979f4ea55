// The page before the link to the kernel is there: Voila's scripts take a second to make it, and all that is to be seen
// came with the page. What a viewer asks for meanwhile waits, and then goes to the kernel.

/** Return a model of these traits, which speaks for itself until it is tied to the one that the kernel knows. */
function waitingModel(traits) {
  const changed = new Set();
  const waiting = [];
  let listeners = [];
  let tied = null;
  return {
    get: (name) => (tied === null ? traits[name] : tied.get(name)),
    set(name, value) {
      if (tied !== null) return tied.set(name, value);
      if (traits[name] === value) return;
      traits[name] = value;
      changed.add(name);
      for (const [event, listener] of listeners) if (event === `change:${name}`) listener();
    },
    save_changes: () => tied?.save_changes(),
    send: (...message) => (tied === null ? waiting.push(message) : tied.send(...message)),
    on: (event, listener) => (tied === null ? listeners.push([event, listener]) : tied.on(event, listener)),
    off(event, listener) {
      listeners = listeners.filter((one) => one[0] !== event || one[1] !== listener);
      tied?.off(event, listener);
    },
    tie(model) {
      // Before anything listens: earlier changes are already drawn.
      for (const name of changed) model.set(name, traits[name]);
      if (changed.size) model.save_changes();
      for (const one of listeners) model.on(...one);
      for (const message of waiting) model.send(...message);
      tied = model;
    },
  };
}

/** Draw the page in a place, out of the traits that came with it; `render` finds it there and ties it. */
export function early(place, traits) {
  const model = waitingModel(decoded(traits));
  const { root, stop } = build(model);
  fill(place, root);
  place.early = { tie: model.tie, stop };
  window.dispatchEvent(new Event("cxrkit-ready"));
}

/** Return values of JSON with their bytes, which came as base64. */
function decoded(value) {
  if (Array.isArray(value)) return value.map(decoded);
  if (value === null || typeof value !== "object") return value;
  if (value.base64 !== undefined) return Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, decoded(inner)]));
}
