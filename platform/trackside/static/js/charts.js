// Draws every `figure[data-chart]` from its own table with Chart.js, and again when the table or the theme changes.
import { direct, crosshair, marks } from "./chart-plugins.js";
import { axisNumber, timeTicks } from "./chart-axis.js";

const drawn = new WeakMap();
const FONT = { family: '"Inter Variable", Inter, system-ui, sans-serif', size: 11 };
const LABELLED = 3;
const LEFT = 52;

/** Return a function from a custom property to the colour it has now; light-dark() is resolved by the browser. */
function palette() {
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const style = getComputedStyle(probe);
  const found = {};
  for (const name of ["ink", "ink-2", "ink-3", "line", "line-2", "line-3", "float", "ghost", "mark", "paper"]) found[name] = "";
  for (let n = 1; n <= 6; n++) found[`series-${n}`] = "";
  for (const name of Object.keys(found)) {
    probe.style.color = `var(--${name})`;
    found[name] = style.color;
  }
  probe.remove();
  return found;
}

/** Return what the figure's table says: times, labels, links and one list of values and texts for each series. */
export function read(figure) {
  const rows = [...figure.querySelectorAll(".chart-data tbody tr")];
  const heads = [...figure.querySelectorAll(".chart-data thead th")].slice(1);
  return {
    at: rows.map((row) => Date.parse(row.querySelector("time").dateTime)),
    labels: rows.map((row) => row.cells[0].textContent.trim()),
    links: rows.map((row) => row.cells[0].querySelector("a")?.href),
    series: heads.map((head, place) => ({
      name: head.textContent.trim(),
      kind: head.dataset.kind,
      cells: rows.map((row) => row.cells[place + 1]),
    })),
  };
}

function datasets(figure, data, ink) {
  const open = "unfinished" in figure.dataset ? data.at.length - 1 : -1; // the bucket that is still filling
  const named = data.series.filter((each) => each.kind !== "ghost").length;
  return data.series.map((each, place) => {
    const ghost = each.kind === "ghost";
    const color = ghost ? ink.ghost : ink[`series-${(place % 6) + 1}`];
    const values = each.cells.map((cell) => (cell.dataset.v === "" ? null : Number(cell.dataset.v)));
    const alone = (i) => values[i] !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null;
    return {
      type: each.kind === "bar" ? "bar" : "line",
      label: each.name,
      data: values.map((y, i) => ({ x: data.at[i], y })),
      texts: each.cells.map((cell) => cell.textContent),
      named: ghost ? named <= LABELLED : named > 1 ? named <= LABELLED : data.series.length > 1,
      borderColor: color,
      backgroundColor: each.kind === "area" ? color.replace("rgb(", "rgba(").replace(")", ", 0.12)") : color,
      fill: each.kind === "area" ? "origin" : false,
      borderWidth: each.kind === "bar" ? 0 : ghost ? 1 : 1.5,
      segment: { borderDash: ({ p1DataIndex }) => (p1DataIndex === open && !ghost ? [2, 3] : undefined) },
      pointRadius: (context) => (alone(context.dataIndex) ? 1.5 : 0),
      pointHoverRadius: ghost ? 0 : 3,
      pointBackgroundColor: color,
      pointHitRadius: 0,
      spanGaps: false,
      order: ghost ? 10 : place,
      grouped: false,
      borderRadius: 1,
      barPercentage: 0.8,
      categoryPercentage: 1,
    };
  });
}

function scales(figure, data, ink) {
  const { unit, step, zone, top } = figure.dataset;
  const half = data.series.some((each) => each.kind === "bar") ? Number(step) / 2 : 0;
  return {
    x: {
      type: "linear",
      offset: false, // bars would have it otherwise
      min: data.at[0] - half,
      max: data.at.at(-1) + half,
      grid: { display: false },
      border: { color: ink["line-2"] },
      afterBuildTicks: (axis) => { axis.ticks = timeTicks(axis.min, axis.max, Math.max(2, axis.width / 84), zone); },
      ticks: { color: ink["ink-3"], font: FONT, maxRotation: 0, autoSkip: false, callback: (_, i, all) => all[i].label },
    },
    y: {
      beginAtZero: true,
      max: top ? Number(top) : undefined,
      grace: top ? 0 : "6%",
      grid: { color: ink.line, tickLength: 0 },
      border: { display: false },
      afterFit: (axis) => { axis.width = Math.max(axis.width, LEFT); }, // charts below one another share their edges
      ticks: { color: ink["ink-3"], font: FONT, padding: 8, maxTicksLimit: figure.classList.contains("s") ? 4 : 6,
        callback: (value) => axisNumber(value, unit) },
    },
  };
}

