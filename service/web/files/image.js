/** A picture drawn from numbers. */

import { element } from "./elements.js";
import { number } from "./numbers.js";

/** Draw channels of rows of numbers: one is grey, three are red, green and blue. */
export function picture(channels) {
  const [height, width] = [channels[0].length, channels[0][0].length];
  const [lowest, highest] = bounds(channels);
  const canvas = element("canvas", { width, height, class: "image", role: "img", "aria-label": `Image of ${width} by ${height} pixels` });
  paint(canvas, channels, (value) => (highest > lowest ? (255 * (value - lowest)) / (highest - lowest) : 0));
  const scale = `${width} × ${height} pixels; black is ${number(lowest)}, ${channels.length === 3 ? "full" : "white"} is ${number(highest)}`;
  return element("figure", {}, canvas, element("figcaption", { class: "quiet small" }, scale));
}

function bounds(channels) {
  let [lowest, highest] = [Infinity, -Infinity];
  for (const value of channels.flat(2)) {
    lowest = Math.min(lowest, value);
    highest = Math.max(highest, value);
  }
  return [lowest, highest];
}

function paint(canvas, channels, brightness) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let pixel = 0; pixel < canvas.width * canvas.height; pixel += 1) {
    const [row, column] = [Math.floor(pixel / canvas.width), pixel % canvas.width];
    for (let colour = 0; colour < 3; colour += 1) {
      const channel = channels[channels.length === 3 ? colour : 0];
      image.data[4 * pixel + colour] = brightness(channel[row][column]);
    }
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
