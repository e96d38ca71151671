// How the page reaches the program. Over HTTP at its own address: paths are relative because the address contains the
// token. In a notebook, by messages to the kernel: the page's iframe gets that channel before the page starts. There
// the channel may be `late` while the kernel runs a cell.

const overHttp = {
  /** Request a path; returns a Response, like `fetch`. */
  ask: (path, options) => fetch(path, options),

  /** Receive the events of a path: calls `opened()`, then `said(text)` for each, and `broken()` when they end. */
  hear(path, { opened, said, broken }) {
    const stream = new EventSource(path);
    stream.onopen = opened;
    stream.onmessage = (event) => said(event.data);
    stream.onerror = () => {
      stream.close();
      broken();
    };
  },
};

export const channel = globalThis.omnitrackChannel ?? overHttp;
