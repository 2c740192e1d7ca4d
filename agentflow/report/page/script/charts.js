// The charts that move with the what-ifs: distribution, stack by step, waterfall of a run.
"use strict";

/** Room for names (px): as long as the longest, within reason. */
function roomFor(names, width) {
  const longest = names.reduce((most, name) => Math.max(most, name.length), 0);
  return Math.min(7 * longest + 18, 250, width * 0.36);
}

const MOST_BARS = 24;
const MOST_VISITS = 60;

function frame(box, height, label) {
  const width = Math.max(280, box.clientWidth);
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  box.replaceChildren(picture);
  return { picture, width };
}

/** Share of the runs that are answered within t: now, and at the start. */
function drawDistribution(box, now, start) {
  const p50 = quantile(now, 0.5), p95 = quantile(now, 0.95);
  const tall = box.clientWidth < 480 ? 22 : 0;
  const { picture, width } = frame(box, 260 + tall, `Share of runs answered within a time: half within ${seconds(p50)} s, 95 % within ${seconds(p95)} s`);
  const left = 54, right = width - 14, top = 26 + tall, bottom = 222 + tall;
  const low = Math.min(now[0], start[0]), high = Math.max(quantile(now, 0.995), quantile(start, 0.995), low * 1.01 + 1e-9);
  const log = low > 0 && high / Math.max(quantile(start, 0.05), 1e-9) > 30;
  const from = log ? low : 0;
  const scale = log
    ? (x) => left + (right - left) * Math.log(Math.max(x, low) / low) / Math.log(high / low)
    : (x) => left + (right - left) * (x - from) / (high - from);
  const up = (share) => bottom - (bottom - top) * share;
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    picture.append(svg("line", { class: "gridline", x1: left, x2: right, y1: up(share), y2: up(share) }));
    picture.append(svg("text", { class: "soft", x: left - 8, y: up(share) + 4, "text-anchor": "end" }, `${100 * share} %`));
  }
  const marks = log ? logTicks(low, high) : ticks(from, high, Math.max(3, Math.floor(width / 110)));
  secondsAxis(picture, scale, marks, left, right, top, bottom, "time to the answer (s)" + (log ? ", logarithmic" : ""));
  picture.append(svg("text", { class: "soft", x: 2, y: 12 }, "share of the runs"));
  const curve = (ordered, name) => {
    const step = Math.max(1, Math.floor(ordered.length / 300)), points = [`M${scale(ordered[0]).toFixed(1)} ${up(0)}`];
    for (let i = 0; i < ordered.length && ordered[i] <= high; i += step) {
      points.push(`L${scale(ordered[i]).toFixed(1)} ${up((i + 0.5) / ordered.length).toFixed(1)}`);
    }
    picture.append(svg("path", { class: name, d: points.join("") }));
  };
  curve(start, "start");
  curve(now, "now");
  [[0.5, p50, "p50"], [0.95, p95, "p95"]].forEach(([share, x, name]) => {
    const near = scale(x) > right - 96;
    picture.append(svg("line", { class: "guide", x1: scale(x), x2: scale(x), y1: up(share), y2: bottom }));
    picture.append(svg("circle", { class: "dot", cx: scale(x), cy: up(share), r: 4 }));
    picture.append(svg("text", { x: scale(x) + (near ? -8 : 8), y: up(share) + 15, "text-anchor": near ? "end" : "start" }, `${name} ${seconds(x)} s`));
  });
  const key = [["now", "as changed"], ["start", "at the start"]];
  key.forEach(([name, text], i) => {
    const x = right - 226 + 118 * i, y = width < 480 ? 30 : 8;
    picture.append(svg("line", { class: name, x1: x, x2: x + 24, y1: y, y2: y }));
    picture.append(svg("text", { class: "soft", x: x + 30, y: y + 4 }, text));
  });
}

/** Rows of the stack: steps with their seconds by component, the smallest of many put together. */
function stackRows(page, totals) {
  const rows = page.steps.map((name, step) => {
    const parts = page.components.map((_, c) => totals.critical[step * NCOMP + c] / totals.runs);
    return { name, step, parts, total: parts.reduce((a, b) => a + b, 0) };
  }).filter((row) => row.total > 0);
  if (rows.length <= MOST_BARS) return rows;
  const least = rows.map((row) => row.total).sort((a, b) => b - a)[MOST_BARS - 1];
  const shown = rows.filter((row) => row.total >= least).slice(0, MOST_BARS), rest = rows.filter((row) => !shown.includes(row));
  const parts = page.components.map((_, c) => rest.reduce((sum, row) => sum + row.parts[c], 0));
  return [...shown, { name: `${rest.length} smaller steps`, step: -1, parts, total: parts.reduce((a, b) => a + b, 0) }];
}

