// The image: a frame, the points and trails over it, and the part of it in view.
import { colour, handPlace } from "./points.js";

const GREY = "#9aa0a6";
const EDGE = "#000a";
const MARGIN = 8; // css px around the whole frame
const MOST_ZOOM = 64; // css px per pixel of the video
const GRAB = 11; // css px: radius within which a click hits a point
const MANY = 300; // above this number, points are drawn smaller

export class Stage {
  scale = 1; // css px per pixel of the video
  left = 0; // of the frame's corner, css px
  top = 0;
  cross = null; // {x, y}: the crosshair's position in the frame
  box = null; // {x0, y0, x1, y1} while it is being dragged
  #whole = true; // whether the whole frame is in view: until the user zooms or pans

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{size: number[]}} clip
   */
  constructor(canvas, clip) {
    this.canvas = canvas;
    this.size = clip.size;
    this.context = canvas.getContext("2d");
    const [width, height] = clip.size;
    this.cross = { x: Math.round(width / 2), y: Math.round(height / 2) };
  }

  // --- the part in view -------------------------------------------------------------------------------------------
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.canvas.height = Math.round(clientHeight * devicePixelRatio);
    if (this.#whole) this.showAll();
  }

  showAll() {
    const { clientWidth, clientHeight } = this.canvas;
    const [width, height] = this.size;
    this.scale = Math.max(0.01, Math.min((clientWidth - 2 * MARGIN) / width, (clientHeight - 2 * MARGIN) / height));
    this.left = (clientWidth - width * this.scale) / 2;
    this.top = (clientHeight - height * this.scale) / 2;
    this.#whole = true;
  }

  /** Zoom about a position on the canvas in css px; about the crosshair if none is given. */
  zoom(factor, at = this.toCanvas(this.cross)) {
    const scale = Math.max(0.02, Math.min(MOST_ZOOM, this.scale * factor));
    this.left = at.x - ((at.x - this.left) * scale) / this.scale;
    this.top = at.y - ((at.y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.#whole = false;
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.#whole = false;
  }

  /** Centres of pixels are at integers: pixel 0 reaches from -0.5 to 0.5. */
  toCanvas({ x, y }) { return { x: this.left + (x + 0.5) * this.scale, y: this.top + (y + 0.5) * this.scale }; }

  /** The position in the frame, clamped to it. */
  toFrame(canvasX, canvasY) {
    return this.inside({ x: (canvasX - this.left) / this.scale - 0.5, y: (canvasY - this.top) / this.scale - 0.5 });
  }

  inside({ x, y }) {
    const kept = (value, length) => Math.max(-0.5, Math.min(length - 0.5, Math.round(value * 100) / 100));
    return { x: kept(x, this.size[0]), y: kept(y, this.size[1]) };
  }

  contains(canvasX, canvasY) {
    const x = (canvasX - this.left) / this.scale, y = (canvasY - this.top) / this.scale;
    return x >= 0 && y >= 0 && x <= this.size[0] && y <= this.size[1];
  }

  /** Move the crosshair; pan if it would leave the view. */
  moveCross(place) {
    this.cross = this.inside(place);
    const { x, y } = this.toCanvas(this.cross);
    const { clientWidth, clientHeight } = this.canvas;
    const away = (value, length) => (value < MARGIN ? MARGIN - value : Math.min(0, length - MARGIN - value));
    if (away(x, clientWidth) || away(y, clientHeight)) this.pan(away(x, clientWidth), away(y, clientHeight));
  }

  /** The nearest point drawn at a position on the canvas, or undefined. */
  pointAt(canvasX, canvasY, scene) {
    let found, best = GRAB;
    for (const point of scene.points) {
      const at = scene.answers.at(point, scene.frame);
      if (!at) continue;
      const place = this.toCanvas(at), distance = Math.hypot(place.x - canvasX, place.y - canvasY);
      if (distance < best) [found, best] = [point, distance];
    }
    return found;
  }

  // --- drawing ----------------------------------------------------------------------------------------------------
  /** @param {{image, points, selected: Set, answers, frame: number, sure: number, trail: number, mask, crossed: boolean}} scene */
  draw(scene) {
    const pen = this.context;
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    pen.imageSmoothingEnabled = this.scale < 3;
    const area = [this.left, this.top, this.size[0] * this.scale, this.size[1] * this.scale];
    if (scene.image) pen.drawImage(scene.image, ...area);
    if (scene.mask) {
      pen.globalAlpha = 0.5;
      pen.drawImage(scene.mask, ...area);
      pen.globalAlpha = 1;
    }
    if (scene.trail > 0) for (const point of scene.points) this.#trail(point, scene);
    const size = scene.points.length > MANY ? 2.5 : 4.5;
    for (const point of scene.points) if (!scene.selected.has(point.id)) this.#point(point, scene, size);
    for (const point of scene.points) if (scene.selected.has(point.id)) this.#point(point, scene, size + 1);
    if (this.box) this.#box();
    if (scene.crossed) this.#cross();
  }

  #trail(point, scene) {
    const pen = this.context, { answers, frame, sure } = scene;
    if (!answers.has(point)) return;
    const first = Math.max(0, frame - scene.trail);
    const bright = colour(point, this.size), chosen = scene.selected.has(point.id);
    pen.lineWidth = chosen ? 2.5 : 1.5;
    pen.lineCap = "round";
    let before = answers.at(point, first), from = this.toCanvas(before), style = null;
    pen.beginPath();
    for (let t = first + 1; t <= frame; t++) {
      const at = answers.at(point, t), to = this.toCanvas(at);
      const hidden = !(at.visible && before.visible), unsure = Math.min(at.confidence, before.confidence) < sure;
      const next = `${hidden}${unsure}`;
      if (next !== style) { // one stroke per run of segments of one style
        pen.stroke();
        pen.beginPath();
        pen.moveTo(from.x, from.y);
        pen.strokeStyle = unsure ? GREY : bright;
        pen.globalAlpha = hidden ? 0.45 : 0.9;
        pen.setLineDash(hidden ? [2, 4] : []);
        style = next;
      }
      pen.lineTo(to.x, to.y);
      [before, from] = [at, to];
    }
    pen.stroke();
    pen.globalAlpha = 1;
    pen.setLineDash([]);
  }

  #point(point, scene, radius) {
    const at = scene.answers.at(point, scene.frame);
    if (!at) return;
    const pen = this.context, { x, y } = this.toCanvas(at), chosen = scene.selected.has(point.id);
    const paint = at.confidence < scene.sure ? GREY : colour(point, this.size);
    pen.beginPath();
    if (handPlace(point, scene.frame) && point.t !== scene.frame) { // a pin: a diamond
      const reach = radius + 2;
      pen.moveTo(x, y - reach); pen.lineTo(x + reach, y); pen.lineTo(x, y + reach); pen.lineTo(x - reach, y);
      pen.closePath();
    } else pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.lineWidth = at.visible ? 3 : 4.5;
    pen.strokeStyle = EDGE;
    pen.stroke();
    if (at.visible) { pen.fillStyle = paint; pen.fill(); }
    pen.lineWidth = chosen ? 2 : 1.5;
    pen.strokeStyle = chosen && at.visible ? "#fff" : paint;
    if (chosen || !at.visible) pen.stroke();
    if (chosen && scene.selected.size === 1) this.#title(point, x + radius + 5, y - radius - 3);
  }

  #title(point, x, y) {
    const pen = this.context, text = point.group ? `${point.group} · ${point.name}` : point.name;
    pen.font = "600 12px system-ui, sans-serif";
    pen.lineWidth = 3;
    pen.lineJoin = "round";
    pen.strokeStyle = "#000c";
    pen.strokeText(text, x, y);
    pen.fillStyle = "#fff";
    pen.fillText(text, x, y);
  }

  #box() {
    const a = this.toCanvas({ x: this.box.x0, y: this.box.y0 }), b = this.toCanvas({ x: this.box.x1, y: this.box.y1 });
    for (const [style, dash] of [["#000", []], ["#fff", [5, 5]]]) {
      this.context.setLineDash(dash);
      this.context.lineWidth = 1.5;
      this.context.strokeStyle = style;
      this.context.strokeRect(a.x, a.y, b.x - a.x, b.y - a.y);
    }
    this.context.setLineDash([]);
  }

  #cross() {
    const pen = this.context, { x, y } = this.toCanvas(this.cross);
    for (const [style, width] of [["#000c", 4], ["#fff", 1.5]]) {
      pen.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        pen.moveTo(x + 5 * dx, y + 5 * dy);
        pen.lineTo(x + 15 * dx, y + 15 * dy);
      }
      pen.strokeStyle = style;
      pen.lineWidth = width;
      pen.stroke();
    }
  }
}
