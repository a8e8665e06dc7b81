/** Numbers and times as people read them. */

/** Give a number with so many significant digits as matter. */
export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value === 0 || Number.isInteger(value)) return String(value).replace("-", "−");
  const magnitude = Math.abs(value);
  const text = magnitude >= 1e6 || magnitude < 1e-4 ? value.toExponential(digits - 1) : fixed(value, digits);
  return text.replace("-", "−");
}

function fixed(value, digits) {
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1;
  const text = value.toFixed(Math.min(8, Math.max(0, digits - whole)));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Give a share as a percentage, which no line break parts. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = share * 100;
  if (value > 0 && value < 0.1) return "< 0.1\u00a0%";
  return `${value.toFixed(value >= 9.95 ? 0 : 1).replace(/\.0$/, "")}\u00a0%`;
}

/** Give a duration in its fitting unit. */
export function duration(seconds) {
  if (seconds < 1e-3) return `${number(seconds * 1e6)} µs`;
  if (seconds < 1) return `${number(seconds * 1e3)} ms`;
  if (seconds < 120) return `${number(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

/** Give how long ago a moment was; the clocks of server and browser may differ a little. */
export function ago(moment) {
  const seconds = Math.round((Date.now() - Date.parse(moment)) / 1000);
  return seconds < 10 ? "just now" : `${duration(seconds)} ago`;
}

/** Give the time of day of a moment. */
export function clock(moment) {
  return new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** Give a count with its noun. */
export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
