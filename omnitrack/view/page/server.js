// The requests that the page sends to the program.
import { channel } from "./channel.js";

/** The error of a request that the server refused, or that never reached it (status 0). */
export class Refusal extends Error {
  constructor(status, message, hint = "") {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

async function request(path, options) {
  let response;
  try {
    response = await channel.ask(path, options);
  } catch {
    throw new Refusal(0, "the server does not answer", "start omnitrack view again");
  }
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw new Refusal(response.status, said.error ?? `the server refuses (${response.status})`, said.hint);
  }
  return response;
}

const post = (path, content) =>
  request(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(content) });

const plain = ({ name, group, t, x, y, pins }) => ({ name, group, t, x, y, pins });

/** The clip: name, frames, size, fps, formats. */
export const readClip = async () => (await request("project")).json();

/** Frame `t`, decoded. */
export const readFrame = async (t) => createImageBitmap(await (await request(`frames/${t}`)).blob());

/** The points saved on the server: {revision, points}. */
export const readPoints = async () => (await request("points")).json();

/** Save `points`, which are based on `revision`; returns the new revision. */
export async function keepPoints(points, revision) {
  return (await (await post("points", { points: points.map(plain), revision })).json()).revision;
}

/** {version, data}: the tracks of `points` as (N, T, 4) numbers: x, y, visible, confidence. */
export async function askAnswers(points) {
  const response = await post("answers", { points: points.map(plain) });
  return { version: Number(response.headers.get("x-version")), data: new Float32Array(await response.arrayBuffer()) };
}

/** Let the browser save the tracks of the saved points as a file; returns its name. */
export async function exportTracks(format) {
  const response = await request(`export/${format}`);
  const named = /filename="(.+)"/.exec(response.headers.get("content-disposition") ?? "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = named ? named[1] : `tracks.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return link.download;
}

const RETRY_MS = 1000;

/** Listen for changes: calls `heard(snapshot, first)`, `first` once per connection, and `lost()` when it breaks. */
export function listen(heard, lost) {
  let first = true;
  channel.hear("events", {
    opened: () => { first = true; },
    said(text) {
      heard(JSON.parse(text), first);
      first = false;
    },
    broken() {
      lost();
      setTimeout(listen, RETRY_MS, heard, lost);
    },
  });
}
