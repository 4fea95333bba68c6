// Sends photographs to this page's own server and shows what it answers. Names of classes and files
// are only ever set as text.
"use strict";

const AT_A_TIME = 4; // requests; the server gathers them into one batch
const SHOWN = 5; // classes of a card, until all are asked for
// Little to much evidence: violet, pink, orange, yellow; nothing in nature has all of them.
const RAMP = [[126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]];

const find = (id) => document.getElementById(id);
let info = { model: "", classes: [], explain: false, max_bytes: Infinity };
let strength = 75; // of the overlay, in percent; a new card takes the last one chosen
const waiting = [];
let running = 0;

class Problem extends Error {}

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Problem("The server cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const reason = answer.results?.[0]?.error || answer.error; // of the one file that was sent
    throw new Problem(reason || `The server answered ${response.status}.`);
  }
  return answer;
}

function upload(address, field, file) {
  const form = new FormData();
  form.append(field, file, file.name);
  return ask(address, { method: "POST", body: form });
}

async function start() {
  try {
    info = await ask("info");
  } catch (problem) {
    find("model").textContent = problem.message;
    return;
  }
  const count = info.classes.length;
  document.title = `${info.model}: scene classifier`;
  find("model").textContent = `${info.model} · scene classifier`;
  find("hint").hidden = !info.explain;
  find("limit").textContent = `, up to ${megabytes(info.max_bytes)} each`;
  find("knows").textContent =
    `The model knows ${count} classes and answers with them whatever a picture shows.`;
  find("classes").textContent = info.classes.join(", ");
  find("footer").hidden = false;
}

function add(files) {
  const list = document.createDocumentFragment();
  for (const file of files) {
    const card = find("card").content.firstElementChild.cloneNode(true);
    card.classList.add("waiting");
    card.querySelector("figcaption").textContent = file.name;
    card.querySelector("h3").textContent = "Looking …";
    list.append(card);
    waiting.push([card, file]);
  }
  find("results").prepend(list);
  count();
  work();
}

function count() {
  const number = find("results").children.length;
  find("above").hidden = !number;
  find("count").textContent = number === 1 ? "1 photograph" : `${number} photographs`;
}

async function work() {
  while (running < AT_A_TIME && waiting.length) {
    running += 1;
    const [card, file] = waiting.shift();
    classify(card, file).finally(() => {
      running -= 1;
      work();
    });
  }
}

async function classify(card, file) {
  try {
    if (file.size > info.max_bytes)
      throw new Problem(`The file has ${megabytes(file.size)}; ${megabytes(info.max_bytes)} at most.`);
    const answer = await upload("classify?preview=true", "files", file);
    show(card, file, answer.results[0]);
  } catch (problem) {
    fail(card, file, problem);
  }
}

function fail(card, file, problem) {
  if (!(problem instanceof Problem)) console.error(problem);
  card.classList.replace("waiting", "failed");
  card.querySelector("h3").textContent = "Not classified";
  const line = card.querySelector(".error");
  line.textContent = problem.message;
  line.hidden = false;
  say(`${file.name}: ${problem.message}`);
}

function show(card, file, result) {
  card.classList.remove("waiting");
  const named = result.predicted.join(", ") || "None of its classes";
  card.querySelector("h3").textContent = named;
  const image = card.querySelector("img");
  image.alt = file.name;
  image.src = result.preview;
  const entries = Object.entries(result.probabilities).sort((a, b) => b[1] - a[1]);
  const rows = entries.map(([name, share]) => row(name, share, result.predicted.includes(name)));
  card.querySelector(".classes").append(...rows);
  if (rows.length > SHOWN + 1) fold(card, rows);
  if (info.explain) explainable(card, file, rows, entries);
  say(`${file.name}: ${named}, ${percent(entries[0][1])}`);
}

function row(name, share, predicted) {
  const item = document.createElement("li");
  const line = document.createElement(info.explain ? "button" : "div");
  if (info.explain) line.type = "button";
  line.className = predicted ? "class predicted" : "class";
  line.append(part("name", name), part("share", percent(share)));
  const track = part("track", "");
  track.append(part("fill", ""));
  track.style.setProperty("--p", share);
  line.append(track);
  item.append(line);
  return item;
}

