// What all charts share: SVG elements, scales, ticks, how numbers are written.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element; text is set as text, never as markup. */
function svg(name, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

/** Make an HTML element with children; texts are set as text, never as markup. */
function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Seconds with about three figures, as the package's tables write them. */
function seconds(x) {
  const size = Math.abs(x);
  if (size >= 99.95) return Math.round(x).toLocaleString("en-US");
  return x.toFixed(size >= 9.995 ? 1 : size >= 0.0995 ? 2 : 3);
}

function dollars(x) {
  if (x === 0) return "$0";
  return "$" + (x >= 100 ? Math.round(x).toLocaleString("en-US") : x >= 0.1 ? x.toFixed(2) : x.toPrecision(2));
}

function percent(x) {
  const value = 100 * x;
  return (value === 0 || value === 100 ? value.toFixed(0) : value.toFixed(1)) + " %";
}

function cut(text, most) {
  return text.length <= most ? text : "\u2026" + text.slice(text.length - most + 1);
}

/** Round numbers for an axis from `low` to `high`, about `count` of them. */
function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999) || 10 * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9); i++) found.push(i * step);
  return found;
}

/** Ticks 1, 2, 5 of each decade, fewer over many decades. */
function logTicks(low, high) {
  const found = [], decades = Math.log10(high / low);
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const n of decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5]) {
      const x = n * 10 ** power;
      if (x >= low * 0.999 && x <= high * 1.001) found.push(x);
    }
  }
  return found;
}

/** A number on an axis, without trailing zeros. */
function tickText(x) {
  return x >= 1000 ? Math.round(x).toLocaleString("en-US") : String(+x.toPrecision(3));
}

/** An x axis of seconds with its grid and its title. */
function secondsAxis(into, scale, marks, left, right, top, bottom, title) {
  for (const x of marks) {
    into.append(svg("line", { class: "gridline", x1: scale(x), x2: scale(x), y1: top, y2: bottom }));
    into.append(svg("text", { class: "soft", x: scale(x), y: bottom + 16, "text-anchor": "middle" }, tickText(x)));
  }
  into.append(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  into.append(svg("text", { class: "soft", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, title));
}

/** Quantile of ascending values, interpolated linearly between neighbours (numpy's default). */
function quantile(ordered, p) {
  const position = (ordered.length - 1) * p, lower = Math.floor(position);
  const left = ordered[lower], right = ordered[Math.min(lower + 1, ordered.length - 1)];
  return left + (right - left) * (position - lower);
}

function mean(values) {
  let sum = 0;
  for (const x of values) sum += x;
  return sum / values.length;
}
