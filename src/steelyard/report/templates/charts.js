// The four charts. They are drawn anew when the colours, the width or the medium change.
const drawing = JSON.parse(document.getElementById("drawing").textContent);
const PRINT = { width: 680, height: 300 };
const ROLES = {
  fails: { style: "crossRot", radius: 5.5, hollow: true },
  dominated: { style: "circle", radius: 4.5, hollow: true },
  undecided: { style: "triangle", radius: 6, hollow: true },
  front: { style: "circle", radius: 5.5 },
  reference: { style: "rect", radius: 6.5 },
  chosen: { style: "rectRot", radius: 9 },
};
let drawn = [];

const short = (text) => (text.length > 60 ? `${text.slice(0, 57)}…` : text);

function tick(value, unit) {
  const [whole, decimals] = String(Number(value.toPrecision(4))).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return (decimals ? `${grouped}.${decimals}` : grouped) + (unit === "%" ? "%" : "");
}

function decades(axis) {
  const steps = [];
  for (let power = Math.floor(Math.log10(axis.min)); power <= Math.log10(axis.max); power += 1) {
    for (const step of [1, 2, 5]) steps.push(step * 10 ** power);
  }
  const inside = steps.filter((value) => value >= axis.min && value <= axis.max);
  const sparse = inside.filter((value) => Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6));
  axis.ticks = (inside.length > 8 && sparse.length > 1 ? sparse : inside).map((value) => ({ value }));
}

function scale(axis, limits, options = {}) {
  return {
    type: axis.log ? "logarithmic" : "linear",
    ...limits,
    afterBuildTicks: axis.log ? decades : undefined,
    border: { color: ink("line") },
    grid: { color: ink("grid"), tickColor: ink("line") },
    ticks: { color: ink("muted"), includeBounds: false, maxRotation: 0, autoSkipPadding: 14, callback: (value) => tick(value, axis.unit) },
    ...options,
  };
}

const titled = (axis) => ({ title: { display: true, text: short(axis.title), color: ink("muted"), padding: { top: 8 } } });

function across(axis, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return axis.log ? { min: low / 1.35, max: high * 1.35 } : { min: 0, max: high * 1.1 };
}

function upwards(chart) {
  const rule = chart.rules.filter((one) => one.axis === "y").map((one) => one.at);
  const lows = chart.marks.filter((mark) => !mark.below).flatMap((mark) => [mark.low, mark.y]);
  const values = [...rule, ...lows].filter((value) => chart.bottom === null || value >= chart.bottom);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low || Math.abs(high) * 0.02 || 1) * 0.14;
  const top = chart.y.unit === "%" ? Math.min(high + pad, Math.max(100, high)) : high + pad;
  return { min: chart.bottom === null ? low - pad : chart.bottom, max: top };
}

function dataset(role, marks, order) {
  const shape = ROLES[role] || ROLES.fails;
  const colour = ink(role);
  const style = (mark) => (mark.below ? "triangle" : shape.style);
  return {
    data: marks,
    mark: { colour },
    order: -order,
    clip: false,
    pointStyle: marks.map(style),
    rotation: marks.map((mark) => (mark.below ? 180 : 0)),
    radius: shape.radius,
    hoverRadius: shape.radius + 2,
    hitRadius: 8,
    borderColor: shape.hollow ? colour : ink("paper"),
    hoverBorderColor: shape.hollow ? colour : ink("paper"),
    borderWidth: shape.hollow ? 2 : 1.5,
    hoverBorderWidth: 2,
    backgroundColor: shape.hollow ? ink("paper") : colour,
    hoverBackgroundColor: shape.hollow ? ink("paper") : colour,
  };
}

function frontLine(points) {
  return {
    type: "line",
    data: points.map(([x, y]) => ({ x, y })),
    stepped: true,
    order: 1,
    pointRadius: 0,
    pointHitRadius: 0,
    borderColor: ink("front"),
    borderWidth: 1.75,
  };
}

function tooltip() {
  return {
    displayColors: false,
    backgroundColor: ink("ink"),
    titleColor: ink("paper"),
    bodyColor: ink("paper"),
    padding: 10,
    cornerRadius: 3,
    caretPadding: 8,
    filter: (item) => Boolean(item.raw.lines),
    callbacks: {
      title: (items) => (items.length ? short(items[0].raw.title) : ""),
      label: (item) => item.raw.lines.map(short),
    },
  };
}

