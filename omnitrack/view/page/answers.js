// The tracks of the points: requested once, cached per point, and requested again when the server has newer ones.
import { askAnswers } from "./server.js";
import { handPlace } from "./points.js";

const BATCH = 256; // points per request, so that the first of many appear early
const NUMBERS = 4; // x, y, visible, confidence

export class Answers {
  #kept = new WeakMap(); // point -> {data, version}; version -1 if the point has moved since
  #wanted = [];
  #asking = false;
  #latest = 0;
  revision = 0; // grows with every answer

  /**
   * @param {number} frames   T.
   * @param {() => void} changed  Called when there is something new to draw.
   * @param {(error: Error | null) => void} failed  Called with a request's error, or null after a success.
   */
  constructor(frames, changed, failed) {
    this.frames = frames;
    this.changed = changed;
    this.failed = failed;
  }

  get asking() { return this.#asking; }

  /** Set the server's version and request what it renews; a version lower than before is that of another server. */
  renew(latest, points) {
    if (latest < this.#latest) for (const point of points) if (this.has(point)) this.#kept.get(point).version = -1;
    this.#latest = latest;
    this.want(points);
  }

  /** Let a point take an earlier one's answer: for good if their `places` are the same, else until its own comes. */
  inherit(point, earlier, places) {
    const answer = this.#kept.get(earlier);
    if (answer && !this.has(point)) this.#kept.set(point, places ? answer : { ...answer, version: -1 });
  }

  has(point) { return this.#kept.has(point); }
  isFresh(point) { return (this.#kept.get(point)?.version ?? -1) >= this.#latest; }

  /** {x, y, visible, confidence, hand} of a point in frame `t`, or null if there is no answer yet. */
  at(point, t) {
    const hand = handPlace(point, t);
    if (hand) return { x: hand[1], y: hand[2], visible: true, confidence: 1, hand: true };
    const data = this.#kept.get(point)?.data;
    if (!data) return null;
    const i = t * NUMBERS;
    return { x: data[i], y: data[i + 1], visible: data[i + 2] > 0.5, confidence: data[i + 3], hand: false };
  }

  /** Request the missing and outdated answers of these points; the last call counts. */
  want(points) {
    this.#wanted = points;
    if (!this.#asking && this.#latest > 0) this.#ask();
  }

  async #ask() {
    this.#asking = true;
    try {
      for (let batch = this.#next(); batch.length; batch = this.#next()) {
        const { version, data } = await askAnswers(batch);
        const length = this.frames * NUMBERS;
        batch.forEach((point, i) => this.#kept.set(point, { data: data.subarray(i * length, (i + 1) * length), version }));
        this.#latest = Math.min(this.#latest, version); // the server may have restarted
        this.revision++;
        this.failed(null);
        this.changed();
      }
    } catch (error) {
      this.failed(error);
    } finally {
      this.#asking = false;
      this.changed();
    }
  }

  #next() {
    const old = this.#wanted.filter((point) => !this.isFresh(point));
    const missing = old.filter((point) => !this.has(point));
    return (missing.length ? missing : old).slice(0, BATCH);
  }
}
