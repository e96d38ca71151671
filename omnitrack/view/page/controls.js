// Connects buttons, menus and keys to the actions of other modules.
import { all, byId } from "./elements.js";
import { keyTable, listenForKeys, showKeys } from "./keys.js";
import { exportTracks } from "./server.js";
import { complain, say } from "./status.js";

/** Connect all buttons, menus and keys. @param {object} page The parts of the page. */
export function connectControls(page) {
  const { clip, keeper, redraw, tools } = page;
  const choose = (name) => {
    tools.choose(name);
    for (const button of all("[data-tool]")) button.setAttribute("aria-checked", button.dataset.tool === name);
    for (const option of all("[data-for]")) option.hidden = option.dataset.for !== name;
  };
  const openHelp = () => byId("help").showModal();
  const trails = () => {
    byId("trail").selectedIndex = (byId("trail").selectedIndex + 1) % byId("trail").options.length;
    redraw();
  };
  connectButtons(page, choose);
  byId("help-open").onclick = openHelp;
  const openExport = connectExport(clip.formats, keeper);
  const table = keyTable({ ...page, say, choose, trails, openExport, openHelp });
  listenForKeys(table, tools);
  showKeys(table, byId("keys"));
}

function connectButtons({ points, player, stage, tools, redraw }, choose) {
  const actions = {
    undo: () => points.undo(), redo: () => points.redo(), remove: () => points.remove(points.selected),
    previous: () => player.go(player.frame - 1), next: () => player.go(player.frame + 1), play: () => player.toggle(),
    "zoom-in": () => stage.zoom(1.25), "zoom-out": () => stage.zoom(0.8), "zoom-all": () => stage.showAll(),
  };
  for (const button of all("[data-do]")) button.onclick = () => { actions[button.dataset.do](); redraw(); };
  for (const button of all("[data-tool]")) button.onclick = () => choose(button.dataset.tool);
  byId("fill").onclick = () => tools.fillMask();
  addEventListener("click", (event) => { // by mouse: a focused button would keep Enter and Space
    if (event.detail && event.target.matches("body > :not(dialog) button")) stage.canvas.focus();
  });
}

/** Fill the menu of formats; returns a function that opens it. */
function connectExport(formats, keeper) {
  const menu = byId("export");
  for (const format of formats) {
    const button = byId("formats").appendChild(document.createElement("button"));
    button.textContent = format.words;
    button.dataset.format = format.name;
    button.onclick = () => {
      menu.open = false;
      save(format.name, keeper).catch(complain);
    };
  }
  menu.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
    event.preventDefault();
  };
  addEventListener("pointerdown", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  return () => {
    menu.open = true;
    menu.querySelector("#formats button").focus();
  };
}

async function save(format, keeper) {
  say(`exporting ${format} ...`);
  await keeper.save();
  say(`${await exportTracks(format)} saved`);
}
