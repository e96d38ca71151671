// The points that the user placed. A change replaces points instead of modifying them; earlier lists are kept for undo.

/**
 * @typedef {object} Point
 * @property {number} id      Valid on this page only.
 * @property {string} name
 * @property {string} group   Grid or mask that it was placed with, or "".
 * @property {number} t       Frame in which it was placed.
 * @property {number} x       Pixel of the original video, centres at integers.
 * @property {number} y
 * @property {number[][]} pins  Rows [t, x, y]: its positions in other frames, set by hand.
 */

const UNDO_STEPS = 200;

export class Points extends EventTarget {
  list = [];
  selected = new Set(); // ids
  #past = [];
  #future = [];
  #nextId = 1;
  #most;
  #replaced;

  /**
   * @param {number} most Number of points that the server accepts.
   * @param {(now: Point, before: Point, places: boolean) => void} replaced  Called when a point replaces an
   *   earlier one, with whether their positions are the same.
   */
  constructor(most, replaced) {
    super();
    this.#most = most;
    this.#replaced = replaced;
  }

  get canUndo() { return this.#past.length > 0; }
  get canRedo() { return this.#future.length > 0; }
  get chosen() { return this.list.filter((point) => this.selected.has(point.id)); }

  /** Load the server's points; if they replace others, this can be undone. */
  load(rows) {
    const list = rows.map((row) => ({ ...row, id: this.#nextId++ }));
    if (this.list.length) this.#past.push(this.list);
    this.#show(list, [], "loaded");
  }

  /** Add points; they become the selection. */
  add(places, group = "") {
    if (this.list.length + places.length > this.#most) throw new RangeError(`at most ${this.#most} points fit on a page`);
    const count = this.list.filter((point) => !point.group).length;
    const added = places.map((place, index) =>
      ({ id: this.#nextId++, name: group ? `${index + 1}` : this.#free(`point ${count + 1}`), group, pins: [], ...place }));
    this.#commit([...this.list, ...added], added.map((point) => point.id));
    return added;
  }

  /** The next free group name: "grid 3" if there are two grids. */
  newGroup(kind) {
    for (let number = 1; ; number++) {
      if (!this.list.some((point) => point.group === `${kind} ${number}`)) return `${kind} ${number}`;
    }
  }

  remove(ids) {
    if (!this.list.some((point) => ids.has(point.id))) return;
    this.#commit(this.list.filter((point) => !ids.has(point.id)), []);
  }

  rename(ids, name, isGroup) {
    const named = (point) => {
      const now = { ...point, ...(isGroup ? { group: name } : { name }) };
      this.#replaced(now, point, true);
      return now;
    };
    this.#commit(this.list.map((point) => (ids.has(point.id) ? named(point) : point)), this.selected);
  }

  /** Replace one point; with `passing`, as during a drag, this is not an undo step. */
  replace(changed, passing = false) {
    const at = this.list.findIndex((point) => point.id === changed.id);
    if (at < 0) return;
    const list = this.list.with(at, changed);
    this.#replaced(changed, this.list[at], false);
    if (passing) this.#show(list, this.selected, "passing");
    else this.#commit(list, this.selected);
  }

  /** Make `passing` replacements one undo step and final; `before` is the list before them. */
  settle(before) {
    if (before === this.list) return;
    this.#remember(before);
    this.#tell("changed");
  }

  select(ids) {
    this.selected = new Set(ids);
    this.#tell("selected");
  }

  undo() { this.#swap(this.#past, this.#future); }
  redo() { this.#swap(this.#future, this.#past); }

  #swap(from, to) {
    if (!from.length) return;
    to.push(this.list);
    this.#show(from.pop(), this.selected, "changed");
  }

  #commit(list, selected) {
    this.#remember(this.list);
    this.#show(list, selected, "changed");
  }

  #remember(list) {
    this.#past.push(list);
    this.#past.splice(0, this.#past.length - UNDO_STEPS);
    this.#future = [];
  }

  #show(list, selected, kind) {
    this.list = list;
    const there = new Set(list.map((point) => point.id));
    this.selected = new Set([...selected].filter((id) => there.has(id)));
    this.#tell(kind);
  }

  #free(name) {
    const taken = new Set(this.list.map((point) => point.name));
    let number = Number(name.split(" ")[1]);
    while (taken.has(`point ${number}`)) number++;
    return `point ${number}`;
  }

  #tell(kind) { this.dispatchEvent(new CustomEvent("change", { detail: kind })); }
}

/** The position of a point set by hand in frame `t`: [t, x, y], or undefined. */
export function handPlace(point, t) {
  return point.t === t ? [point.t, point.x, point.y] : point.pins.find((pin) => pin[0] === t);
}

/** The point with its position in frame `t` set by hand. */
export function placed(point, t, x, y) {
  if (point.t === t) return { ...point, x, y };
  const pins = [...point.pins.filter((pin) => pin[0] !== t), [t, x, y]];
  return { ...point, pins: pins.sort((a, b) => a[0] - b[0]) };
}

/** The point without its pin in frame `t`. */
export const unpinned = (point, t) => ({ ...point, pins: point.pins.filter((pin) => pin[0] !== t) });

/** Colour of a point: distinct from its neighbours in the list; within a group, by position. */
export function colour(point, size) {
  const hue = point.group ? 360 * ((point.x + point.y) / (size[0] + size[1])) : (point.id * 137.508) % 360;
  const light = point.group ? 0.6 + 0.25 * (point.y / size[1]) : 0.75;
  return `oklch(${light} 0.17 ${hue})`;
}
