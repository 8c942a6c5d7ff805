"use strict";
// What Chart.js does not draw by itself: requirement lines, whiskers, bands and names beside marks.
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const around = (x, y, half, tall) => ({ left: x - half, right: x + half, top: y - tall, bottom: y + tall });

function faint(context, alpha, draw) {
  context.save();
  context.globalAlpha = alpha;
  draw();
  context.restore();
}

function written(context, text, x, y, colour) {
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = ink("paper");
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

function ruleLine(chart, rule) {
  const { ctx, chartArea: area } = chart;
  const at = chart.scales[rule.axis].getPixelForValue(rule.at);
  const across = rule.axis === "x";
  ctx.fillStyle = ctx.strokeStyle = ink("fails");
  faint(ctx, 0.07, () => {
    if (rule.breaks === "above") ctx.fillRect(at, area.top, area.right - at, area.height);
    if (rule.breaks === "below") ctx.fillRect(area.left, at, area.width, area.bottom - at);
  });
  ctx.setLineDash([5, 4]);
  ctx.lineWidth = 1.25;
  ctx.beginPath();
  ctx.moveTo(across ? at : area.left, across ? area.top : at);
  ctx.lineTo(across ? at : area.right, across ? area.bottom : at);
  ctx.stroke();
  ctx.setLineDash([]);
}

function ruleBox(chart, rule) {
  // Where a line's words stand: beyond an upright line if there is room, at its foot unless a level
  // line runs there; at the right below a level one.
  const { ctx, chartArea: area } = chart;
  const at = chart.scales[rule.axis].getPixelForValue(rule.at);
  ctx.font = `12px ${ink("text")}`;
  const half = ctx.measureText(rule.text).width / 2;
  if (rule.axis === "y") return around(area.right - half - 6, at + 11, half, 7);
  const beyond = at + 6 + 2 * half < area.right;
  const low = chart.options.plugins.rules.rules
    .some((one) => one.axis === "y" && chart.scales.y.getPixelForValue(one.at) > area.bottom - 40);
  return around(beyond ? at + 6 + half : at - 6 - half, low ? area.top + 12 : area.bottom - 12, half, 7);
}

function lineBox({ scales, chartArea: area }, rule) {
  const at = scales[rule.axis].getPixelForValue(rule.at);
  return rule.axis === "x" ? { ...area, left: at, right: at + 1 } : { ...area, top: at, bottom: at + 1 };
}

const rules = {
  id: "rules",
  beforeDatasetsDraw(chart, _, { rules: all }) {
    chart.ctx.save();
    all.forEach((rule) => ruleLine(chart, rule));
    chart.ctx.restore();
  },
  afterDatasetsDraw(chart, _, { rules: all }) {
    chart.ctx.save();
    chart.ctx.textBaseline = "middle";
    for (const rule of all) {
      const box = ruleBox(chart, rule);
      written(chart.ctx, rule.text, box.left, (box.top + box.bottom) / 2, ink("fails"));
    }
    chart.ctx.restore();
  },
};

const whiskers = {
  id: "whiskers",
  beforeDatasetsDraw(chart) {
    const { ctx, chartArea: area, scales: { x, y } } = chart;
    ctx.save();
    ctx.globalAlpha = 0.4;
    ctx.lineWidth = 1.5;
    for (const { data, mark } of chart.data.datasets) {
      for (const point of mark ? data : []) {
        if (point.below || point.low >= point.y) continue;
        ctx.strokeStyle = mark.colour;
        const across = x.getPixelForValue(point.x);
        const end = Math.min(y.getPixelForValue(point.low), area.bottom);
        ctx.beginPath();
        ctx.moveTo(across, y.getPixelForValue(point.y));
        ctx.lineTo(across, end);
        ctx.moveTo(across - 3, end);
        ctx.lineTo(across + 3, end);
        ctx.stroke();
      }
    }
    ctx.restore();
  },
};

const bands = {
  id: "bands",
  beforeDatasetsDraw(chart) {
    const { ctx, scales: { x, y } } = chart;
    for (const { data, band, borderColor } of chart.data.datasets) {
      if (!band || !band.length) continue;
      const edge = (side) => band.map((limits, i) => [x.getPixelForValue(data[i].x), y.getPixelForValue(limits[side])]);
      const outline = [...edge(0), ...edge(1).reverse()];
      ctx.fillStyle = ctx.strokeStyle = borderColor;
      ctx.beginPath();
      outline.forEach(([across, down]) => ctx.lineTo(across, down));
      // A single batch size has no area: its band is a whisker.
      faint(ctx, band.length > 1 ? 0.14 : 0.5, () => (band.length > 1 ? ctx.fill() : ctx.stroke()));
    }
  },
};

function placed(text, x, y, area, taken) {
  // Above, below, right or left of the mark: whichever hides the fewest other things and stays inside.
  const half = text / 2;
  const spots = [16, 26, 38].flatMap((far) => [
    [0, -far - 2], [0, far + 2], [half + far, 0], [-half - far, 0],
    [half, -far], [-half, -far], [half, far], [-half, far],
  ]);
  const cost = ([dx, dy]) => {
    const box = around(x + dx, y + dy, half + 2, 8);
    const outside = box.left < area.left || box.right > area.right || box.top < area.top || box.bottom > area.bottom;
    return (outside ? 100 : 0) + taken.filter((other) => overlap(box, other)).length;
  };
  const [dx, dy] = spots.reduce((best, spot) => (cost(spot) < cost(best) ? spot : best));
  return around(x + dx, y + dy, half + 2, 8);
}

function ring(context, x, y) {
  context.strokeStyle = ink("ink");
  context.lineWidth = 1.5;
  context.beginPath();
  context.arc(x, y, 10, 0, 2 * Math.PI);
  context.stroke();
}

const names = {
  id: "names",
  afterDatasetsDraw(chart, _, { rules: all }) {
    const { ctx, chartArea: area, scales: { x, y } } = chart;
    const points = chart.data.datasets.flatMap(({ data, mark }) => (mark ? data.map((point) => ({ ...point, mark })) : []));
    const taken = points.map((p) => around(x.getPixelForValue(p.x), y.getPixelForValue(p.y), 6, 6));
    taken.push(...all.map((rule) => ruleBox(chart, rule)), ...all.map((rule) => lineBox(chart, rule)));
    ctx.save();
    ctx.font = `600 12.5px ${ink("text")}`;
    ctx.textBaseline = "middle";
    for (const point of points.filter((p) => p.name)) {
      const width = ctx.measureText(point.name).width;
      const box = placed(width, x.getPixelForValue(point.x), y.getPixelForValue(point.y), area, taken);
      taken.push(box);
      // The nearest candidate has the shape of its outcome; the ring makes it findable.
      if (point.name === "nearest") ring(ctx, x.getPixelForValue(point.x), y.getPixelForValue(point.y));
      written(ctx, point.name, box.left + 2, (box.top + box.bottom) / 2, point.mark.colour);
    }
    ctx.restore();
  },
};
