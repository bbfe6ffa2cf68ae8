// SPDX-License-Identifier: GPL-3.0-only
import { html, useEffect, useRef, useState, useStore } from "../html.js";
import { NO_COLOUR } from "../logic/palette.js";
import { theme } from "../state/theme.js";
import uPlot from "../vendor/uplot.js";

/**
 * One line, layer or cloud of points of a chart.
 *
 * @typedef {object} Line
 * @property {string} name
 * @property {number} colour of the palette
 * @property {readonly (number | null)[]} drawn
 * @property {readonly (number | null)[]} said what the reader is told; may differ in a stack
 *
 * @typedef {object} ChartProps
 * @property {string} testid
 * @property {string} label what it shows, in one sentence with the latest numbers
 * @property {"layers" | "lines" | "points"} kind
 * @property {string} note what one should know to read it; stands below while nothing is pointed at
 * @property {readonly number[]} times in seconds since 1970
 * @property {readonly Line[]} lines those of a stack from the lowest to the topmost
 * @property {readonly [number, number]} range of times that is shown
 * @property {(value: number) => string} say a value with its unit
 * @property {(value: number) => string} [sayAxis] the same for the axis, shorter
 * @property {readonly number[]} [steps] sizes that the axis may be divided by
 * @property {number | null} [limit] a value to mark with a line across the chart
 * @property {boolean} [logarithmic]
 */

const off = { show: false };

const HEIGHT = 192;
const MINUTES = [60, 120, 300, 600];
const AXIS_WIDTH = 72;

/**
 * A chart over time. Pointing at it shows the values of one moment below it.
 *
 * @param {ChartProps} props
 */
export function Chart(props) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const latest = useRef(props);
  const [pointed, setPointed] = useState(/** @type {number | null} */ (null));
  const shownTheme = useStore(theme);
  latest.current = props;
  const shape = JSON.stringify([shownTheme, props.lines.map(line => [line.name, line.colour])]);

  useEffect(() => {
    const at = box.current;
    if (!at) return undefined;
    const made = new uPlot(options(at, latest, setPointed), dataOf(latest.current), at);
    plot.current = made;
    const resizing = new ResizeObserver(() => {
      made.setSize({ width: at.clientWidth, height: HEIGHT });
    });
    resizing.observe(at);
    return () => {
      resizing.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(dataOf(props)), [props.times, props.lines]);

  return html`
    <figure class="chart" data-testid=${props.testid}>
      <div class="chart-box" ref=${box} role="img" aria-label=${props.label}></div>
      <figcaption class="chart-said">${said(props, pointed)}</figcaption>
    </figure>
  `;
}

/**
 * @param {ChartProps} props
 * @param {number | null} pointed
 */
function said({ times, lines, say, note }, pointed) {
  const timeUnix = pointed === null ? undefined : times[pointed];
  if (pointed === null || timeUnix === undefined) return html`<span>${note}</span>`;
  const parts = lines
    .filter(({ said }) => (said[pointed] ?? 0) > 0)
    .map(({ name, said }) => html`<span>${name} <b>${say(said[pointed] ?? 0)}</b></span>`);
  return html`<span>${new Date(timeUnix * 1000).toLocaleTimeString("en-GB")}</span>${parts}`;
}

/**
 * Layers are drawn from the top down, each over the whole of what is above it.
 *
 * @param {ChartProps} props
 * @returns {uPlot.AlignedData}
 */
function dataOf({ kind, times, lines, limit = null }) {
  const drawn = lines.map(line => [...line.drawn]);
  if (kind === "layers") drawn.reverse();
  return [[...times], ...drawn, times.map(() => limit)];
}

/**
 * @param {HTMLElement} box
 * @param {{current: ChartProps}} latest
 * @param {(index: number | null) => void} onPoint
 * @returns {uPlot.Options}
 */
function options(box, latest, onPoint) {
  const { kind, lines, logarithmic } = latest.current;
  const colours = coloursIn(box);
  const series = lines.map(line => seriesOf(kind, line, colours));
  return {
    width: box.clientWidth,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: () => [...latest.current.range] },
      y: logarithmic
        ? { distr: 3, range: (_plot, min, max) => decades(min, max) }
        : { range: (_plot, _min, max) => [0, max > 0 ? max * 1.05 : 1] },
    },
    axes: axes(colours, latest.current),
    series: [{}, ...(kind === "layers" ? series.reverse() : series), limitIn(colours)],
    hooks: { setCursor: [plot => onPoint(plot.cursor.idx ?? null)] },
  };
}