function scatterConfig(chart) {
  const roles = Object.keys(ROLES).filter((role) => chart.marks.some((mark) => mark.role === role));
  const edges = [...chart.marks.map((mark) => mark.x), ...chart.rules.filter((one) => one.axis === "x").map((one) => one.at)];
  return {
    type: "scatter",
    data: {
      datasets: [
        frontLine(chart.front),
        ...roles.map((role, order) => dataset(role, chart.marks.filter((mark) => mark.role === role), order)),
      ],
    },
    options: {
      scales: { x: scale(chart.x, across(chart.x, edges), titled(chart.x)), y: scale(chart.y, upwards(chart)) },
      interaction: { mode: "nearest", intersect: true },
      plugins: { rules: { rules: chart.rules }, names: { rules: chart.rules }, tooltip: tooltip() },
    },
    plugins: [rules, whiskers, names],
  };
}

function curveLine(curve, chart) {
  const colour = ink(curve.role);
  const few = curve.points.length < 20;
  const described = (x, y) => (few ? [`batch ${tick(x)}: ${tick(y)} ms`] : [`${tick(y)}% within ${tick(x)} ms`]);
  return {
    data: curve.points.map(([x, y]) => ({ x, y, title: `${curve.name}: ${curve.title}`, lines: described(x, y) })),
    band: curve.band,
    borderColor: colour,
    borderWidth: 2.25,
    borderDash: curve.role === "reference" ? [6, 4] : [],
    backgroundColor: colour,
    pointStyle: curve.role === "reference" ? "rect" : "rectRot",
    pointRadius: few ? 4.5 : 0,
    hoverRadius: 5,
    hitRadius: 10,
    clip: chart.bounded ? undefined : false,
  };
}

function lineConfig(chart, limits, ticks) {
  const x = scale(chart.x, limits.x, titled(chart.x));
  if (ticks) x.afterBuildTicks = (axis) => { axis.ticks = ticks.map((value) => ({ value })); };
  return {
    type: "line",
    data: { datasets: chart.curves.map((curve) => curveLine(curve, chart)) },
    options: {
      scales: { x, y: scale(chart.y, limits.y) },
      interaction: { mode: "nearest", intersect: false },
      plugins: { rules: { rules: chart.rules }, tooltip: tooltip() },
    },
    plugins: [rules, bands],
  };
}

function distributionConfig(chart) {
  const values = chart.curves.flatMap((curve) => curve.points.map(([x]) => x));
  const edges = [...values, ...chart.rules.filter((one) => one.axis === "x").map((one) => one.at)];
  return lineConfig(chart, { x: across(chart.x, edges), y: { min: 0, max: 100 } });
}

function serviceConfig(chart) {
  const batches = [...new Set(chart.curves.flatMap((curve) => curve.points.map(([x]) => x)))].sort((a, b) => a - b);
  const times = chart.curves.flatMap((curve) => [...curve.points.map(([, y]) => y), ...curve.band.flat()]);
  const limits = { x: { min: batches[0] / 1.25, max: batches[batches.length - 1] * 1.25 }, y: across(chart.y, times) };
  return lineConfig(chart, limits, batches);
}

const CONFIGS = { cost: scatterConfig, latency: scatterConfig, distribution: distributionConfig, service: serviceConfig };

function draw(printing) {
  document.documentElement.toggleAttribute("data-print", printing);
  drawn.forEach((chart) => chart.destroy());
  Chart.defaults.font = { ...Chart.defaults.font, family: ink("text"), size: 12 };
  drawn = Object.keys(CONFIGS).filter((key) => drawing[key] && document.getElementById(key)).map((key) => {
    const canvas = document.getElementById(key);
    const config = CONFIGS[key](drawing[key]);
    Object.assign(config.options, { animation: false, maintainAspectRatio: false, responsive: !printing });
    config.options.plugins.legend = { display: false };
    if (printing) {
      // Paper has its own width and three times the dots; the screen's drawing would be cut or blurred.
      Object.assign(canvas, PRINT);
      config.options.devicePixelRatio = 3;
    }
    return new Chart(canvas, config);
  });
}

draw(matchMedia("print").matches);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(matchMedia("print").matches));
matchMedia("print").addEventListener("change", ({ matches }) => draw(matches));
addEventListener("beforeprint", () => draw(true));
addEventListener("afterprint", () => draw(false));
