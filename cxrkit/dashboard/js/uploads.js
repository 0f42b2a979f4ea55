// Files to the kernel, one after another, in pieces that any proxy lets through; the next piece waits for the kernel.

const PIECE = 512 * 1024;

/** Return a function that takes files; `ask` sends a message and resolves when the kernel has done it, or to why not. */
function uploader(model, ask, tell) {
  const waiting = [];
  let busy = false;
  let sent = 0;
  let left = 0;

  /** Resolves to why the kernel does not take it, or to undefined. */
  async function send(file, id) {
    const { file_mb: most } = model.get("limits");
    const about = { do: "piece", id, name: file.name, size: file.size };
    // Refused by the kernel as well; here before it is sent.
    if (file.size > most * 2 ** 20) return ask({ ...about, do: "refused" });
    for (let offset = 0; offset === 0 || offset < file.size; offset += PIECE) {
      let piece;
      try {
        piece = await file.slice(offset, offset + PIECE).arrayBuffer();
      } catch {
        // It was moved or locked meanwhile, or is a folder.
        return ask({ ...about, do: "unread" });
      }
      const reason = await ask({ ...about, offset }, [piece]);
      if (reason) return reason;
    }
  }

  async function run() {
    busy = true;
    const all = waiting.length;
    let done = 0;
    let reason;
    while (waiting.length) {
      const file = waiting.shift();
      done += 1;
      tell("films.reading", { name: file.name, done, all: Math.max(all, done + waiting.length) });
      reason = (await send(file, `upload-${(sent += 1)}`)) ?? reason;
    }
    await ask({ do: "came" });
    busy = false;
    // Dropped while that was said.
    if (waiting.length) return run();
    const { at_once: most } = model.get("limits");
    // Said last, or the next file would have covered it.
    tell(reason ? "page.refused" : left ? "films.too_many" : null, { reason, most, left });
    left = 0;
  }

  return (files) => {
    const { at_once: most } = model.get("limits");
    waiting.push(...[...files].slice(0, most));
    left += Math.max(0, files.length - most);
    if (!busy && waiting.length) run().catch(() => (busy = false));
  };
}