/**
 * @param {ChartProps["kind"]} kind
 * @param {Line} line
 * @param {(css: string) => string} colours
 * @returns {uPlot.Series}
 */
function seriesOf(kind, { colour }, colours) {
  const own = colour === NO_COLOUR ? "var(--model-other)" : `var(--model-${colour})`;
  const stroke = colours(own);
  switch (kind) {
    case "layers":
      // Layers cover each other, so a light colour must be one, not a translucent one.
      return {
        stroke,
        width: 1.5,
        fill: colours(`color-mix(in srgb, ${own} 45%, var(--surface))`),
        points: off,
      };
    case "lines":
      return { stroke, width: 1.5, points: off, spanGaps: false };
    default:
      return { paths: () => null, points: { show: true, size: 5, fill: stroke, stroke } };
  }
}

/**
 * @param {(css: string) => string} colours
 * @returns {uPlot.Series}
 */
function limitIn(colours) {
  return { stroke: colours("var(--ink)"), width: 1, dash: [6, 4], points: off };
}

/**
 * Reads colours as the page has them now; a canvas knows nothing of the page's variables.
 *
 * @param {HTMLElement} box
 * @returns {(css: string) => string}
 */
function coloursIn(box) {
  return css => {
    box.style.color = css;
    const colour = getComputedStyle(box).color;
    box.style.color = "";
    return colour;
  };
}

/**
 * @param {(css: string) => string} colours
 * @param {ChartProps} props
 * @returns {uPlot.Axis[]}
 */
function axes(colours, { say, sayAxis = say, logarithmic, steps }) {
  const stroke = colours("var(--ink-soft)");
  const line = { stroke: colours("var(--line)"), width: 1 };
  const filter = logarithmic ? onlyDecades : all;
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return [
    {
      stroke,
      font,
      grid: off,
      ticks: { ...line, size: 4 },
      space: 80,
      incrs: MINUTES,
      size: 28,
      gap: 4,
      values: (_plot, splits) => splits.map(timeOfDay),
    },
    {
      stroke,
      font,
      filter,
      grid: { ...line, filter },
      ticks: off,
      size: AXIS_WIDTH,
      space: 32,
      ...(steps ? { incrs: [...steps] } : {}),
      values: (_plot, splits) => splits.map(value => (value === null ? "" : sayAxis(value))),
    },
  ];
}

/** @param {number} timeUnix */
function timeOfDay(timeUnix) {
  return new Date(timeUnix * 1000).toLocaleTimeString("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
  });
}

/**
 * @param {uPlot} _plot
 * @param {number[]} splits
 */
function all(_plot, splits) {
  return splits;
}

/**
 * @param {uPlot} _plot
 * @param {number[]} splits
 */
function onlyDecades(_plot, splits) {
  return splits.map(value =>
    Number.isInteger(Number(Math.log10(value).toFixed(6))) ? value : null,
  );
}

/**
 * Whole powers of ten around the values, at least one.
 *
 * @param {number | null} min
 * @param {number | null} max
 * @returns {[number, number]}
 */
function decades(min, max) {
  if (!min || !max) return [0.01, 10];
  const low = Math.floor(Math.log10(min) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(max) - 1e-9));
  return [10 ** low, 10 ** high];
}
