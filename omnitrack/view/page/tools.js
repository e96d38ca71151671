// What a click, a drag or a brush stroke on the image does, and the same tools from the keyboard.
import { handPlace, placed, unpinned } from "./points.js";

const DRAG = 3; // css px from which a click is a drag

export class Tools {
  name = "point"; // or grid, mask; look if nothing can be placed
  crossed = false; // whether the crosshair is in use
  mask = null; // an OffscreenCanvas of the clip's size, while an area is painted
  #hold = null; // the pointer's action between down and up
  #stroke = false; // whether the keyboard's brush is down

  /** @param {{clip, stage, points, answers, player, scene: () => object, redraw: () => void, say: (text: string) => void, options: () => object}} page */
  constructor(page) {
    Object.assign(this, page);
    if (this.clip.fixed) this.name = "look";
    const canvas = this.stage.canvas;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#up(event, end));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.stage.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), { x: event.offsetX, y: event.offsetY });
      this.redraw();
    }, { passive: false });
  }

  /** Whether a button pressed on the image is still held. */
  get busy() { return this.#hold !== null; }

  choose(name) {
    this.name = name;
    this.cancel();
  }

  cancel() {
    if (this.#hold?.before) this.points.replace(this.#hold.start, true); // back to its state before the drag
    [this.#hold, this.#stroke, this.mask, this.stage.box] = [null, false, null, null];
    this.redraw();
  }

  // --- the pointer ------------------------------------------------------------------------------------------------
  #down(event) {
    if (this.#hold) return;
    this.crossed = false;
    const { offsetX: x, offsetY: y } = event, at = { x, y };
    if (event.button) this.#hold = { does: "pan", at };
    else if (!this.stage.contains(x, y)) return;
    else {
      const place = this.stage.toFrame(x, y), looks = this.name === "look";
      const point = (looks || this.name === "point") && this.stage.pointAt(x, y, this.scene());
      if (looks) {
        this.#hold = { does: "pan", at };
        if (point) this.points.select([point.id]);
      } else if (point) {
        this.#hold = { does: "drag", at, start: point, before: null, from: this.answers.at(point, this.player.frame) };
        this.points.select([point.id]);
      } else if (this.name === "mask") {
        this.#hold = { does: "paint", at };
        this.#paint(place, place);
      } else this.#hold = { does: this.name === "grid" ? "box" : "click", at };
      this.stage.cross = place;
    }
    this.stage.canvas.setPointerCapture(event.pointerId);
    this.redraw();
  }

  #move(event) {
    const hold = this.#hold, { offsetX: x, offsetY: y } = event;
    if (!hold) return;
    const place = this.stage.toFrame(x, y);
    hold.moved ||= Math.hypot(x - hold.at.x, y - hold.at.y) > DRAG;
    if (hold.does === "pan") {
      this.stage.pan(x - hold.at.x, y - hold.at.y);
      hold.at = { x, y };
    } else if (hold.does === "paint") {
      this.#paint(this.stage.toFrame(hold.at.x, hold.at.y), place);
      hold.at = { x, y };
    } else if (hold.does === "box" && hold.moved) {
      const start = this.stage.toFrame(hold.at.x, hold.at.y);
      this.stage.box = { x0: start.x, y0: start.y, x1: place.x, y1: place.y };
    } else if (hold.does === "drag" && hold.moved) {
      hold.before ??= this.points.list;
      const by = { x: (x - hold.at.x) / this.stage.scale, y: (y - hold.at.y) / this.stage.scale };
      this.#put(hold.start.id, this.stage.inside({ x: hold.from.x + by.x, y: hold.from.y + by.y }), true);
    }
    this.redraw();
  }

  #up(event, kind) {
    const hold = this.#hold;
    if (!hold) return;
    if (kind === "pointercancel") return void this.cancel();
    this.#hold = null;
    if (hold.does === "click") this.#place(this.stage.toFrame(hold.at.x, hold.at.y));
    if (hold.does === "box") this.#fillBox();
    if (hold.before) {
      this.points.settle(hold.before);
      this.#told(this.points.list.find((point) => point.id === hold.start.id));
    }
    this.redraw();
  }

  // --- shared by pointer and keyboard -----------------------------------------------------------------------------
  #place({ x, y }) {
    const [point] = this.#add([{ t: this.player.frame, x, y }]);
    if (point) this.say(`${point.name} placed at ${x}, ${y} in frame ${point.t}`);
  }

  /** Add points, or show why they cannot be added. */
  #add(places, group) {
    try {
      return this.points.add(places, group);
    } catch (error) {
      this.say(error.message, true);
      return [];
    }
  }

  /** Set the position of a point by hand in the current frame. */
  #put(id, { x, y }, passing = false) {
    const point = this.points.list.find((one) => one.id === id), t = this.player.frame;
    if (!point) return void this.cancel(); // another page has deleted it meanwhile
    const changed = placed(point, t, x, y);
    this.points.replace(changed, passing);
    return changed;
  }

  #told(point) {
    const t = this.player.frame;
    this.say(point.t === t ? `${point.name} moved` : `${point.name} pinned in frame ${t}; everything in between is solved again`);
  }

  #fillBox() {
    const [width, height] = this.stage.size;
    const { x0, y0, x1, y1 } = this.stage.box ?? { x0: -0.5, y0: -0.5, x1: width - 0.5, y1: height - 0.5 };
    this.stage.box = null;
    const across = Math.max(1, this.options().across);
    const wide = Math.abs(x1 - x0), high = Math.abs(y1 - y0), step = Math.max(wide, 1) / across;
    const down = Math.max(1, Math.round(high / step)), places = [];
    for (let row = 0; row < down; row++) {
      for (let column = 0; column < across; column++) {
        const place = { x: Math.min(x0, x1) + ((column + 0.5) * wide) / across, y: Math.min(y0, y1) + ((row + 0.5) * high) / down };
        places.push({ t: this.player.frame, ...this.stage.inside(place) });
      }
    }
    this.#addGroup("grid", places);
  }

  /** Place points on a lattice inside the painted area. */
  fillMask() {
    if (!this.mask) return void this.say("paint over something first");
    const [width, height] = this.stage.size, step = Math.max(1, this.options().spacing);
    const { data } = this.mask.getContext("2d").getImageData(0, 0, width, height), places = [];
    for (let y = Math.floor(step / 2); y < height; y += step) {
      for (let x = Math.floor(step / 2); x < width; x += step) {
        if (data[4 * (y * width + x) + 3] > 127) places.push({ t: this.player.frame, x, y });
      }
    }
    if (!places.length) return void this.say("the painted area is smaller than the spacing");
    this.mask = null;
    return void this.#addGroup("mask", places);
  }

  #addGroup(kind, places) {
    const group = this.points.newGroup(kind);
    if (this.#add(places, group).length) this.say(`${group}: ${places.length} points in frame ${this.player.frame}`);
  }

  #paint(from, to) {
    const [width, height] = this.stage.size;
    this.mask ??= new OffscreenCanvas(width, height);
    const pen = this.mask.getContext("2d", { willReadFrequently: true });
    pen.strokeStyle = "#ffb454";
    pen.lineWidth = this.options().brush;
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(from.x + 0.5, from.y + 0.5);
    pen.lineTo(to.x + 0.5, to.y + 0.51);
    pen.stroke();
  }

  // --- the keyboard -----------------------------------------------------------------------------------------------
  moveCross(dx, dy) {
    const before = this.stage.cross;
    this.crossed = true;
    this.stage.moveCross({ x: Math.round(before.x + dx), y: Math.round(before.y + dy) });
    const now = this.stage.cross;
    if (this.#stroke) this.#paint(before, now);
    if (this.stage.box) [this.stage.box.x1, this.stage.box.y1] = [now.x, now.y];
    this.redraw();
  }

  /** Handle Enter: place a point, set a corner of a grid, lower or lift the brush. */
  enter() {
    const { x, y } = this.stage.cross;
    this.crossed = true;
    if (this.name === "point") this.#place(this.stage.cross);
    else if (this.name === "grid") {
      if (this.stage.box) this.#fillBox();
      else {
        this.stage.box = { x0: x, y0: y, x1: x, y1: y };
        this.say("one corner of the grid; move, and Enter sets the other");
      }
    } else {
      this.#stroke = !this.#stroke;
      if (this.#stroke) this.#paint(this.stage.cross, this.stage.cross);
      this.say(this.#stroke ? "the brush is down; move, and Enter lifts it" : "the brush is up; F places the points");
    }
    this.redraw();
  }

  /** Pin the selected point to the crosshair. */
  correct() {
    if (this.points.selected.size !== 1) return void this.say("select one point first: Up, Down");
    return void this.#told(this.#put([...this.points.selected][0], this.stage.cross));
  }

  /** Remove the pins of the selected points in this frame. */
  unpin() {
    const t = this.player.frame, pinned = this.points.chosen.filter((point) => point.t !== t && handPlace(point, t));
    if (!pinned.length) return void this.say(`the selection has no pin in frame ${t}`);
    for (const point of pinned) this.points.replace(unpinned(point, t));
    return void this.say(`${pinned.length > 1 ? `${pinned.length} pins` : "the pin"} in frame ${t} removed`);
  }
}
