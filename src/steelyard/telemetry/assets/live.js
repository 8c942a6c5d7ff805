// Asks every second for what is new and adds it to the charts. The figures are htmx's.
"use strict";
const SPAN_S = 600;
const EVERY_MS = 1000;
const PATIENCE_MS = 5000;
const known = new Map(); // By model: what it is, its columns, its charts.
let run = null;
let latest = 0;

function lost(is) {
  document.getElementById("lost").hidden = !is;
}

function same(before, now) {
  return before && before.model.bound === now.bound && before.model.variants.join("\n") === now.variants.join("\n");
}

function appended(before, now) {
  const first = before.at.concat(now.at).findIndex((at) => at > latest - SPAN_S);
  const join = (old, fresh) => old.concat(fresh).slice(Math.max(first, 0));
  const nested = ["latency", "share"];
  return Object.fromEntries(
    Object.keys(now).map((key) => [key, nested.includes(key) ? now[key].map((row, place) => join(before[key][place], row)) : join(before[key], now[key])]),
  );
}

function places(name) {
  const section = [...document.querySelectorAll(".model")].find((one) => one.dataset.model === name);
  return section ? [...section.querySelectorAll(".plot")] : [];
}

function begin(model, columns) {
  for (const { plot } of known.get(model.name)?.charts ?? []) plot.destroy();
  const entry = { model, columns, charts: [] };
  for (const place of places(model.name)) {
    place.replaceChildren();
    entry.charts.push({ place, plot: draw(place, model, () => entry.columns, SPAN_S) });
  }
  known.set(model.name, entry);
}

function go(entry, model) {
  entry.model.best = model.best;
  entry.columns = appended(entry.columns, model.columns);
  for (const { place, plot } of entry.charts) {
    plot.setData([entry.columns.at, ...CHARTS[place.dataset.chart].rows(entry.columns, entry.model)]);
    tell(plot);
  }
}

// True when all is drawn; false when what is known no longer fits and must be asked for anew.
function take(answer) {
  const fits = answer.run === run && answer.models.every((model) => same(known.get(model.name), model));
  if (!fits && latest > 0) return false;
  run = answer.run;
  latest = Math.max(latest, ...answer.models.flatMap((model) => model.columns.at.slice(-1)));
  for (const model of answer.models) {
    const entry = known.get(model.name);
    if (fits && entry) go(entry, model);
    else begin(model, model.columns);
  }
  return true;
}

async function ask() {
  const answer = await fetch(`live/series?since=${latest}`, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.json();
}

async function tick() {
  if (!document.hidden) {
    try {
      if (!take(await ask())) {
        latest = 0;
        take(await ask());
      }
      lost(false);
    } catch (error) {
      lost(true);
      console.debug("no series:", error);
    }
  }
  setTimeout(tick, EVERY_MS);
}

function redraw() {
  for (const { model, columns } of [...known.values()]) begin(model, columns);
}

new ResizeObserver(() => {
  for (const { charts } of known.values()) {
    for (const { place, plot } of charts) if (place.clientWidth !== plot.width) plot.setSize({ width: Math.max(place.clientWidth, 100), height: HEIGHT });
  }
}).observe(document.querySelector("main"));

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
// Nobody looks: nothing is asked. What is no answer is not shown as one.
document.addEventListener("htmx:before:request", (event) => document.hidden && event.preventDefault());
document.addEventListener("htmx:before:response", (event) => event.detail.ctx.response.status !== 200 && event.preventDefault());
tick();
