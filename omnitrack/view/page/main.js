// The page: its parts, and what happens when one of them changes.
import { Answers } from "./answers.js";
import { Keeper } from "./keeper.js";
import { keyTable, listenForKeys, showKeys } from "./keys.js";
import { Player } from "./player.js";
import { Points } from "./points.js";
import { exportTracks, listen, readClip, Refusal } from "./server.js";
import { Sheet } from "./sheet.js";
import { Stage } from "./stage.js";
import { Tools } from "./tools.js";

const byId = (id) => document.getElementById(id);
const STATES = {
  waiting: ["waiting for the flow", "Points can be placed; they are answered as soon as the flow is measured"],
  chained: ["answers: flow", "The flow alone answers; better answers come with the fit"],
  fused: ["answers: fit", "The fitted field and the flow answer together"],
  ended: ["the server has ended", "Start omnitrack view again; what you place now is kept here until then"],
};
const PHASES = { failed: "failed", busy: "in use", kept: "kept", stopped: "stopped" };

function say(text, bad = false) {
  byId("message").textContent = byId("message").title = text;
  byId("message").classList.toggle("bad", bad);
}

const complain = (error) => say(error.hint ? `${error.message}: ${error.hint}` : error.message, true);

// --- the page -------------------------------------------------------------------------------------------------------
async function open() {
  const clip = await readClip(), player = new Player(clip);
  const points = new Points(clip.most, (...change) => answers.inherit(...change)), keeper = new Keeper(points);
  await keeper.meet(); // before anybody can click
  let drawing = false, connected = false, troubled = false;
  const redraw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => { drawing = false; draw(); });
  };
  const answers = new Answers(clip.frames, redraw, (error) => {
    if (error && connected && error.status !== 503) complain(error);
    else if (troubled && !error) say("");
    troubled = error !== null;
  });
  const stage = new Stage(byId("picture"), clip);
  const scene = () => ({
    image: player.image(player.frame), points: points.list, selected: points.selected, answers, frame: player.frame,
    sure: Number(byId("sure").value), trail: Number(byId("trail").value), mask: tools.mask,
    crossed: tools.crossed,
  });
  const options = () => Object.fromEntries(["across", "brush", "spacing"].map((id) => [id, Math.max(1, Math.min(999, Math.round(byId(id).valueAsNumber) || 1))]));
  const tools = new Tools({ stage, points, answers, player, scene, redraw, say, options });
  const sheet = new Sheet({ ruler: byId("ruler"), list: byId("rows"), points, answers, player, clip, sure: () => scene().sure, say });

  function draw() {
    stage.draw(scene());
    sheet.draw();
    byId("place").textContent = placeText();
    byId("invitation").hidden = points.list.length > 0;
    byId("sure-value").textContent = scene().sure.toFixed(2);
    byId("play").textContent = player.playing ? "❚❚" : "▶";
    byId("play").ariaLabel = byId("play").title = player.playing ? "Stop (Space)" : "Play (Space)";
    document.querySelector("[data-do=undo]").disabled = !points.canUndo;
    document.querySelector("[data-do=redo]").disabled = !points.canRedo;
    document.querySelector("[data-do=remove]").disabled = !points.selected.size;
    document.body.dataset.answered = points.list.every((point) => answers.isFresh(point)); // for tests and scripts
  }

  /** The selected point in this frame, or the crosshair. */
  function placeText() {
    const point = points.selected.size === 1 && points.chosen[0], at = point && answers.at(point, player.frame);
    if (!at) return `frame ${player.frame}${tools.crossed ? ` · ${stage.cross.x}, ${stage.cross.y}` : ""}`;
    const how = at.hand ? (point.t === player.frame ? "placed here" : "pinned here") : at.visible ? "seen" : "hidden";
    return `frame ${player.frame} · ${at.x.toFixed(1)}, ${at.y.toFixed(1)} · ${how} · ${at.confidence.toFixed(2)}`;
  }

  points.addEventListener("change", ({ detail }) => {
    if (detail !== "selected") answers.want(points.list);
    if (detail === "changed") keeper.save().catch((error) => (error.status === 0 ? null : complain(error)));
    redraw();
  });
  player.addEventListener("change", redraw);
  for (const id of ["sure", "trail"]) byId(id).addEventListener("input", redraw);
  new ResizeObserver(() => { stage.resize(); redraw(); }).observe(byId("stage"));
  new ResizeObserver(redraw).observe(byId("sheet"));
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", redraw);

  // --- buttons, menus, keys ---
  const choose = (name) => {
    tools.choose(name);
    for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-checked", button.dataset.tool === name);
    for (const option of document.querySelectorAll("[data-for]")) option.hidden = option.dataset.for !== name;
  };
  const actions = {
    undo: () => points.undo(), redo: () => points.redo(), remove: () => points.remove(points.selected),
    previous: () => player.go(player.frame - 1), next: () => player.go(player.frame + 1), play: () => player.toggle(),
    "zoom-in": () => stage.zoom(1.25), "zoom-out": () => stage.zoom(0.8), "zoom-all": () => stage.showAll(),
  };
  for (const button of document.querySelectorAll("[data-do]")) button.onclick = () => { actions[button.dataset.do](); redraw(); };
  for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => choose(button.dataset.tool);
  addEventListener("click", (event) => { // by a mouse: a button does not keep Enter and Space to itself
    if (event.detail && event.target.matches("body > :not(dialog) button")) stage.canvas.focus();
  });
  byId("fill").onclick = () => tools.fillMask();
  const openHelp = () => byId("help").showModal();
  byId("help-open").onclick = openHelp;
  const menu = byId("export");
  for (const format of clip.formats) {
    const button = byId("formats").appendChild(Object.assign(document.createElement("button"), { textContent: `Tracks as .${format}` }));
    button.dataset.format = format;
    button.onclick = () => save(format);
  }
  async function save(format) {
    menu.open = false;
    say(`exporting ${format} ...`);
    try {
      await keeper.save();
      say(`${await exportTracks(format)} saved`);
    } catch (error) {
      complain(error);
    }
  }
  menu.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
    event.preventDefault();
  };
  addEventListener("pointerdown", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  const openExport = () => { menu.open = true; menu.querySelector("#formats button").focus(); };
  const trails = () => {
    byId("trail").selectedIndex = (byId("trail").selectedIndex + 1) % byId("trail").options.length;
    redraw();
  };
  const table = keyTable({ player, points, tools, stage, sheet, say, choose, trails, openExport, openHelp, redraw });
  listenForKeys(table, tools);
  showKeys(table, byId("keys"));

  // --- what the server says by itself ---
  async function heard(snapshot, first) {
    connected = true;
    showState(snapshot.damage ? "damage" : snapshot.state, snapshot);
    try {
      if (first) await keeper.meet();
      else await keeper.hear(snapshot.points);
    } catch (error) {
      complain(error);
    }
    answers.renew(snapshot.answers, points.list);
    redraw();
  }
  listen(heard, () => { connected = false; showState("ended", null); });

  document.title = `${clip.name} - omnitrack`;
  byId("name").textContent = clip.name;
  byId("name").title = clip.source;
  stage.resize();
  player.go(0);
  stage.canvas.focus();
}

/** The badge, the bar and the text beside it. */
function showState(state, snapshot) {
  const [text, title] = STATES[state] ?? ["damaged", snapshot.damage];
  Object.assign(byId("state"), { textContent: text, title });
  byId("state").dataset.state = state;
  const work = snapshot?.work ?? { phase: "idle" }, working = work.phase === "working" && work.task;
  byId("bar").hidden = !(working && work.total);
  if (working && work.total) byId("bar").value = work.done / work.total;
  const values = Object.entries(work.values ?? {}).map(([name, value]) => `${name} ${typeof value === "number" ? value.toPrecision(3) : value}`);
  const count = work.total ? `${work.done}/${work.total} ${work.unit}` : "";
  const said = [PHASES[work.phase], work.text, work.hint, ...(snapshot?.damage ? [snapshot.damage] : [])].filter(Boolean).join(": ");
  byId("task").textContent = working ? [`${work.task} ${count}`, ...values.slice(0, 1)].join(" · ") : said;
  byId("task").title = [byId("task").textContent, ...values.slice(1), ...(snapshot?.messages ?? [])].join("\n");
}

open().catch((error) => {
  showState("ended", null);
  if (error instanceof Refusal) complain(error);
  else throw error;
});
