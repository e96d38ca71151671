// The page: creates its parts and reacts to their changes.
import { Answers } from "./answers.js";
import { channel } from "./channel.js";
import { connectControls } from "./controls.js";
import { all, byId } from "./elements.js";
import { Keeper } from "./keeper.js";
import { Player } from "./player.js";
import { Points } from "./points.js";
import { listen, readClip } from "./server.js";
import { Sheet } from "./sheet.js";
import { Stage } from "./stage.js";
import { complain, say, showState } from "./status.js";
import { Tools } from "./tools.js";

const NOT_YET = 503; // there is no flow yet
const UNREACHED = 0; // no answer: the badge already shows that the server has ended

class Page {
  #drawing = false; // whether a redraw is scheduled
  #connected = false;
  #troubled = false; // whether the last answer failed

  constructor(clip) {
    this.clip = clip;
    this.player = new Player(clip);
    this.points = new Points(clip.most, (...change) => this.answers.inherit(...change));
    this.keeper = new Keeper(this.points);
    this.answers = new Answers(clip.frames, () => this.redraw(), (error) => this.#failed(error));
    this.stage = new Stage(byId("picture"), clip);
  }

  /** Load the points saved on the server, then open the page for input. */
  async open() {
    await this.keeper.meet();
    const { answers, clip, keeper, player, points, stage } = this, redraw = () => this.redraw();
    const parts = { answers, clip, keeper, player, points, stage, redraw, say };
    this.tools = new Tools({ ...parts, scene: () => this.#scene(), options });
    this.sheet = new Sheet({ ...parts, ruler: byId("ruler"), list: byId("rows"), sure: () => Number(byId("sure").value) });
    connectControls({ ...parts, tools: this.tools, sheet: this.sheet });
    this.#follow();
    channel.late = (isLate) => say(isLate ? "the kernel is busy: answers arrive when its cell has finished" : "", isLate);
    listen((snapshot, first) => this.#hear(snapshot, first), () => this.#lost());
    document.title = `${clip.name} - omnitrack`;
    document.body.toggleAttribute("data-fixed", clip.fixed);
    if (clip.fixed) stage.canvas.ariaLabel = "The clip. W A S D move a crosshair.";
    Object.assign(byId("name"), { textContent: clip.name, title: clip.source });
    stage.resize();
    player.go(0);
    if (window === window.parent) stage.canvas.focus(); // in a notebook, the cells keep the keyboard
  }

  /** Redraw before the next screen refresh; several calls until then draw once. */
  redraw() {
    if (this.#drawing || !this.sheet) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  // --- reactions to changes ---------------------------------------------------------------------------------------
  #follow() {
    const { answers, keeper, player, points, stage } = this, redraw = () => this.redraw();
    points.addEventListener("change", ({ detail }) => {
      if (detail !== "selected") answers.want(points.list);
      if (detail === "changed") keeper.save().catch((error) => (error.status === UNREACHED ? null : complain(error)));
      redraw();
    });
    player.addEventListener("change", redraw);
    for (const id of ["sure", "trail"]) byId(id).addEventListener("input", redraw);
    new ResizeObserver(() => { stage.resize(); redraw(); }).observe(byId("stage"));
    new ResizeObserver(redraw).observe(byId("sheet"));
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", redraw);
  }

  async #hear(snapshot, first) {
    this.#connected = true;
    showState(snapshot.damage ? "damage" : snapshot.state, snapshot);
    await (first ? this.keeper.meet() : this.keeper.hear(snapshot.points)).catch(complain);
    this.answers.renew(snapshot.answers, this.points.list);
    this.redraw();
  }

  #lost() {
    this.#connected = false;
    showState("ended", null);
  }

  #failed(error) {
    if (error && this.#connected && error.status !== NOT_YET) complain(error);
    else if (this.#troubled && !error) say("");
    this.#troubled = error !== null;
  }

  // --- drawing ----------------------------------------------------------------------------------------------------
  #scene() {
    const { answers, player, points, tools } = this;
    return {
      answers, points: points.list, selected: points.selected, frame: player.frame, image: player.image(player.frame),
      mask: tools.mask, crossed: tools.crossed, sure: Number(byId("sure").value), trail: Number(byId("trail").value),
    };
  }

  #draw() {
    const { answers, player, points } = this;
    this.stage.draw(this.#scene());
    this.sheet.draw();
    byId("place").textContent = this.#place();
    byId("invitation").hidden = points.list.length > 0;
    byId("sure-value").textContent = Number(byId("sure").value).toFixed(2);
    byId("play").textContent = player.playing ? "❚❚" : "▶";
    byId("play").ariaLabel = byId("play").title = player.playing ? "Stop (Space)" : "Play (Space)";
    const able = { undo: points.canUndo, redo: points.canRedo, remove: points.selected.size };
    for (const button of all("[data-do]")) button.disabled = !(able[button.dataset.do] ?? true);
    document.body.dataset.answered = points.list.every((point) => answers.isFresh(point)); // for tests and scripts
  }

  /** Text about the selected point in this frame, or about the crosshair. */
  #place() {
    const { answers, player, points, stage, tools } = this;
    const point = points.selected.size === 1 && points.chosen[0], at = point && answers.at(point, player.frame);
    if (!at) return `frame ${player.frame}${tools.crossed ? ` · ${stage.cross.x}, ${stage.cross.y}` : ""}`;
    const how = at.hand ? (point.t === player.frame ? "placed here" : "pinned here") : at.visible ? "seen" : "hidden";
    return `frame ${player.frame} · ${at.x.toFixed(1)}, ${at.y.toFixed(1)} · ${how} · ${at.confidence.toFixed(2)}`;
  }
}

/** The options of the tools, as whole numbers from 1 to 999. */
function options() {
  const number = (id) => Math.max(1, Math.min(999, Math.round(byId(id).valueAsNumber) || 1));
  return { across: number("across"), brush: number("brush"), spacing: number("spacing") };
}

readClip().then((clip) => new Page(clip).open()).catch((error) => {
  console.error(error);
  showState("ended", null);
  complain(error);
});
