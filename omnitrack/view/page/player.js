// The current frame, playback, and frames decoded ahead.
import { readFrame } from "./server.js";

const KEPT_BYTES = 400e6; // of decoded frames
const AHEAD = 12; // frames
const RETRY_MS = 1000; // after a frame failed to load

export class Player extends EventTarget {
  frame = 0;
  playing = false;
  #images = new Map(); // frame -> Promise of an image, or the image
  #due = 0;

  /** @param {{frames: number, fps: number, size: number[]}} clip */
  constructor(clip) {
    super();
    this.count = clip.frames;
    this.fps = clip.fps;
    this.room = Math.max(AHEAD + 2, Math.floor(KEPT_BYTES / (4 * clip.size[0] * clip.size[1])));
  }

  /** The decoded image of a frame, or null while it loads. */
  image(t) {
    if (!this.#images.has(t)) this.#load(t);
    const image = this.#images.get(t);
    return image instanceof Promise ? null : image;
  }

  go(t) {
    this.frame = Math.max(0, Math.min(this.count - 1, Math.round(t)));
    for (let ahead = 0; ahead <= Math.min(AHEAD, this.count - 1); ahead++) this.image((this.frame + ahead) % this.count);
    this.#tell();
  }

  toggle() {
    this.playing = !this.playing;
    this.#due = performance.now();
    if (this.playing) requestAnimationFrame((now) => this.#tick(now));
    this.#tell();
  }

  #tick(now) {
    if (!this.playing) return;
    const next = (this.frame + 1) % this.count;
    if (now >= this.#due && this.image(next)) {
      this.#due = Math.max(this.#due + 1000 / this.fps, now - 250);
      this.go(next);
    }
    requestAnimationFrame((later) => this.#tick(later));
  }

  #load(t) {
    while (this.#images.size >= this.room) this.#forget(this.#farthest());
    const coming = readFrame(t).then(
      (bitmap) => {
        if (this.#images.get(t) !== coming) return bitmap.close(); // forgotten meanwhile
        this.#images.set(t, bitmap);
        return this.#tell();
      },
      () => setTimeout(() => this.#forget(t), RETRY_MS));
    this.#images.set(t, coming);
  }

  #forget(t) {
    const image = this.#images.get(t);
    if (image instanceof ImageBitmap) image.close();
    this.#images.delete(t);
    if (t === this.frame) this.#tell(); // the redraw requests it again
  }

  #farthest() {
    const distance = (t) => (t - this.frame + this.count) % this.count; // behind is far ahead: playback loops
    return [...this.#images.keys()].reduce((far, t) => (distance(t) > distance(far) ? t : far));
  }

  #tell() { this.dispatchEvent(new Event("change")); }
}
