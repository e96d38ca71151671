// The timeline: the ruler, and one row per point or group, whose strip shows visibility, confidence and pins by frame.
import { colour } from "./points.js";

const GREY = "#8b929c";

/** Clear a canvas and fit it to its current size; returns its 2D context and that size. */
function cleared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  [canvas.width, canvas.height] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
  const pen = canvas.getContext("2d");
  pen.scale(devicePixelRatio, devicePixelRatio);
  return { pen, width, height };
}

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

/** The point whose colour represents all. */
const typical = (points) => points[points.length >> 1];

export class Sheet {
  #rows = new Map(); // key -> {item, name, strip, dot, away, points}

  /** @param {{ruler, list, points, answers, player, clip, sure: () => number, say: (text: string) => void}} page */
  constructor(page) {
    Object.assign(this, page);
    this.ruler.setAttribute("aria-valuemax", this.player.count - 1);
    this.#scrubs(this.ruler, () => {});
  }

  /** Redraw everything. */
  draw() {
    this.#drawRuler();
    this.list.style.setProperty("--at", (this.player.frame + 0.5) / this.player.count);
    const wanted = this.#wantedRows();
    for (const [key, row] of this.#rows) {
      if (wanted.some((one) => one.key === key)) continue;
      row.item.remove();
      this.#rows.delete(key);
    }
    wanted.forEach((wish, index) => {
      if (!this.#rows.has(wish.key)) this.#rows.set(wish.key, this.#newRow(wish));
      const row = this.#rows.get(wish.key);
      if (this.list.children[index] !== row.item) this.list.insertBefore(row.item, this.list.children[index] ?? null);
      this.#drawRow(row, wish);
    });
  }

  /** Bring the selection's row into view. */
  show() {
    const row = [...this.#rows.values()].findLast((one) => "selected" in one.item.dataset);
    row?.item.scrollIntoView({ block: "nearest" });
  }

  /** Let the user rename the selection. */
  rename() {
    const row = [...this.#rows.values()].findLast((one) => "selected" in one.item.dataset);
    if (row) this.#edit(row);
    else this.say("select a point first: Up, Down");
  }

  /** Rows for ungrouped points, for groups, and for a member selected alone, below its group. */
  #wantedRows() {
    const groups = new Map(), wanted = [];
    for (const point of this.points.list) {
      if (!point.group) wanted.push({ key: `p${point.id}`, title: point.name, points: [point] });
      else if (groups.has(point.group)) groups.get(point.group).points.push(point);
      else {
        groups.set(point.group, { key: `g${point.group}`, title: point.group, points: [point], isGroup: true });
        wanted.push(groups.get(point.group));
      }
    }
    if (this.points.selected.size === 1) {
      const [point] = this.points.chosen, at = wanted.findIndex((one) => one.isGroup && one.title === point.group);
      if (at >= 0) wanted.splice(at + 1, 0, { key: `m${point.id}`, title: point.name, points: [point], isMember: true });
    }
    return wanted;
  }

  // --- a row ------------------------------------------------------------------------------------------------------
  #newRow({ key, isMember }) {
    const make = (tag, className, parent) => {
      const made = parent.appendChild(document.createElement(tag));
      made.className = className;
      return made;
    };
    const item = document.createElement("li"), head = make("div", "name", item);
    item.classList.toggle("member", !!isMember);
    const row = { key, item, head, dot: make("span", "dot", head), name: make("button", "", head), strip: make("canvas", "strip", item), away: make("button", "away", item) };
    row.away.textContent = "✕";
    row.strip.setAttribute("role", "img");
    const ids = () => row.points.map((point) => point.id);
    row.name.onclick = () => this.points.select(ids());
    row.name.ondblclick = () => this.#edit(row);
    row.away.onclick = () => this.points.remove(new Set(ids()));
    this.#scrubs(row.strip, () => this.points.select(ids()));
    return row;
  }

  #drawRow(row, { points, title, isGroup }) {
    Object.assign(row, { points, title, isGroup });
    row.name.textContent = isGroup ? `${title} (${points.length})` : title;
    row.name.title = this.clip.fixed ? "Select" : "Select; double click renames (R)";
    row.away.ariaLabel = row.away.title = `Delete ${title}`;
    row.dot.style.background = colour(typical(points), this.clip.size);
    const { selected } = this.points;
    const chosen = points.every((point) => selected.has(point.id)) && (!isGroup || selected.size === points.length);
    row.item.toggleAttribute("data-selected", chosen);
    row.name.setAttribute("aria-pressed", chosen);
    const drawn = [this.answers.revision, this.sure(), row.strip.clientWidth, ink("--text"), ...points];
    if (row.drawn?.length === drawn.length && drawn.every((part, i) => part === row.drawn[i])) return;
    row.drawn = drawn; // all that the strip depends on; the current frame is not part of it
    this.#drawStrip(row, points);
  }

