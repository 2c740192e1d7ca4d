// The page's engine: runs of a plan for the knobs as they stand, and what they add up to.
"use strict";

/** Make an engine for the first `runs` runs of the page's data; its knobs may be changed between simulations. */
function makeEngine(data, runs) {
  const tables = readTables(data), draws = makeDraws(tables, runs);
  const knobs = newKnobs(data.specs), state = newState(tables, data);
  const runner = makeRuns(tables, draws, knobs, state);
  const { node_i } = tables, nw = tables.node_i_width, S = STATE_COLUMNS, V = VISIT_COLUMNS;
  const { sf, si, visited, counter, stepStamp } = state;
  const used = new Float64Array(NUSE);

  function newTotals(room) {
    return {
      runs: 0,
      e2e: new Float64Array(room), ttft: new Float64Array(room), cost: new Float64Array(room),
      outcome: new Int32Array(room), tokens: new Float64Array(4 * room), counts: new Float64Array(2 * room),
      critical: new Float64Array(data.steps * NCOMP), criticalRuns: new Float64Array(data.steps),
    };
  }

  /** Tokens and calls of the run at hand go into `used`; returns whether a fallback answered, and the first token. */
  function addVisits(answer) {
    let ttft = Infinity, fallback = false;
    used.fill(0);
    for (let i = 0; i < counter[K_VISITED]; i++) {
      const node = visited[i], status = si[node * V + V_STATUS];
      if (node_i[node * nw + N_KIND] !== CALL || status === SKIPPED || status === WIPED) continue;
      for (let c = 0; c < NUSE; c++) used[c] += sf[node * S + F_USE + c];
      fallback = fallback || (si[node * V + V_FALLBACK] === 1 && status === DONE);
      if (node_i[node * nw + N_FLAGS] & STREAM && runner.stands(node)) {
        runner.heldBack(node, sf[node * S + F_FIRST], true);
        ttft = Math.min(ttft, runner.held.at);
      }
    }
    if (ttft === Infinity && answer >= 0 && (node_i[answer * nw + N_FLAGS] & (BILLED | NO_STREAM)) === BILLED) {
      runner.heldBack(answer, sf[answer * S + F_FIRST], true);
      ttft = runner.held.at;
    }
    return { ttft, fallback };
  }

  /** Walk the critical path back from a visit; `each` is told the nodes whose own seconds lie on it. */
  function walkBack(node, each) {
    while (node >= 0) {
      const kind = node_i[node * nw + N_KIND];
      if ((kind === CALL || kind === END) && si[node * V + V_STATUS] !== SKIPPED) each(node, kind);
      let code = si[node * V + V_CRIT];
      while (code >= 0 && code & 1) code = si[(code >> 1) * V + V_CRIT];
      node = code >= 0 ? code >> 1 : -1;
    }
  }

  function add(totals, number) {
    const found = runner.simulate(number), at = totals.runs++;
    const { ttft, fallback } = addVisits(found.answer);
    let outcome = found.outcome;
    if (outcome === ANSWERED) {
      if (fallback) outcome = FALLBACK;
      if (found.answer >= 0 && node_i[found.answer * nw + N_LABEL] >= 0) outcome = node_i[found.answer * nw + N_LABEL];
    }
    totals.e2e[at] = found.e2e;
    totals.ttft[at] = Math.min(ttft, found.e2e);
    totals.outcome[at] = outcome;
    totals.cost[at] = used[U_COST];
    [U_INPUT, U_CACHED, U_OUTPUT, U_REASONING].forEach((column, i) => { totals.tokens[4 * at + i] = used[column]; });
    totals.counts[2 * at] = used[U_CALLS];
    totals.counts[2 * at + 1] = used[U_ATTEMPTS];
    walkBack(found.endNode, (node, kind) => {
      const step = node_i[node * nw + N_STEP];
      if (stepStamp[step] !== counter[K_STAMP]) {
        stepStamp[step] = counter[K_STAMP];
        totals.criticalRuns[step] += 1;
      }
      if (kind !== CALL) return;
      for (let c = 0; c < NCOMP; c++) totals.critical[step * NCOMP + c] += sf[node * S + F_COMP + c];
    });
  }

  /** Simulate runs from where `totals` stands up to `until`, or until the clock passes `deadline` (ms). */
  function advance(totals, until, deadline = Infinity) {
    while (totals.runs < until) {
      add(totals, totals.runs);
      if (deadline < Infinity && performance.now() > deadline) break;
    }
    return totals;
  }

  const nodesOfStep = Array.from({ length: data.steps }, () => []);
  for (let node = 0; node < tables.node_p.length; node++) {
    if (node_i[node * nw + N_KIND] === CALL) nodesOfStep[node_i[node * nw + N_STEP]].push(node);
  }

  /** The visits of one run, as a timeline; each is visit `number` of the `of` that its step has in the plan. */
  function trace(number) {
    const found = runner.simulate(number), critical = new Set();
    const { ttft } = addVisits(found.answer);
    walkBack(found.endNode, (node) => critical.add(node));
    const visits = [];
    for (let i = 0; i < counter[K_VISITED]; i++) {
      const node = visited[i], status = si[node * V + V_STATUS], kind = node_i[node * nw + N_KIND];
      if (kind !== CALL || status === SKIPPED || status === WIPED) continue;
      const use = node * S + F_USE, step = node_i[node * nw + N_STEP], all = nodesOfStep[step];
      visits.push({
        node, step, number: all.indexOf(node) + 1, of: all.length, status, critical: critical.has(node),
        start: sf[node * S + F_START], end: sf[node * S + F_END],
        seconds: Array.from(sf.subarray(node * S + F_COMP, node * S + F_COMP + NCOMP)),
        input: sf[use + U_INPUT], output: sf[use + U_OUTPUT] + sf[use + U_REASONING], attempts: sf[use + U_ATTEMPTS],
      });
    }
    return { run: number, e2e: found.e2e, ttft: Math.min(ttft, found.e2e), visits };
  }

  return { data, runs, tables, knobs, newTotals, advance, trace };
}
