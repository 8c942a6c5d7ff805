// The six charts of a model. `columns` is what the server tells; each chart makes its rows of it.
"use strict";
const HEIGHT = 190;
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const flat = (columns, value) => columns.at.map(() => value);

function shortly(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  return Number(value.toPrecision(digits)).toLocaleString("en", { maximumSignificantDigits: digits });
}

// With as many digits as it takes that no two are the same.
function toldApart(values) {
  for (let digits = 3; digits < 7; digits += 1) {
    const told = values.map((value) => shortly(value, digits));
    if (new Set(told).size === told.length) return told;
  }
  return values.map((value) => shortly(value, 7));
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const times = (plot, splits) => splits.map((seconds) => clock.format(seconds * 1000));

function line(label, colour, more = {}) {
  return { label, stroke: () => ink(colour), width: 1.75, points: { show: false }, value: (plot, value) => shortly(value), ...more };
}

const area = (label, colour, more = {}) => line(label, colour, { fill: () => `${ink(colour)}33`, ...more });
const dashed = (label, colour, more = {}) => line(label, colour, { dash: [6, 4], width: 1.5, ...more });
const exactly = { value: (plot, value) => shortly(value, 4) };

// A solid area; what it shows in the legend is its own part of the stack, not the height it reaches.
function stacked(label, place, columns) {
  const colour = `variant-${Math.min(place, 5)}`;
  return line(label, colour, { fill: () => ink(colour), width: 0, value: (plot, value, series, at) => partOf(columns().share[place][at]) });
}

const partOf = (share) => (share === null || share === undefined ? "–" : `${shortly(share)}%`);

function stack(shares) {
  const rows = [];
  shares.reduceRight((below, share) => {
    const row = share.map((value, at) => (value === null ? null : value + (below ? below[at] : 0)));
    rows.unshift(row);
    return row;
  }, null);
  return rows;
}

function backTo(span, low, high) {
  const end = high === null ? Date.now() / 1000 : high;
  return [Math.max(end - span, Math.min(low === null ? end : low, end - 60)), end];
}

const fromZero = (least) => (plot, low, high) => [0, Math.max(least, (high || 0) * 1.1)];

function around(plot, low, high) {
  if (low === null) return [0, 1];
  const pad = (high - low) * 0.2 || Math.abs(high) * 0.01 || 1;
  return [low - pad, high + pad];
}

const decade = (plot, low, high) => (low === null ? [1, 10] : [low / 1.4, high * 1.4]);

function decades(plot, axis, low, high) {
  const steps = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const step of [1, 2, 5]) steps.push(Number((step * 10 ** power).toPrecision(1)));
  }
  const inside = steps.filter((value) => value >= low && value <= high);
  return inside.length > 7 ? inside.filter((value) => String(value).replace(/[0.]/g, "") === "1") : inside;
}

// Per chart: its series, the rows they draw, and how far its scale reaches.
const CHARTS = {
  rate: {
    series: () => [area("answered", "chosen"), line("refused, expired, failed", "bad")],
    rows: (columns) => [columns.answered, columns.lost],
    range: fromZero(1),
  },
  latency: {
    series: (model) => [
      line("p50", "softer"), line("p95", "soft"), line("p99", "chosen"), ...(model.bound === null ? [] : [dashed("bound", "bad")]),
    ],
    rows: (columns, model) => [...columns.latency, ...(model.bound === null ? [] : [flat(columns, model.bound)])],
    range: decade,
    logarithmic: true,
  },
  share: {
    series: (model, columns) => model.variants.map((name, place) => stacked(name, place, columns)),
    rows: (columns) => stack(columns.share),
    range: () => [0, 100],
  },
  quality: {
    series: () => [line("answered with", "chosen", exactly), dashed("best", "muted", exactly)],
    rows: (columns, model) => [columns.quality, flat(columns, model.best)],
    range: around,
  },
  late: {
    series: () => [area("late, refused, expired, failed", "bad")],
    rows: (columns) => [columns.late],
    range: fromZero(1),
  },
  queue: {
    series: () => [area("waiting", "chosen"), line("mean batch", "variant-1")],
    rows: (columns) => [columns.waiting, columns.batch],
    range: fromZero(4),
  },
};

function draw(place, model, columns, span) {
  const chart = CHARTS[place.dataset.chart];
  const axis = { stroke: () => ink("muted"), grid: { stroke: () => ink("grid"), width: 1 }, ticks: { show: false }, font: `12px ${ink("text")}` };
  const upwards = { ...axis, size: 52, gap: 4, values: (plot, splits) => toldApart(splits) };
  const options = {
    width: Math.max(place.clientWidth, 100),
    height: HEIGHT,
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: model.name } },
    scales: {
      x: { range: (plot, low, high) => backTo(span, low, high) },
      y: { range: chart.range, distr: chart.logarithmic ? 3 : 1 },
    },
    axes: [
      { ...axis, size: 26, gap: 4, space: 72, values: times },
      chart.logarithmic ? { ...upwards, splits: decades, filter: (plot, splits) => splits } : { ...upwards, space: 34 },
    ],
    series: [{}, ...chart.series(model, columns)],
  };
  const plot = new uPlot(options, [columns().at, ...chart.rows(columns(), model)], place);
  tell(plot);
  return plot;
}

// Where no pointer is, the legend tells of the last second; once the plot has settled, which it does in a microtask.
function tell(plot) {
  queueMicrotask(() => {
    const last = plot.data[0].length - 1;
    if (last >= 0 && !(plot.cursor.left >= 0)) plot.setLegend({ idx: last }, false);
  });
}
