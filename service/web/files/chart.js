/** Pictures of two quantities that are shares: lines and dots between two axes. */

import { svg } from "./elements.js";
import { percent } from "./numbers.js";

const WIDTH = 480;
const HEIGHT = 300;
const SIDES = { left: 62, right: 34, top: 16, bottom: 54 };
const STEPS = [1, 2, 2.5, 5, 10];
const TICKS = 5;

/** Collects marks; what is above the top is cut off there. */
export class Chart {
  #names;
  #top;
  #marks = [];

  /**
   * @param across what goes from 0 to 1 from left to right.
   * @param up what goes upwards.
   * @param top where that ends.
   */
  constructor(across, up, top = 1) {
    this.#names = { across, up };
    this.#top = top;
  }

  /** Draw a line through points. */
  line(across, up, kind) {
    const points = across.map((x, place) => this.#place(x, up[place]).map(short).join(","));
    this.#marks.push(svg("polyline", { class: kind, points: points.join(" ") }));
  }

  /** Draw a circle, with a text that shows where a mouse rests on it. */
  dot(across, up, kind, radius, text) {
    const [cx, cy] = this.#place(across, up);
    this.#marks.push(svg("circle", { class: kind, cx: short(cx), cy: short(cy), r: short(radius) }, svg("title", {}, text)));
  }

  /**
   * Give the picture.
   *
   * @param told what it shows, for who cannot see it.
   */
  drawn(told) {
    // A picture in the picture cuts off; room for half a dot at its sides.
    const inside = svg("svg", { width: WIDTH, height: HEIGHT - SIDES.bottom + 8, overflow: "hidden" }, ...this.#marks);
    return svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": told }, ...this.#frame(), inside);
  }

  #place(across, up) {
    return [SIDES.left + across * (WIDTH - SIDES.left - SIDES.right), HEIGHT - SIDES.bottom - (up / this.#top) * (HEIGHT - SIDES.top - SIDES.bottom)];
  }

  #frame() {
    const right = WIDTH - SIDES.right;
    const middle = (SIDES.top + HEIGHT - SIDES.bottom) / 2;
    const rows = ticks(this.#top).flatMap((value) => {
      const y = this.#place(0, value)[1];
      return [svg("path", { class: "grid", d: `M${SIDES.left} ${short(y)} H${right}` }), text(SIDES.left - 7, y + 4.5, percent(value), "end")];
    });
    const columns = ticks(1).map((value) => text(this.#place(value, 0)[0], HEIGHT - SIDES.bottom + 19, percent(value)));
    const names = [
      text((SIDES.left + right) / 2, HEIGHT - 8, this.#names.across),
      svg("g", { transform: `rotate(-90 14 ${middle})` }, text(14, middle, this.#names.up)),
    ];
    return [...rows, ...columns, ...names];
  }
}

function text(x, y, said, anchor = "middle") {
  return svg("text", { x: short(x), y: short(y), "text-anchor": anchor }, said);
}

function short(value) {
  return Number(value.toFixed(1));
}

/** Choose round numbers from 0, about five. */
function ticks(top) {
  const rough = top / TICKS;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * STEPS.find((one) => one * size >= rough * 0.999);
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, place) => place * step);
}