function tooltip(data, ink) {
  return {
    backgroundColor: ink.float,
    borderColor: ink["line-2"],
    borderWidth: 1,
    titleColor: ink["ink-3"],
    titleFont: { ...FONT, weight: 400 },
    bodyColor: ink.ink,
    bodyFont: { ...FONT, size: 12 },
    bodySpacing: 4,
    padding: { x: 10, y: 8 },
    cornerRadius: 6,
    caretSize: 0,
    caretPadding: 12,
    boxWidth: 10,
    boxHeight: 3,
    multiKeyBackground: "transparent",
    boxPadding: 6,
    filter: (item) => item.dataset.data[item.dataIndex].y !== null,
    callbacks: {
      title: (items) => (items.length ? data.labels[items[0].dataIndex] : ""),
      label: (item) => `${item.dataset.label}  ${item.dataset.texts[item.dataIndex]}`,
      labelColor: (item) => ({ borderColor: item.dataset.borderColor, backgroundColor: item.dataset.borderColor }),
    },
  };
}

function options(figure, data, ink) {
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    layout: { padding: { top: figure.querySelector(".marks li") ? 24 : 6 } },
    scales: scales(figure, data, ink),
    plugins: { legend: { display: false }, tooltip: tooltip(data, ink), trackside: { ink, font: FONT } },
    onHover: (_, hit, chart) => { chart.canvas.style.cursor = hit.length && data.links[hit[0].index] ? "pointer" : ""; },
    onClick: (_, hit) => { if (hit.length && data.links[hit[0].index]) location.assign(data.links[hit[0].index]); },
  };
}

/** Draw the figure, or draw it again over changed numbers, without a flicker. */
export function draw(figure) {
  const plot = figure.querySelector(".chart-plot");
  const data = read(figure);
  const before = drawn.get(figure);
  if (!data.at.length || plot.querySelector(".blank")) {
    before?.destroy();
    drawn.delete(figure);
    plot.querySelector("canvas")?.remove();
    return;
  }
  reach(figure);
  const ink = palette();
  if (before) {
    before.data.datasets = datasets(figure, data, ink);
    before.options = options(figure, data, ink);
    before.update("none");
    return;
  }
  const canvas = document.createElement("canvas");
  plot.append(canvas);
  drawn.set(figure, new window.Chart(canvas, {
    data: { datasets: datasets(figure, data, ink) },
    options: options(figure, data, ink),
    plugins: [direct, crosshair, marks],
  }));
}

/** Keep the keyboard out of the numbers while they are not to be seen; a click on the drawing opens the same rows. */
function reach(figure) {
  const open = figure.hasAttribute("data-open");
  for (const each of figure.querySelectorAll(".chart-data, .chart-data a")) {
    if (!open) each.tabIndex = -1;
    else if (each.matches("a")) each.removeAttribute("tabindex");
    else each.tabIndex = 0;
  }
}

function drawAll(root = document) {
  for (const figure of root.querySelectorAll("figure[data-chart]")) {
    try {
      if (!window.Chart) throw new Error("Chart.js did not load");
      draw(figure);
    } catch (error) {
      figure.dataset.failed = ""; // the table shows instead
      console.error(error);
    }
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-table]");
  if (!button) return;
  const figure = button.closest("figure");
  const open = figure.toggleAttribute("data-open");
  button.setAttribute("aria-pressed", String(open));
  reach(figure);
});
document.addEventListener("htmx:load", (event) => drawAll(event.target));
document.addEventListener("trackside:swapped", (event) => drawAll(event.target));
document.addEventListener("trackside:theme", () => drawAll());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
document.fonts.ready.then(() => drawAll()); // canvas text needs the font to be there
