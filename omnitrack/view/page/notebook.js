// The page in a notebook cell (anywidget): in an iframe, which isolates its styles and keys, and with a message channel
// to the kernel. `omnitrack.view.widget` defines FILES above this text: the page's files by name.

export default {
  render({ model, el }) {
    const addresses = {}, frame = document.createElement("iframe"), channel = messages(model);
    frame.title = "omnitrack: click on anything to see where it goes";
    frame.style.cssText = "display: block; width: 100%; height: 660px; border: 0; resize: vertical; overflow: hidden";
    const dark = document.body.dataset.jpThemeLight; // set by JupyterLab; elsewhere the browser decides
    if (dark) frame.style.colorScheme = dark === "false" ? "dark" : "light";
    frame.srcdoc = pageText();
    frame.onload = () => {
      frame.contentWindow.omnitrackChannel = channel;
      const script = frame.contentDocument.createElement("script");
      Object.assign(script, { type: "module", src: address("main.js", addresses) });
      frame.contentDocument.head.append(script);
    };
    el.append(frame);
    return () => {
      channel.close();
      for (const url of Object.values(addresses)) URL.revokeObjectURL(url);
    };
  },
};

/** index.html with its style inlined, and without its script, which needs the channel first. */
function pageText() {
  const page = new DOMParser().parseFromString(FILES["index.html"], "text/html");
  for (const part of page.querySelectorAll("link, script")) part.remove();
  page.head.appendChild(page.createElement("style")).textContent = FILES["style.css"];
  return `<!doctype html>${page.documentElement.outerHTML}`;
}

/** The object URL of a script, with its imports replaced by their object URLs. */
function address(name, known) {
  const text = FILES[name].replace(/(^import .* from ")\.\/([\w.]+)"/gm, (_, head, other) => `${head}${address(other, known)}"`);
  known[name] ??= URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  return known[name];
}

const LATE_MS = 2000; // a kernel that has not even confirmed a request by then is busy with a cell

/**
 * The channel of channel.js over a widget's messages. The kernel confirms each request; the response comes in parts,
 * all but the last of which announce more.
 */
function messages(model) {
  const takers = new Map(), waiting = new Map(), view = Math.random().toString(36).slice(2); // a model may be shown in several cells
  let count = 0, isLate = false;
  const tell = (now) => {
    if (now !== isLate) channel.late?.(isLate = now); // not repeated: it would replace later messages of the page
  };
  const begin = (path, { method = "GET", body = "" }, take) => {
    const key = `${view} ${++count}`;
    takers.set(key, take);
    waiting.set(key, setTimeout(() => tell(true), LATE_MS));
    model.send({ key, method, path, body });
  };
  const heard = (message, buffers) => {
    if (message.taken) {
      clearTimeout(waiting.get(message.key));
      if (waiting.delete(message.key) && !waiting.size) tell(false);
      return;
    }
    const take = takers.get(message.key);
    if (!message.more) takers.delete(message.key);
    take?.(message, buffers);
  };
  model.on("msg:custom", heard);
  const channel = {
    late: null, // called with true when a request stays unconfirmed for long, with false when all are confirmed
    ask: (path, options = {}) => new Promise((resolve) => {
      const parts = [];
      begin(path, options, ({ status, headers, more }, buffers) => {
        parts.push(...buffers);
        if (!more) resolve(new Response(new Blob(parts), { status, headers }));
      });
    }),
    hear(path, { opened, said, broken }) {
      opened();
      begin(path, {}, ({ more }, buffers) => {
        for (const line of new TextDecoder().decode(buffers[0]).split("\n")) if (line.startsWith("data: ")) said(line.slice(6));
        if (!more) broken();
      });
    },
    close() {
      model.off("msg:custom", heard);
      for (const key of takers.keys()) model.send({ key, ended: true });
      for (const timer of waiting.values()) clearTimeout(timer);
    },
  };
  return channel;
}
