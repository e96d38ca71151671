// Saves the points on the server, one request at a time, so that none is based on an outdated revision.
import { keepPoints, readPoints } from "./server.js";

const CHANGED_ELSEWHERE = 409;

export class Keeper {
  #revision = -1;
  #dirty = false; // whether the server lacks the last change
  #last = Promise.resolve();

  /** @param {import("./points.js").Points} points */
  constructor(points) { this.points = points; }

  /** Load the server's points; if some could not be saved while the server was away, save those instead. */
  meet() { return this.#next(() => this.#meet()); }

  /** Handle a revision that the server reports; one later than ours was saved by another page. */
  hear(revision) { return this.#next(() => (revision > this.#revision ? this.#meet() : null)); }

  /** Send the points; resolves when the last change is saved. */
  save() {
    this.#dirty = true;
    return this.#next(() => this.#send());
  }

  async #meet() {
    const { revision, points } = await readPoints();
    this.#revision = revision;
    if (this.#dirty) await this.#send();
    else if (!same(points, this.points.list)) this.points.load(points);
  }

  async #send() {
    if (!this.#dirty) return;
    this.#dirty = false;
    try {
      this.#revision = await keepPoints(this.points.list, this.#revision);
    } catch (error) {
      if (error.status === CHANGED_ELSEWHERE) await this.#meet();
      else this.#dirty = true;
      throw error;
    }
  }

  #next(task) {
    const done = this.#last.then(task);
    this.#last = done.catch(() => {}); // the caller handles the error
    return done;
  }
}

const plain = ({ name, group, t, x, y, pins }) => JSON.stringify([name, group, t, x, y, pins]);
const same = (rows, list) => rows.length === list.length && rows.every((row, i) => plain(row) === plain(list[i]));
