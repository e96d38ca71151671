// How the page reaches the program: over HTTP at its own address, whose paths are relative, for it holds the token. In a
// notebook by messages to the kernel: then the frame that the page is in has a channel before the page begins. It
// may be `late` there, while the kernel runs a cell.

const overHttp = {
  /** A Response, as of `fetch`. */
  ask: (path, options) => fetch(path, options),

  /** Hear the events of a path: `opened()`, then `said(text)` with each, and `broken()` when no more come. */
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
