// Puts the page to work: check against Python, then answer each change at once and refine while nothing happens.
"use strict";

const FIRST_ANSWER = 35; // ms of simulation before a change is shown
const SLICE = 24; // ms of simulation at a time afterwards
const TOLERANCE = 1e-9;

function begin() {
  const page = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const nodes = page.engine.tables.node_p.data.length;
  const runs = Math.max(300, Math.min(4000, Math.round(6e5 / nodes)));
  const engine = makeEngine(page.engine, runs);
  const specs = describeSpecs(page, engine.tables), settings = new Settings(page.start);
  let totals = engine.newTotals(runs), start = null, generation = 0, chosenRun = 0.5, waiting = false, asked = performance.now();

  /** Whether the page's numbers are Python's, for the first runs of each scenario. */
  function check() {
    let worst = 0;
    page.checks.forEach((expected, k) => {
      engine.knobs.choice.fill(k);
      const found = engine.advance(engine.newTotals(expected.length), expected.length);
      expected.forEach((want, i) => { worst = Math.max(worst, Math.abs(found.e2e[i] - want) / Math.max(1, Math.abs(want))); });
    });
    return worst;
  }

  function lostShare(t) {
    let lost = 0;
    for (let i = 0; i < t.runs; i++) if ([RUN_FAILED, DEADLINE_EXCEEDED, RUN_BUDGET].includes(t.outcome[i])) lost++;
    return lost / t.runs;
  }

  function figures(t, count) {
    const e2e = t.e2e.slice(0, count).sort(), ttft = t.ttft.slice(0, count).sort();
    return {
      e2e, p50: quantile(e2e, 0.5), p95: quantile(e2e, 0.95), ttft: quantile(ttft, 0.5),
      cost: page.priced ? 1000 * mean(t.cost.subarray(0, count)) : null, lost: lostShare({ ...t, runs: count }),
    };
  }

  function tile(name, value, now, before, write, lessIsBetter = true) {
    const delta = html("div", { class: "delta" });
    if (before !== null && Math.abs(now - before) > 1e-12) {
      const change = before > 0 ? now / before - 1 : Infinity;
      delta.textContent = `${change < 0 ? "\u2212" : "+"}${isFinite(change) ? percent(Math.abs(change)) : ""} from ${write(before)}`;
      delta.className = `delta ${(now < before) === lessIsBetter ? "better" : "worse"}`;
    } else if (before !== null) {
      delta.textContent = "as at the start";
    }
    return html("div", { class: "tile" }, html("div", { class: "what" }, name), html("data", { class: "value", value: now }, value), delta);
  }

  function drawTiles(now, before) {
    const s = (x) => `${seconds(x)} s`;
    const tiles = [
      tile("p50, half within", s(now.p50), now.p50, before.p50, s),
      tile("p95, 95 % within", s(now.p95), now.p95, before.p95, s),
      tile("first token, p50", s(now.ttft), now.ttft, before.ttft, s),
    ];
    if (now.cost !== null) tiles.push(tile("1,000 answers", dollars(now.cost), now.cost, before.cost, dollars));
    if (now.lost > 0 || before.lost > 0) tiles.push(tile("without an answer", percent(now.lost), now.lost, before.lost, percent));
    at("tiles").replaceChildren(...tiles);
  }

  /** Show the runs done so far; what is slow to draw waits until all are done. */
  function render(done) {
    const count = totals.runs, now = figures(totals, count), before = start === null ? now : figures(start, count);
    drawTiles(now, before);
    drawDistribution(at("distribution"), now.e2e, before.e2e);
    const rows = stackRows(page, totals), startRows = start === null ? rows : stackRows(page, start);
    drawStack(at("stack"), page, rows, startRows);
    drawHeat();
    if (!done) return;
    const change = settings.scopes.size === 0 ? "" : ` At the start: p50 ${seconds(before.p50)} s, p95 ${seconds(before.p95)} s.`;
    at("said").textContent = `p50 ${seconds(now.p50)} s, p95 ${seconds(now.p95)} s over ${count.toLocaleString("en-US")} runs.${change}`;
    at("stack-table").replaceChildren(stackTable(page, rows));
    at("stack-legend").replaceChildren(legend(rows));
    drawRun();
  }

  function legend(rows) {
    const list = html("ul", { class: "legend", "aria-label": "Components" });
    page.components.forEach((name, c) => {
      if (!rows.some((row) => row.parts[c] > 0.002 * row.total)) return;
      const sign = svg("svg", { width: 12, height: 12, "aria-hidden": "true" });
      sign.append(svg("rect", { class: `c-${name}`, width: 12, height: 12 }));
      list.append(html("li", {}, sign, name));
    });
    return list;
  }

  function drawRun() {
    const order = Array.from(totals.e2e.subarray(0, totals.runs).keys()).sort((a, b) => totals.e2e[a] - totals.e2e[b]);
    const trace = engine.trace(order[Math.min(order.length - 1, Math.max(0, Math.ceil(chosenRun * order.length) - 1))]);
    const left = drawWaterfall(at("waterfall"), page, trace);
    at("run-note").textContent = `Run ${trace.run}: ${seconds(trace.e2e)} s. What the answer did not wait for is pale.` + (left > 0 ? ` The ${left} shortest are left out.` : "");
  }

  function drawHeat() {
    const total = totals.critical.reduce((a, b) => a + b, 0);
    for (const node of heatNodes) {
      let sum = 0;
      for (let c = 0; c < NCOMP; c++) sum += totals.critical[node.step * NCOMP + c];
      node.heat.setAttribute("width", total > 0 ? (node.width * sum / total).toFixed(1) : 0);
    }
  }

  const heatNodes = [];
  function wireGraph() {
    for (const node of document.querySelectorAll("#graph .node")) {
      const step = page.steps.indexOf(node.dataset.step), spec = specs.find((item) => item.step === step);
      const back = node.querySelector(".back");
      heatNodes.push({ step, heat: node.querySelector(".heat"), width: Number(back.getAttribute("width")) });
      if (!spec) continue;
      node.setAttribute("tabindex", "0");
      node.setAttribute("role", "button");
      node.setAttribute("aria-label", `${spec.name}: change it in the what-ifs`);
      const choose = () => {
        controls.choose(spec.spec);
        at("whatif").scrollIntoView();
        controls.scopes.focus({ preventScroll: true });
      };
      node.addEventListener("click", choose);
      node.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose();
      });
    }
    at("graph-note").textContent += " The line in a step is its share of the mean critical path as changed above; choose a step to change it.";
  }

  function refine(mine) {
    if (mine !== generation) return;
    engine.advance(totals, runs, performance.now() + SLICE);
    if (totals.runs < runs) {
      setTimeout(refine, 0, mine);
      return;
    }
    if (start === null) start = totals;
    render(true);
    document.body.dataset.state = "done";
  }

  function restart() {
    waiting = false;
    const began = performance.now();
    document.body.dataset.state = "busy";
    settings.apply(engine.knobs, specs);
    totals = engine.newTotals(runs);
    engine.advance(totals, runs, began + FIRST_ANSWER);
    render(false);
    document.body.dataset.answered = (performance.now() - asked).toFixed(1);
    document.body.dataset.runs = totals.runs;
    generation += 1;
    setTimeout(refine, 60, generation);
  }

  function changed() {
    if (waiting) return;
    waiting = true;
    asked = performance.now();
    requestAnimationFrame(restart);
  }

  function refuse(text) {
    at("trouble").textContent = text;
    at("trouble").hidden = false;
    document.body.dataset.state = "refused";
  }

  const worst = check();
  if (!(worst <= TOLERANCE)) {
    refuse("The what-ifs are switched off: this page computes other numbers than the simulator for this workflow "
      + `(up to ${worst.toExponential(1)} relative). The tables stand, they are the simulator's own.`);
    return;
  }
  at("check").textContent = `Checked as this page opened: ${page.checks.map((c) => c.length).reduce((a, b) => a + b, 0)} of its runs agree with the simulator to ${TOLERANCE.toExponential(0)}.`;
  at("lab").hidden = false;
  at("run").hidden = false;
  const controls = new Controls(at("controls"), page, specs, settings, changed);
  wireGraph();
  for (const [id, p] of [["typical", 0.5], ["slow", 0.95]]) {
    at(id).addEventListener("click", () => {
      chosenRun = p;
      for (const other of ["typical", "slow"]) at(other).setAttribute("aria-pressed", String(other === id));
      drawRun();
    });
  }
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width && start !== null) {
      width = window.innerWidth;
      render(true);
    }
  });
  restart();
}

function wireTheme() {
  const button = document.getElementById("theme"), names = ["automatic", "light", "dark"];
  let now = 0;
  button.hidden = false;
  button.addEventListener("click", () => {
    now = (now + 1) % 3;
    if (now === 0) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = names[now];
    button.textContent = `Theme: ${names[now]}`;
  });
}

function wirePrint() {
  const closed = [];
  window.addEventListener("beforeprint", () => {
    for (const item of document.querySelectorAll("details.source:not([open])")) {
      closed.push(item);
      item.open = true;
    }
  });
  window.addEventListener("afterprint", () => {
    while (closed.length) closed.pop().open = false;
  });
}

wireTheme();
wirePrint();
begin();
