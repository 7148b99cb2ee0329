// What Trackside adds to Chart.js: names at the lines' ends, a crosshair, and the marks of what changed.
const LINE = 14;
const RIGHT = 56; // room for the names, kept where there are none too: charts below one another share their edges

function ends(chart) {
  const named = chart.data.datasets.map((set, place) => ({ set, meta: chart.getDatasetMeta(place) }))
    .filter(({ set, meta }) => set.named && !meta.hidden);
  return named.flatMap(({ set, meta }) => {
    const last = set.data.findLastIndex((point) => point.y !== null);
    return last < 0 ? [] : [{ name: set.label, color: set.borderColor, y: meta.data[last].y, x: meta.data[last].x }];
  }).sort((a, b) => a.y - b.y);
}

/** Names of up to three series where their lines end, moved apart where they would overlap. */
export const direct = {
  id: "direct",
  beforeLayout(chart) {
    const { font } = chart.options.plugins.trackside;
    chart.ctx.save();
    chart.ctx.font = `500 ${font.size}px ${font.family}`;
    const widths = chart.data.datasets.filter((set) => set.named).map((set) => chart.ctx.measureText(set.label).width);
    chart.ctx.restore();
    const wanted = Math.max(...widths, 0) + 18;
    chart.options.layout.padding.right = chart.width < 480 && !widths.length ? 12 : Math.max(RIGHT, Math.min(wanted, chart.width / 4));
  },
  afterDatasetsDraw(chart) {
    const { ink, font } = chart.options.plugins.trackside;
    const { ctx, chartArea: area } = chart;
    const labels = ends(chart);
    let floor = area.top;
    for (const label of labels) { label.at = Math.max(label.y, floor); floor = label.at + LINE; }
    let ceiling = area.bottom;
    for (const label of labels.toReversed()) { label.at = Math.min(label.at, ceiling); ceiling = label.at - LINE; }
    ctx.save();
    ctx.font = `500 ${font.size}px ${font.family}`;
    ctx.textBaseline = "middle";
    for (const { name, color, at } of labels) {
      ctx.fillStyle = color;
      ctx.fillRect(area.right + 4, at - 1, 6, 2);
      ctx.fillStyle = ink["ink-2"];
      ctx.fillText(name, area.right + 14, at, chart.width - area.right - 14);
    }
    ctx.restore();
  },
};

/** A hairline at the moment the tooltip tells of. */
export const crosshair = {
  id: "crosshair",
  beforeDatasetsDraw(chart) {
    const active = chart.tooltip?.getActiveElements() ?? [];
    if (active.length) upright(chart, active[0].element.x, chart.options.plugins.trackside.ink["line-3"]);
  },
};

/** A hairline at each mark; its glyph is a real link of the page, moved to the top of the line. */
export const marks = {
  id: "marks",
  afterDatasetsDraw(chart) {
    const figure = chart.canvas.closest("figure");
    const { ink } = chart.options.plugins.trackside;
    for (const item of figure.querySelectorAll(".marks li")) {
      const at = Date.parse(item.dataset.at);
      const { min, max } = chart.scales.x;
      if (at >= min && at <= max) upright(chart, chart.scales.x.getPixelForValue(at), ink.mark, [2, 3]);
    }
    place(figure, chart);
  },
};

const TARGET = 24; // pixels of a mark's link; targets never overlap while there is room for all

function place(figure, chart) {
  const { offsetLeft: left, offsetTop: top } = chart.canvas.parentElement;
  const { min, max } = chart.scales.x;
  const placed = [];
  for (const item of figure.querySelectorAll(".marks li")) {
    const at = Date.parse(item.dataset.at);
    const inside = at >= min && at <= max;
    item.classList.toggle("placed", inside);
    if (inside) placed.push({ item, x: chart.scales.x.getPixelForValue(at) });
  }
  placed.sort((a, b) => a.x - b.x);
  spread(placed, chart.width - TARGET / 2);
  for (const { item, x } of placed) {
    item.style.left = `${left + x}px`;
    item.style.top = `${top + chart.chartArea.top - TARGET}px`;
    item.classList.toggle("from-left", x < 140);
    item.classList.toggle("from-right", x > chart.width - 140);
  }
}

/** Move marks apart, to the right where they crowd, and back again from the chart's edge. */
function spread(placed, edge) {
  let free = TARGET / 2;
  for (const mark of placed) {
    mark.x = Math.max(mark.x, free);
    free = mark.x + TARGET;
  }
  for (const mark of placed.toReversed()) {
    mark.x = Math.max(Math.min(mark.x, edge), TARGET / 2);
    edge = mark.x - TARGET;
  }
}

function upright({ ctx, chartArea }, x, color, dash = []) {
  ctx.save();
  ctx.strokeStyle = color;
  ctx.lineWidth = 1;
  ctx.setLineDash(dash);
  ctx.beginPath();
  ctx.moveTo(Math.round(x) + 0.5, chartArea.top);
  ctx.lineTo(Math.round(x) + 0.5, chartArea.bottom);
  ctx.stroke();
  ctx.restore();
}
