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

function place(figure, chart) {
  const { offsetLeft: left, offsetTop: top } = chart.canvas.parentElement;
  let free = -Infinity;
  const items = [...figure.querySelectorAll(".marks li")].sort((a, b) => Date.parse(a.dataset.at) - Date.parse(b.dataset.at));
  for (const item of items) {
    const at = Date.parse(item.dataset.at);
    const inside = at >= chart.scales.x.min && at <= chart.scales.x.max;
    item.classList.toggle("placed", inside);
    if (!inside) continue;
    const x = Math.max(chart.scales.x.getPixelForValue(at), free);
    free = x + 24; // targets never overlap
    item.style.left = `${left + x}px`;
    item.style.top = `${top + chart.chartArea.top - 24}px`;
    item.classList.toggle("from-left", x < 140);
    item.classList.toggle("from-right", x > chart.width - 140);
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