  #drawStrip(row, points) {
    const { pen, width, height } = cleared(row.strip), { count } = this.player, cell = width / count;
    const middle = height / 2, full = height - 6;
    const gap = cell > 5 ? 1 : 0, paint = colour(typical(points), this.clip.size), sure = this.sure();
    let seen = 0, trust = 0;
    for (let t = 0; t < count; t++) {
      const places = points.map((point) => this.answers.at(point, t)).filter(Boolean);
      if (!places.length) continue;
      const visible = places.filter((place) => place.visible);
      const share = visible.length / places.length;
      const confidence = (visible.length ? visible : places).reduce((sum, place) => sum + place.confidence, 0) / (visible.length || places.length);
      seen += share / count;
      trust += confidence / count;
      pen.globalAlpha = share ? 0.35 + 0.65 * share : 0.55;
      pen.fillStyle = confidence < sure ? GREY : paint;
      const high = share ? Math.max(3, full * confidence) : 2; // occluded: a thin line
      pen.fillRect(t * cell, share ? height - 3 - high : middle - 1, cell - gap, high);
    }
    pen.globalAlpha = 1;
    if (points.length === 1) this.#drawHands(pen, points[0], cell, middle);
    const percent = (part) => `${Math.round(100 * part)} %`;
    row.strip.ariaLabel = row.strip.title = trust
      ? `seen ${percent(seen)} of the clip, mean confidence ${percent(trust)}` : "no answer yet";
  }

  /** Draw a dot at the frame where the point was placed, a diamond where it is pinned. */
  #drawHands(pen, point, cell, middle) {
    [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = [ink("--text"), ink("--panel"), 1.5];
    for (const [t, isPin] of [[point.t, false], ...point.pins.map((pin) => [pin[0], true])]) {
      const x = (t + 0.5) * cell;
      pen.beginPath();
      if (isPin) for (const [dx, dy] of [[0, -6], [6, 0], [0, 6], [-6, 0]]) pen.lineTo(x + dx, middle + dy);
      else pen.arc(x, middle, 4.5, 0, 2 * Math.PI);
      pen.closePath();
      pen.fill();
      pen.stroke();
    }
  }

  #edit(row) {
    if (this.clip.fixed) return;
    const input = document.createElement("input"), before = document.activeElement;
    [input.value, input.maxLength, input.ariaLabel] = [row.title, 80, "Name"];
    row.name.replaceWith(input);
    let open = true;
    const end = (keep) => {
      if (!open) return;
      open = false;
      input.replaceWith(row.name);
      before.focus(); // so that keys go to the same element as before
      const name = input.value.trim();
      if (keep && name && name !== row.title) this.points.rename(new Set(row.points.map((point) => point.id)), name, row.isGroup);
    };
    input.onkeydown = (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") end(event.key === "Enter");
    };
    input.onblur = () => end(true);
    input.select();
    input.focus();
  }

  // --- the ruler --------------------------------------------------------------------------------------------------
  #drawRuler() {
    const { pen, width, height } = cleared(this.ruler), { count, frame } = this.player, cell = width / count;
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((one) => one * cell > 46) ?? 10000;
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.fillStyle = ink("--bad");
    for (const cut of this.clip.cuts) pen.fillRect(cut * cell - 1, 0, 2, height);
    pen.fillStyle = ink("--quiet");
    for (let t = 0; t < count; t += step > 5 ? step / 5 : 1) {
      const major = t % step === 0;
      if (cell * (step > 5 ? step / 5 : 1) < 3 && !major) continue;
      pen.fillRect((t + 0.5) * cell - 0.5, height - (major ? 10 : 5), 1, major ? 10 : 5);
      if (major && Math.abs(t - frame) * cell > 24) pen.fillText(t, Math.max(8, (t + 0.5) * cell), height - 14);
    }
    const x = (frame + 0.5) * cell, text = String(frame), wide = Math.max(22, pen.measureText(text).width + 12);
    pen.fillStyle = ink("--accent");
    pen.fillRect(x - 1, 0, 2, height);
    const left = Math.max(0, Math.min(width - wide, x - wide / 2));
    pen.beginPath();
    pen.roundRect(left, 2, wide, 17, 5);
    pen.fill();
    pen.fillStyle = ink("--on-accent");
    pen.fillText(text, left + wide / 2, 14.5);
    this.ruler.setAttribute("aria-valuenow", frame);
    this.ruler.setAttribute("aria-valuetext", `frame ${frame} of ${count}`);
  }

  #scrubs(canvas, begin) {
    const go = (event) => this.player.go(Math.floor((event.offsetX / canvas.clientWidth) * this.player.count));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      begin();
      go(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) go(event); });
  }
}