function part(kind, text) {
  const span = document.createElement("span");
  span.className = kind;
  span.textContent = text;
  return span;
}

function fold(card, rows) {
  const more = card.querySelector(".more");
  const set = (open) => {
    rows.slice(SHOWN).forEach((item) => (item.hidden = !open));
    more.textContent = open ? "Fewer" : `All ${rows.length} classes`;
    more.setAttribute("aria-expanded", open);
  };
  more.hidden = false;
  more.onclick = () => set(more.getAttribute("aria-expanded") !== "true");
  set(false);
}

function explainable(card, file, rows, entries) {
  const slider = card.querySelector(".strength input");
  const canvas = card.querySelector(".heat");
  const fade = () => (canvas.style.opacity = slider.value / 100);
  slider.value = strength;
  slider.oninput = () => {
    strength = Number(slider.value);
    fade();
  };
  fade();
  card.querySelector(".explain").hidden = false;
  const answers = new Map(); // class to a promise, so that nothing is asked twice
  let asked = "";
  const choose = async (name) => {
    asked = name;
    rows.forEach((item, i) =>
      item.firstChild.setAttribute("aria-pressed", entries[i][0] === name));
    if (!answers.has(name))
      answers.set(name, upload(`explain?class=${encodeURIComponent(name)}`, "file", file));
    const note = card.querySelector(".note");
    try {
      const found = await answers.get(name);
      if (asked !== name) return; // another class was chosen in the meantime
      paint(card, found);
      const any = found.heat.flat().some((value) => value > 0);
      note.textContent = any
        ? `Evidence for “${name}”; the frame is the part that the model sees.`
        : `No place in the picture speaks for “${name}”.`;
    } catch (problem) {
      answers.delete(name);
      if (asked !== name) return;
      card.classList.remove("explained");
      note.textContent = problem.message;
    }
  };
  rows.forEach((item, i) => (item.firstChild.onclick = () => choose(entries[i][0])));
  choose(entries[0][0]);
}

// The map is a few cells wide: interpolated first and coloured then, it has no false colours.
function paint(card, { heat, view }) {
  const canvas = card.querySelector(".heat");
  const [left, top, right, bottom] = view;
  canvas.style.left = `${100 * left}%`;
  canvas.style.top = `${100 * top}%`;
  canvas.style.width = `${100 * (right - left)}%`;
  canvas.style.height = `${100 * (bottom - top)}%`;
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      image.data.set(colour(sample(heat, (x + 0.5) / width, (y + 0.5) / height)),
        4 * (y * width + x));
  context.putImageData(image, 0, 0);
  card.classList.add("explained");
}

function sample(heat, x, y) {
  const place = (share, cells) => {
    const at = Math.min(Math.max(share * cells - 0.5, 0), cells - 1);
    const low = Math.min(Math.floor(at), Math.max(cells - 2, 0));
    return [low, Math.min(low + 1, cells - 1), at - low];
  };
  const [up, down, dy] = place(y, heat.length);
  const [left, right, dx] = place(x, heat[0].length);
  const across = (line) => line[left] * (1 - dx) + line[right] * dx;
  return across(heat[up]) * (1 - dy) + across(heat[down]) * dy;
}

function colour(value) {
  const at = value * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  const rgb = RAMP[low].map((from, i) => from + (RAMP[low + 1][i] - from) * (at - low));
  return [...rgb, 255 * value ** 2]; // no evidence, no colour
}

function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "<0.1%";
  return `${value >= 99.95 ? 100 : value.toFixed(1)}%`;
}

function megabytes(bytes) {
  const value = bytes / 1e6;
  return `${value >= 10 ? Math.round(value) : value.toPrecision(2)} MB`;
}

function say(text) {
  find("said").textContent = text;
}

const pictures = (transfer) => [...(transfer?.files ?? [])];
find("files").addEventListener("change", (event) => {
  add([...event.target.files]);
  event.target.value = ""; // the same file may be chosen again
});
find("clear").addEventListener("click", () => {
  waiting.length = 0;
  find("results").replaceChildren();
  count();
  find("files").focus();
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  add(pictures(event.dataTransfer));
});
document.addEventListener("paste", (event) => add(pictures(event.clipboardData)));
start();
