// Keyboard input: one table of keys, which the page's help also shows.

/**
 * The table of keys and their actions.
 *
 * @param {object} page The parts of the page.
 * @returns {{keys: string, says: string, on: (event: KeyboardEvent) => (() => void) | undefined}[]}
 */
export function keyTable({ clip, player, points, tools, stage, sheet, say, choose, trails, openExport, openHelp, redraw }) {
  const key = (...names) => (event) => !event.ctrlKey && !event.metaKey && names.includes(event.key.toLowerCase());
  const moves = { KeyW: [0, -1], KeyA: [-1, 0], KeyS: [0, 1], KeyD: [1, 0] }; // by key position, on any layout
  const plain = (event) => !event.ctrlKey && !event.metaKey && !event.altKey;
  const zoom = (factor) => () => { stage.zoom(factor); redraw(); };
  const select = (step) => () => selectNext({ player, points, stage, tools, sheet, say }, step);
  const command = (event) => (event.ctrlKey || event.metaKey) && event.key.toLowerCase();
  const row = (keys, says, when, run) => ({ keys, says, when, run });
  const placing = [
    row("Enter", "place a point; a grid's corners; the brush down, up", key("enter"), () => tools.enter()),
    row("P G M", "tool: point, grid, mask", key("p", "g", "m"), (event) => choose({ p: "point", g: "grid", m: "mask" }[event.key.toLowerCase()])),
    row("F", "fill the painted area with points", key("f"), () => tools.fillMask()),
    row("C", "pin the selected point to the crosshair", key("c"), () => tools.correct()),
    row("X", "remove the pin in this frame", key("x"), () => tools.unpin()),
    row("R", "rename", key("r"), () => sheet.rename()),
    row("Delete", "delete the selected points", key("delete", "backspace"), () => points.remove(points.selected)),
    row("Ctrl Z", "undo", (event) => command(event) === "z" && !event.shiftKey, () => points.undo()),
    row("Ctrl Shift Z", "redo", (event) => (command(event) === "z" && event.shiftKey) || command(event) === "y", () => points.redo()),
  ];
  return [
    row("Space", "play, pause", key(" "), () => player.toggle()),
    row("Left Right", "one frame back, forward (Shift: ten)", key("arrowleft", "arrowright"),
      (event) => player.go(player.frame + (event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1))),
    row("Home End", "first, last frame", key("home", "end"), (event) => player.go(event.key === "Home" ? 0 : player.count)),
    row("Up Down", "select the previous, next point", key("arrowup", "arrowdown"), (event) => select(event.key === "ArrowUp" ? -1 : 1)()),
    row("W A S D", "move the crosshair (Shift: ten pixels)", (event) => plain(event) && event.code in moves, (event) => {
      const [dx, dy] = moves[event.code], step = event.shiftKey ? 10 : 1;
      tools.moveCross(dx * step, dy * step);
    }),
    ...(clip.fixed ? [] : placing),
    row("Esc", "cancel; clear the selection", key("escape"), () => { tools.cancel(); points.select([]); }),
    row("Ctrl A", "select all", (event) => command(event) === "a", () => points.select(points.list.map((point) => point.id))),
    row("+ - 0", "zoom in, out, whole frame", key("+", "=", "-", "0"), (event) => {
      if (event.key === "0") { stage.showAll(); redraw(); } else zoom(event.key === "-" ? 0.8 : 1.25)();
    }),
    row("T", "trails: none, 10, 30, all", key("t"), () => trails()),
    row("E", "export", key("e"), () => openExport()),
    row("?", "show these keys", key("?"), () => openHelp()),
  ];
}

/** Run the matching row of the table for each key, unless the key belongs to a text field, a button or a menu. */
export function listenForKeys(table, tools) {
  addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (target.matches("input:not([type=range]), select, textarea")) return;
    if (target.matches("input[type=range]") && /^(Arrow|Home|End)/.test(event.key)) return;
    if (target.matches("button, summary") && (event.key === "Enter" || event.key === " ")) return;
    if (tools.busy && event.key !== "Escape") return;
    const found = table.find((row) => row.when(event));
    if (!found) return;
    event.preventDefault();
    found.run(event);
  });
}

/** Fill a <dl> with the table. */
export function showKeys(table, list) {
  for (const { keys, says } of table) {
    const term = list.appendChild(document.createElement("dt"));
    keys.split(" ").forEach((name) => {
      term.append(Object.assign(document.createElement("kbd"), { textContent: name }), " ");
    });
    list.appendChild(document.createElement("dd")).textContent = says;
  }
}

function selectNext({ player, points, stage, tools, sheet, say }, step) {
  const { list } = points;
  if (!list.length) return say("there is no point yet");
  const at = list.findIndex((point) => points.selected.has(point.id));
  const point = list[at < 0 ? (step > 0 ? 0 : list.length - 1) : (at + step + list.length) % list.length];
  points.select([point.id]);
  const place = tools.answers.at(point, player.frame);
  if (place) stage.moveCross(place);
  tools.crossed = true;
  sheet.show();
  const how = place ? `${place.visible ? "seen" : "hidden"}, confidence ${place.confidence.toFixed(2)}` : "no answer yet";
  return say(`${point.group} ${point.name}: ${how}`.trim());
}