function drawStack(box, page, rows, startRows) {
  const before = new Map(startRows.map((row) => [row.name, row.total]));
  const whole = rows.reduce((sum, row) => sum + row.total, 0), startWhole = startRows.reduce((sum, row) => sum + row.total, 0);
  const high = 26, { picture, width } = frame(box, rows.length * high + 64, `Mean critical path by step, ${seconds(whole)} s in all`);
  const left = roomFor(rows.map((row) => row.name), width), right = width - 74, top = 16, bottom = top + rows.length * high + 8;
  const most = Math.max(whole, startWhole, 1e-9), scale = (x) => left + (right - left) * x / most;
  secondsAxis(picture, scale, ticks(0, most, Math.max(3, Math.floor(width / 130))), left, right, top, bottom, "time since the request (s)" + (width > 560 ? ", mean parts laid end to end" : ""));
  picture.append(svg("text", { class: "soft", x: left - 10, y: 12, "text-anchor": "end" }, "step"));
  let at = 0;
  rows.forEach((row, i) => {
    const y = top + i * high + 5, name = svg("text", { x: left - 10, y: y + 13, "text-anchor": "end" }, cut(row.name, Math.floor((left - 10) / 7)));
    name.append(svg("title", {}, row.name));
    picture.append(name);
    const was = before.get(row.name);
    if (was !== undefined && Math.abs(was - row.total) > 0.002 * most) {
      picture.append(svg("rect", { class: "ghost", x: scale(at), y: y - 2.5, width: Math.max(1, scale(was) - left), height: 21 }));
    }
    row.parts.forEach((part, c) => {
      if (part <= 0) return;
      const piece = svg("rect", { class: `part c-${page.components[c]}`, x: scale(at), y, width: Math.max(0.5, scale(part) - left), height: 16 });
      piece.append(svg("title", {}, `${row.name}, ${page.components[c]}: ${seconds(part)} s`));
      picture.append(piece);
      at += part;
    });
    const end = Math.max(scale(at), was === undefined ? 0 : scale(at - row.total) + scale(was) - left);
    picture.append(svg("text", { class: "soft", x: end + 7, y: y + 13 }, `${seconds(row.total)} s`));
  });
}

function stackTable(page, rows) {
  const names = page.components.filter((_, c) => rows.some((row) => row.parts[c] > 0));
  const head = html("tr", {}, html("th", { scope: "col" }, "Step"));
  for (const name of [...names, "sum"]) head.append(html("th", { scope: "col", class: "n" }, `${name} (s)`));
  const body = html("tbody");
  for (const row of rows) {
    const line = html("tr", {}, html("th", { scope: "row" }, row.name));
    for (const name of names) {
      const part = row.parts[page.components.indexOf(name)];
      line.append(html("td", { class: "n" }, part > 0 ? seconds(part) : ""));
    }
    line.append(html("td", { class: "n strong" }, seconds(row.total)));
    body.append(line);
  }
  return html("table", {}, html("thead", {}, head), body);
}

/** The step's path, with which of its visits in the plan it is, where there are several. */
function visitName(page, visit) {
  return page.steps[visit.step] + (visit.of > 1 ? ` #${visit.number}` : "");
}

function drawWaterfall(box, page, trace) {
  let visits = trace.visits.slice().sort((a, b) => a.start - b.start || a.node - b.node);
  const all = visits.length;
  if (all > MOST_VISITS) {
    const kept = new Set(visits.slice().sort((a, b) => (b.end - b.start) - (a.end - a.start)).slice(0, MOST_VISITS));
    visits = visits.filter((visit) => kept.has(visit));
  }
  const high = 22, { picture, width } = frame(box, visits.length * high + 60, `Timeline of run ${trace.run}: ${all} calls and tools, answered after ${seconds(trace.e2e)} s`);
  const left = roomFor(visits.map((visit) => visitName(page, visit)), width), right = width - 64, top = 16, bottom = top + visits.length * high + 6;
  const most = Math.max(trace.e2e, ...visits.map((visit) => visit.end), 1e-9), scale = (x) => left + (right - left) * x / most;
  secondsAxis(picture, scale, ticks(0, most, Math.max(3, Math.floor(width / 130))), left, right, top, bottom, "time since the request (s)");
  picture.append(svg("text", { class: "soft", x: left - 10, y: 10, "text-anchor": "end" }, "step"));
  const order = page.components.map((name, c) => [name, c]);
  order.unshift(order.splice(page.components.indexOf("wait"), 1)[0]); // a hedge's wait comes first
  visits.forEach((visit, i) => {
    const y = top + i * high + 4, facts = [visitName(page, visit), `${seconds(visit.start)} s to ${seconds(visit.end)} s`];
    if (visit.input) facts.push(`${Math.round(visit.input)} tokens in, ${Math.round(visit.output)} out`);
    if (visit.attempts > 1) facts.push(`${visit.attempts} attempts`);
    if (visit.status !== DONE) facts.push(["", "done", "skipped", "caught", "failed", "absorbed", "cancelled"][visit.status]);
    const group = svg("g", visit.critical ? {} : { class: "off" });
    group.append(svg("title", {}, facts.join(", ")));
    group.append(svg("text", { x: left - 10, y: y + 12, "text-anchor": "end" }, cut(visitName(page, visit), Math.floor((left - 10) / 7))));
    let at = visit.start;
    for (const [name, c] of order) {
      if (visit.seconds[c] <= 0) continue;
      group.append(svg("rect", { class: `part c-${name}`, x: scale(at), y, width: Math.max(0.5, scale(at + visit.seconds[c]) - scale(at)), height: 15 }));
      at += visit.seconds[c];
    }
    group.append(svg("text", { class: "soft", x: scale(visit.end) + 6, y: y + 12 }, `${seconds(visit.end - visit.start)} s`));
    picture.append(group);
  });
  for (const [x, name] of [[trace.e2e, "answer"]]) {
    picture.append(svg("line", { class: "guide", x1: scale(x), x2: scale(x), y1: top - 4, y2: bottom }));
    picture.append(svg("text", { x: scale(x), y: 10, "text-anchor": "end" }, `${name} ${seconds(x)} s`));
  }
  return all - visits.length;
}
