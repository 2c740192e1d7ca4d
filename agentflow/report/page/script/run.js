// One run: the walk over the plan's nodes in topological order, with joins, composites and cuts. A port of the kernel.
"use strict";

function makeRuns(tables, draws, knobs, state) {
  const { node_i, node_p, pred_i, ref_i, ref_f, lists, losers, guards, spec_i, spec_f, place_i, route_f, totals } = tables;
  const nw = tables.node_i_width, ew = tables.pred_i_width, sw = tables.spec_i_width, sfw = tables.spec_f_width;
  const pw = tables.place_i_width, rw = tables.ref_i_width;
  const { sf, si, visited, redo, failT, failNode, slotT, slotNode, exported, counter, result } = state;
  const n = node_p.length;
  const calls = makeCalls(tables, draws, knobs, state);
  const [deadline, tokenBound, usdBound, named] = totals;
  const S = STATE_COLUMNS, V = VISIT_COLUMNS;
  let run = 0, stamp = 0, runStamp = 0;
  const decided = { outcome: 0, cut: Infinity, e2e: 0, endNode: -1, answer: -1 };

  // --- joins ---
  const edge = new Float64Array(3); // resolved at, active (0 or 1), revoked at

  function readEdge(e) {
    const p = pred_i[e * ew], kind = pred_i[e * ew + 1], status = si[p * V + V_STATUS];
    let cut = sf[p * S + F_CUT];
    const failed = status === CAUGHT || status === FAILED || status === ABSORBED;
    if (kind === EDGE_NEED) {
      edge[0] = sf[p * S + F_END];
      edge[1] = status === DONE ? 1 : 0;
    } else if (kind === EDGE_CATCH) {
      edge[0] = sf[p * S + F_END];
      edge[1] = status === CAUGHT && ((pred_i[e * ew + 2] >> si[p * V + V_ERR]) & 1) === 1 ? 1 : 0;
    } else if (kind === EDGE_BESIDE || kind <= EDGE_BESIDE_ROUTE) {
      if (failed) cut = Math.min(cut, sf[p * S + F_END]);
      const taken = kind === EDGE_BESIDE || si[p * V + V_ROUTE] === EDGE_BESIDE_ROUTE - kind;
      edge[0] = sf[p * S + F_START];
      edge[1] = status !== SKIPPED && taken ? 1 : 0;
    } else {
      edge[0] = sf[p * S + F_END];
      edge[1] = status === DONE && si[p * V + V_ROUTE] === kind ? 1 : 0;
    }
    edge[2] = cut;
  }

  const join = { at: 0, edge: -1, verdict: 0, cut: Infinity, why: -1 };

  function joinAll(lo, hi) {
    let r = 0, decides = -1, active = lo === hi;
    for (let e = lo; e < hi; e++) {
      readEdge(e);
      active = active || edge[1] === 1;
      if (edge[0] > r || decides < 0) {
        r = edge[0]; decides = e;
      }
    }
    join.at = r; join.edge = decides; join.verdict = active ? 1 : 0; join.cut = Infinity; join.why = -1;
  }

  const standing = { count: 0, cut: Infinity };

  function activeAt(lo, hi, r) {
    standing.count = 0; standing.cut = Infinity;
    for (let e = lo; e < hi; e++) {
      readEdge(e);
      if (edge[1] === 1 && edge[0] <= r && edge[2] > r) {
        standing.count += 1;
        standing.cut = Math.min(standing.cut, edge[2]);
      }
    }
  }

  function kthTime(lo, hi, k) {
    let best = Infinity, decides = -1;
    for (let e = lo; e < hi; e++) {
      readEdge(e);
      const t = edge[0];
      if (edge[1] === 0 || edge[2] <= t || t >= best) continue;
      if (k > 1) {
        activeAt(lo, hi, t);
        if (standing.count < k) continue;
      }
      best = t; decides = e;
    }
    join.at = best; join.edge = decides;
  }

  function joinSlow(lo, hi, k) {
    if (k > 0) {
      kthTime(lo, hi, k);
      if (join.edge >= 0) {
        activeAt(lo, hi, join.at);
        join.verdict = 1; join.cut = standing.cut; join.why = -1;
        return;
      }
    }
    joinAll(lo, hi);
    activeAt(lo, hi, join.at);
    const count = standing.count;
    join.cut = standing.cut;
    if (k > 0) {
      let worst = -1, fail = -1;
      for (let e = lo; e < hi; e++) {
        const p = pred_i[e * ew];
        const stays = si[p * V + V_STATUS] === ABSORBED && sf[p * S + F_END] <= join.at && sf[p * S + F_CUT] > join.at;
        if (stays && sf[p * S + F_END] > worst) {
          worst = sf[p * S + F_END]; fail = e;
        }
      }
      if (fail >= 0) {
        join.verdict = 2;
        join.why = si[pred_i[fail * ew] * V + V_ERR];
        return;
      }
    }
    join.verdict = count > 0 || lo === hi ? 1 : 0;
  }

  /** How the critical path steps back over edge e: 2 x source, odd where the source runs beside. */
  function critCode(e) {
    return e < 0 ? -1 : pred_i[e * ew] * 2 + (pred_i[e * ew + 1] <= EDGE_BESIDE ? 1 : 0);
  }

  // --- what a visit does to the state ---
  function enter(node, start, crit, cut) {
    const at = counter[K_VISITED]++, f = node * S, v = node * V;
    visited[at] = node;
    sf[f + F_START] = start;
    sf[f + F_END] = start;
    sf[f + F_CUT] = cut;
    sf[f + F_OUT] = 0;
    si[v + V_CRIT] = crit;
    si[v + V_STAMP] = stamp;
    si[v + V_BACKEND] = -1;
    si[v + V_FALLBACK] = 0;
    si[v + V_AT] = at;
  }

  function noCall(node) {
    sf.fill(0, node * S + F_USE, node * S + S);
  }

  function finish(node, err, t) {
    sf[node * S + F_END] = t;
    si[node * V + V_ERR] = err;
    let status;
    if (err === SUCCESS) status = DONE;
    else if (err === CUT) status = CANCELLED;
    else if ((node_i[node * nw + N_CATCH] >> err) & 1) status = CAUGHT;
    else if (node_i[node * nw + N_FLAGS] & ABSORB) status = ABSORBED;
    else {
      status = FAILED;
      const scope = node_i[node * nw + N_SCOPE];
      if (t < failT[scope]) {
        failT[scope] = t; failNode[scope] = node;
      }
    }
    si[node * V + V_STATUS] = status;
  }

  function cutBack(node, t) {
    const f = node * S, v = node * V, status = si[v + V_STATUS];
    if (sf[f + F_END] <= t) return;
    if (status === WIPED) {
      sf[f + F_START] = t;
      sf[f + F_END] = t;
      return;
    }
    const ran = node_i[node * nw + N_KIND] === CALL && status !== SKIPPED && sf[f + F_END] > sf[f + F_START];
    if (ran && sf[f + F_START] < t) {
      redo[counter[K_REDO]++] = node;
      return;
    }
    if (sf[f + F_START] >= t) {
      si[v + V_STATUS] = WIPED;
      sf[f + F_START] = t;
      noCall(node);
    } else if (status !== SKIPPED) {
      si[v + V_STATUS] = CANCELLED;
    }
    sf[f + F_END] = t;
    sf[f + F_OUT] = 0;
  }

  function cutSince(position, t) {
    for (let i = position; i < counter[K_VISITED]; i++) cutBack(visited[i], t);
  }

  function stillFailed(scope, position) {
    const node = failNode[scope];
    if (si[node * V + V_STATUS] === FAILED && sf[node * S + F_END] === failT[scope]) return true;
    failT[scope] = Infinity; failNode[scope] = -1;
    for (let i = position; i < counter[K_VISITED]; i++) {
      const other = visited[i];
      const ours = node_i[other * nw + N_SCOPE] === scope && node_i[other * nw + N_KIND] !== IEND;
      if (ours && si[other * V + V_STATUS] === FAILED && sf[other * S + F_END] < failT[scope]) {
        failT[scope] = sf[other * S + F_END]; failNode[scope] = other;
      }
    }
    return failNode[scope] >= 0;
  }

  function cutLosers(node, t) {
    for (let i = node_i[node * nw + N_LOSER_LO]; i < node_i[node * nw + N_LOSER_HI]; i++) {
      if (si[losers[i] * V + V_STAMP] === stamp) cutBack(losers[i], t);
    }
  }

  function outputOf(v) {
    return v < n ? sf[v * S + F_OUT] : exported[v - n];
  }

  function exportTokens(node, first, last, ok) {
    let at = node_i[node * nw + N_LIST_LO];
    while (at < node_i[node * nw + N_LIST_HI]) {
      const target = lists[at], width = lists[at + 1], rows = lists[at + 2];
      at += 3;
      let x = 0;
      if (ok) for (let i = at + first * width; i < at + last * width; i++) x += outputOf(lists[i]);
      if (target < n) sf[target * S + F_OUT] = x;
      else exported[target - n] = x;
      at += rows * width;
    }
  }

  /** Add up anew what cancelled composites hand on, from a position of the list of visits on. */
  function exportAgain(position) {
    for (let i = position; i < counter[K_VISITED]; i++) {
      const node = visited[i];
      if (node_i[node * nw + N_KIND] !== END) continue;
      if (si[node * V + V_STATUS] !== CANCELLED && si[node * V + V_STATUS] !== WIPED) continue;
      const kind = node_i[node * nw + N_KIND2], last = si[node * V + V_ROUTE];
      let first = 0, stop = 1;
      if (kind === MAP) {
        stop = last;
      } else if (kind === LOOP) {
        first = last >= 0 ? last : node_i[node * nw + N_INDEX] - 1;
        stop = first + 1;
      }
      const out = sf[node * S + F_OUT];
      exportTokens(node, first, stop, true);
      sf[node * S + F_OUT] = out;
    }
  }

  function inputTokens(node, base, start) {
    const spec = calls.specOf(base), v = node * V;
    let x = spec_f[spec * sfw + S_MEDIA];
    const d = spec_i[spec * sw + S_INPUT];
    if (d >= 0) x += knobs.input[base] * draws.value(d, run, node, QV_INPUT);
    for (let i = node_i[node * nw + N_REF_LO]; i < node_i[node * nw + N_REF_HI]; i++) {
      const when = ref_i[i * rw + 1];
      if (si[when * V + V_STAMP] === si[v + V_STAMP] && sf[when * S + F_END] <= start && sf[when * S + F_CUT] > start) {
        x += ref_f[i] * outputOf(ref_i[i * rw]);
      }
    }
    const history = node_i[node * nw + N_HIST];
    if (history >= 0) x += sf[history * S + F_OUT];
    return whole(x);
  }

  function routeOf(base, node) {
    const spec = calls.specOf(base), lo = spec_i[spec * sw + S_ROUTE_LO], hi = spec_i[spec * sw + S_ROUTE_HI];
    if (lo === hi) return -1;
    const u = draws.uniform(run, node, QV_ROUTE);
    let i = lo;
    while (i < hi - 1 && u >= route_f[i]) i++;
    return i - lo;
  }

  // --- composites ---
  function skipComposite(begin, t, crit) {
    const end = node_i[begin * nw + N_MATE];
    enter(end, t, crit, Infinity);
    si[end * V + V_STATUS] = SKIPPED;
    exportTokens(end, 0, 0, false);
  }

  function doBegin(node) {
    const end = node_i[node * nw + N_MATE];
    failT[end] = Infinity;
    failNode[end] = -1;
    si[end * V + V_ROUTE] = -1;
    if (node_i[node * nw + N_KIND2] === MAP) {
      const count = whole(draws.value(node_i[node * nw + N_SPEC], run, node, QV_COUNT));
      si[end * V + V_ROUTE] = Math.min(count, node_i[end * nw + N_INDEX]);
      const lo = node_i[node * nw + N_SLOT_LO];
      for (let i = lo; i < lo + node_i[node * nw + N_SLOTS]; i++) {
        slotT[i] = sf[node * S + F_START];
        slotNode[i] = node;
      }
    }
  }

  function freeSlot(begin) {
    const lo = node_i[begin * nw + N_SLOT_LO];
    let best = lo;
    for (let i = lo + 1; i < lo + node_i[begin * nw + N_SLOTS]; i++) if (slotT[i] < slotT[best]) best = i;
    return best;
  }

  function tokensOf(node) {
    const use = node * S + F_USE;
    return sf[use + U_INPUT] + sf[use + U_OUTPUT] + sf[use + U_REASONING];
  }

  function spend(node, column) {
    return column === 0 ? tokensOf(node) : sf[node * S + F_USE + U_COST];
  }

  function doCheck(node) {
    const row = node * nw, end = node_i[row + N_MATE], begin = node_i[end * nw + N_MATE];
    joinAll(node_i[row + N_PRED_LO], node_i[row + N_PRED_HI]);
    const r = join.at, opening = node_i[row + N_PREV], cut = sf[begin * S + F_CUT];
    enter(node, r, critCode(join.edge), cut);
    if (node_i[opening * nw + N_KIND] === CHECK) sf[node * S + F_OUT] = sf[opening * S + F_OUT];
    for (let i = node_i[row + N_LIST_LO]; i < node_i[row + N_LIST_HI]; i++) sf[node * S + F_OUT] += outputOf(lists[i]);
    let goOn = draws.uniform(run, node, QV_GO_ON) < node_p[node];
    if (r - sf[opening * S + F_END] > deadline - r) goOn = false;
    if (si[node * V + V_FORCED] === runStamp || cut <= r) goOn = false;
    if (failT[end] < Infinity && stillFailed(end, si[begin * V + V_AT])) goOn = false;
    si[node * V + V_STATUS] = DONE;
    si[node * V + V_ROUTE] = goOn ? 1 : 0;
    si[end * V + V_ROUTE] = goOn ? -1 : node_i[row + N_INDEX];
    return goOn;
  }

  const closed = { at: 0, done: false };

  function doIend(node) {
    const row = node * nw, opening = node_i[row + N_MATE];
    joinAll(node_i[row + N_PRED_LO], node_i[row + N_PRED_HI]);
    let r = join.at, crit = critCode(join.edge), status = DONE, err = SUCCESS;
    if (failT[node] < Infinity && stillFailed(node, si[opening * V + V_AT])) {
      const inner = failNode[node];
      r = failT[node]; crit = inner * 2; err = si[inner * V + V_ERR];
      cutSince(si[opening * V + V_AT] + 1, r);
      status = FAILED;
    }
    closed.at = r; closed.done = false;
    if (counter[K_REDO] > 0) return;
    enter(node, r, crit, sf[opening * S + F_CUT]);
    si[node * V + V_STATUS] = status;
    si[node * V + V_ERR] = err;
    const begin = node_i[row + N_PREV];
    if (node_i[begin * nw + N_SLOTS] > 0) {
      const slot = si[opening * V + V_ROUTE];
      slotT[slot] = r;
      slotNode[slot] = node;
    }
    closed.done = true;
  }

  const kth = { at: 0, edge: -1 };

  function kthInstance(lo, hi, k, status) {
    let count = 0, last = -1, lastEdge = -1;
    for (let e = lo; e < hi; e++) {
      const p = pred_i[e * ew];
      if (si[p * V + V_STATUS] === status) {
        count += 1;
        if (sf[p * S + F_END] >= last) {
          last = sf[p * S + F_END]; lastEdge = e;
        }
      }
    }
    kth.at = Infinity; kth.edge = -1;
    if (count < k) return;
    if (count === k) {
      kth.at = last; kth.edge = lastEdge;
      return;
    }
    let floorT = -1, floorE = -1;
    for (let i = 0; i < k; i++) {
      let best = Infinity, at = -1;
      for (let e = lo; e < hi; e++) {
        const p = pred_i[e * ew], t = sf[p * S + F_END];
        const later = t > floorT || (t === floorT && e > floorE);
        if (si[p * V + V_STATUS] === status && later && t < best) {
          best = t; at = e;
        }
      }
      floorT = best; floorE = at;
    }
    kth.at = floorT; kth.edge = floorE;
  }

  function doEnd(node) {
    const row = node * nw, begin = node_i[row + N_MATE], kind = node_i[row + N_KIND2], last = si[node * V + V_ROUTE];
    let err = SUCCESS, first = 0, stop = 1, r, crit;
    if (kind === MAP) {
      const lo = node_i[row + N_PRED_LO], k = node_i[row + N_JOIN], need = k === 0 ? last : Math.min(k, last);
      r = sf[begin * S + F_END];
      kth.edge = -1;
      if (last > 0) {
        kthInstance(lo, lo + last, need, DONE);
        if (kth.edge < 0) {
          kthInstance(lo, lo + last, last - need + 1, FAILED);
          err = si[pred_i[kth.edge * ew] * V + V_ERR];
        }
        r = kth.at;
      }
      crit = kth.edge >= 0 ? critCode(kth.edge) : begin * 2;
      stop = last;
      if (err >= 0 || k > 0) cutSince(si[begin * V + V_AT] + 1, r);
    } else if (last >= 0) {
      const check = visited[counter[K_VISITED] - 1];
      r = sf[check * S + F_END]; crit = check * 2;
      first = last; stop = last + 1;
    } else {
      joinAll(node_i[row + N_PRED_LO], node_i[row + N_PRED_HI]);
      r = join.at; crit = critCode(join.edge);
      if (kind === LOOP) {
        first = node_i[row + N_INDEX] - 1;
        stop = first + 1;
      }
    }
    if (kind !== MAP && failT[node] < Infinity && stillFailed(node, si[begin * V + V_AT])) {
      const inner = failNode[node];
      r = failT[node]; crit = inner * 2; err = si[inner * V + V_ERR];
      cutSince(si[begin * V + V_AT] + 1, r);
    }
    closed.at = r; closed.done = false;
    if (counter[K_REDO] > 0) return;
    if (err >= 0 || kind === MAP) exportAgain(si[begin * V + V_AT] + 1);
    const cut = sf[begin * S + F_CUT];
    enter(node, sf[begin * S + F_START], crit, cut);
    if (cut <= r) {
      r = cut; err = CUT;
    }
    finish(node, err, r);
    exportTokens(node, first, stop, true);
    closed.at = r; closed.done = true;
  }

  // --- the end of a run ---
  const marks = new Int32Array(n + 1), todo = new Int32Array(n + 1);
  let mark = 0;

  /** Whether a visit was started through a chain of active edges from a guardrail. */
  function leadsTo(guard, node) {
    mark += 1;
    todo[0] = node;
    marks[node] = mark;
    for (let left = 1; left > 0;) {
      const v = todo[--left], row = v * nw, kind = node_i[row + N_KIND];
      const opening = kind === IBEGIN ? node_i[row + N_PREV] : kind === END ? node_i[row + N_MATE] : -1;
      if (opening >= 0 && marks[opening] !== mark) {
        marks[opening] = mark;
        todo[left++] = opening;
      }
      if (kind === END) continue; // what ended a composite did not start it
      for (let e = node_i[row + N_PRED_LO]; e < node_i[row + N_PRED_HI]; e++) {
        const p = pred_i[e * ew];
        readEdge(e);
        if (edge[1] === 0 || edge[0] > sf[v * S + F_START] || si[p * V + V_STAMP] !== stamp || marks[p] === mark) continue;
        if (p === guard) return true;
        marks[p] = mark;
        todo[left++] = p;
      }
    }
    return false;
  }

  const held = { at: 0, by: -1 };

  function heldBack(node, t, strict) {
    held.by = -1;
    for (let i = node_i[node * nw + N_GUARD_LO]; i < node_i[node * nw + N_GUARD_HI]; i++) {
      const g = guards[i];
      if (si[g * V + V_STAMP] !== stamp) continue;
      const status = si[g * V + V_STATUS];
      const withheld = strict && (status === CANCELLED || status === FAILED);
      const late = status === DONE && sf[g * S + F_END] > t;
      if (!(withheld || late) || !leadsTo(g, node)) continue;
      held.by = g;
      if (withheld) {
        held.at = Infinity;
        return;
      }
      t = sf[g * S + F_END];
    }
    held.at = t;
  }

  function stands(node) {
    return si[node * V + V_STATUS] === DONE && sf[node * S + F_CUT] === Infinity;
  }

  function answerNode() {
    if (named >= 0 && si[named * V + V_STAMP] === stamp && stands(named)) return named;
    let best = -1, at = -1;
    for (let i = 0; i < counter[K_VISITED]; i++) {
      const node = visited[i];
      if (node_i[node * nw + N_FLAGS] & TOP && sf[node * S + F_END] >= best && stands(node)) {
        best = sf[node * S + F_END]; at = node;
      }
    }
    return at;
  }

  /** Whether of two visits that start at moment t `node` is first: inside composites, then in the plan's order. */
  function settlesBefore(node, other, t) {
    let a = node, b = other;
    const scopeOf = (v) => node_i[v * nw + N_SCOPE];
    while (scopeOf(a) !== scopeOf(b)) { // up to the scope of both: an outer one closes later
      if (scopeOf(a) < scopeOf(b)) a = scopeOf(a);
      else b = scopeOf(b);
    }
    const x = a !== node ? node_i[a * nw + N_MATE] : a, y = b !== other ? node_i[b * nw + N_MATE] : b;
    const before = sf[x * S + F_START] < t, beside = sf[y * S + F_START] < t;
    return before !== beside ? before : a < b;
  }

  /** The visit whose failure ended a composite at moment t, if one did and the composite did not start then. */
  function failedFirst(closing, t) {
    let node = closing;
    while (si[node * V + V_STATUS] !== DONE) {
      const kind = node_i[node * nw + N_KIND];
      if (kind !== IEND && (kind !== END || sf[node * S + F_START] === t)) break;
      node = si[node * V + V_CRIT] >> 1;
    }
    return node;
  }

  /** Whether a visit that was cut at moment t had been by when `own` starts there: failures first, joins in order. */
  function cutBefore(node, own, t) {
    if (sf[node * S + F_CUT] === t) return true; // by a rejection
    let known = false;
    for (let i = 0; i < counter[K_VISITED]; i++) {
      const by = visited[i], status = si[by * V + V_STATUS];
      if (sf[by * S + F_START] !== t || status === SKIPPED || status === WIPED) continue;
      for (let j = node_i[by * nw + N_LOSER_LO]; j < node_i[by * nw + N_LOSER_HI]; j++) {
        if (losers[j] !== node) continue;
        known = true;
        if (settlesBefore(by, own, t)) return true;
      }
    }
    for (let scope = node_i[node * nw + N_SCOPE]; scope < n; scope = node_i[scope * nw + N_SCOPE]) {
      const status = si[scope * V + V_STATUS];
      if (sf[scope * S + F_END] !== t || status === CANCELLED || status === WIPED) continue;
      known = true;
      const cause = failedFirst(scope, t);
      if (sf[cause * S + F_START] < t || settlesBefore(cause, own, t)) return true;
    }
    return !known;
  }

  /** Whether a visit had ended when `own` starts, at moment t: ends come first, then joins in their order. */
  function endedBefore(node, own, t) {
    const end = sf[node * S + F_END];
    if (end !== t) return end < t;
    if (sf[node * S + F_START] === t) return node !== own && settlesBefore(node, own, t);
    return si[node * V + V_STATUS] !== CANCELLED || cutBefore(node, own, t);
  }

  /** What visits have used that had ended when `own` starts, at moment t. */
  function spentBy(t, column, own) {
    let x = 0;
    for (let i = 0; i < counter[K_VISITED]; i++) {
      const node = visited[i];
      if (node_i[node * nw + N_KIND] === CALL && endedBefore(node, own, t)) x += spend(node, column);
    }
    return x;
  }

  /** The first visit, in time, that starts over the budget (or loop that goes on over it), or -1. */
  function overBudget(until) {
    let best = until, at = -1;
    for (let i = 0; i < counter[K_VISITED]; i++) {
      const node = visited[i], t = sf[node * S + F_START], kind = node_i[node * nw + N_KIND];
      if (t > best || si[node * V + V_FORCED] === runStamp) continue;
      // what starts as the run is cut did not; what fails at once may be what cuts
      if (t === until && (si[node * V + V_STATUS] !== FAILED || sf[node * S + F_END] > t)) continue;
      if (t === best && at >= 0 && !settlesBefore(node, at, t)) continue;
      const billed = kind === CALL && node_i[node * nw + N_FLAGS] & BILLED && si[node * V + V_STATUS] !== SKIPPED;
      const goesOn = kind === CHECK && si[node * V + V_ROUTE] === 1;
      for (let column = 0; column < 2; column++) {
        const bound = column === 0 ? tokenBound : usdBound;
        if (bound === Infinity || !(billed || goesOn)) continue;
        const left = bound - spentBy(t, column, node);
        let over = left <= 0;
        if (goesOn) {
          let x = 0;
          const first = si[node_i[node * nw + N_PREV] * V + V_AT] + 1;
          for (let j = first; j < si[node * V + V_AT]; j++) x += spend(visited[j], column);
          over = x > left;
        }
        if (over) {
          best = t; at = node;
        }
      }
    }
    return at;
  }

  function lastEnd() {
    let t = 0;
    for (let i = 0; i < counter[K_VISITED]; i++) t = Math.max(t, sf[visited[i] * S + F_END]);
    return t;
  }

  function lastVisit() {
    let best = -1, at = -1;
    for (let i = 0; i < counter[K_VISITED]; i++) {
      const node = visited[i];
      if (sf[node * S + F_END] >= best && si[node * V + V_STATUS] !== WIPED) {
        best = sf[node * S + F_END]; at = node;
      }
    }
    return at;
  }

  function lastCut(t) {
    let best = -1, at = -1;
    for (let i = 0; i < counter[K_VISITED]; i++) {
      const node = visited[i];
      const ours = node_i[node * nw + N_KIND] === CALL && si[node * V + V_STATUS] === CANCELLED;
      if (ours && sf[node * S + F_END] === t && sf[node * S + F_START] >= best) {
        best = sf[node * S + F_START]; at = node;
      }
    }
    return at;
  }

  function decide(outcome, cut, e2e, endNode, answer) {
    decided.outcome = outcome; decided.cut = cut; decided.e2e = e2e; decided.endNode = endNode; decided.answer = answer;
  }

  function verdictOfRun() {
    const answer = answerNode();
    let e2e = 0, endNode = answer;
    if (answer >= 0) {
      heldBack(answer, sf[answer * S + F_END], false);
      e2e = held.at;
      if (held.by >= 0) endNode = held.by;
    }
    let failed = Infinity;
    if (failT[n] < Infinity && stillFailed(n, 0)) failed = failT[n];
    const isNamed = answer === named && named >= 0;
    if (failed < Infinity && (failed <= deadline || (isNamed && e2e <= Math.min(deadline, failed)))) {
      const node = failNode[n];
      const budget = si[node * V + V_ERR] === BUDGET_EXCEEDED;
      decide(budget ? RUN_BUDGET : RUN_FAILED, failed, failed, node, -1);
    } else if (failed < Infinity || (isNamed ? e2e : lastEnd()) > deadline) {
      decide(DEADLINE_EXCEEDED, deadline, deadline, -1, -1);
    } else if (answer < 0) {
      e2e = lastEnd();
      for (let i = 0; i < counter[K_VISITED]; i++) if (sf[visited[i] * S + F_END] === e2e) endNode = visited[i];
      decide(RUN_FAILED, Infinity, e2e, endNode, answer);
    } else {
      decide(ANSWERED, Infinity, e2e, endNode, answer);
    }
  }

  // --- the walk ---
  function visitCall(node, base, begin, cut, tokens, redoing) {
    calls.evaluate(run, node, base, begin, cut, tokens);
    const place = result[PLACE];
    let err = result[ERROR];
    if (err >= 0 && result[DONE_AT] >= cut && !redoing) err = CUT; // a rejection comes before a failure of the same moment
    sf[node * S + F_FIRST] = result[FIRST];
    sf[node * S + F_OUT] = 0;
    finish(node, err, result[DONE_AT]);
    si[node * V + V_BACKEND] = place_i[place * pw + P_BACKEND];
    si[node * V + V_ROUTE] = routeOf(base, node);
    if (err === SUCCESS) {
      sf[node * S + F_OUT] = result[OUT];
      si[node * V + V_FALLBACK] = place > spec_i[calls.specOf(base) * sw + S_PLACE_LO] ? 1 : 0;
    }
  }

  /** Walk from node pc over nodes that are no calls; returns the next pc. */
  function step(pc) {
    const row = pc * nw, kind = node_i[row + N_KIND];
    if (kind === CHECK) return doCheck(pc) ? pc + 1 : node_i[row + N_MATE];
    if (kind === IBEGIN) {
      const opening = node_i[row + N_PREV], end = node_i[row + N_MATE];
      if (node_i[row + N_INDEX] >= si[end * V + V_ROUTE]) return end;
      let begin = sf[opening * S + F_END], crit = opening * 2, slot = -1;
      if (node_i[opening * nw + N_SLOTS] > 0) {
        slot = freeSlot(opening);
        begin = slotT[slot]; crit = slotNode[slot] * 2;
      }
      enter(pc, begin, crit, sf[opening * S + F_CUT]);
      si[pc * V + V_STATUS] = DONE;
      si[pc * V + V_ROUTE] = slot;
      failT[node_i[row + N_SPEC]] = Infinity;
      return pc + 1;
    }
    if (kind === IEND) doIend(pc);
    else doEnd(pc);
    return closed.done ? pc + 1 : pc;
  }

  /** Simulate one run; the figures are in `decided` and in the state. */
  function simulate(number) {
    run = number;
    runStamp = ++counter[K_RUN];
    const budgeted = tokenBound < Infinity || usdBound < Infinity;
    for (let again = true; again;) {
      again = false;
      stamp = ++counter[K_STAMP];
      counter[K_VISITED] = 0;
      counter[K_REDO] = 0;
      failT[n] = Infinity;
      let pc = 0, redoAt = 0, redoCut = Infinity, ended = false;
      for (;;) {
        if (redoAt < counter[K_REDO]) {
          const node = redo[redoAt++];
          visitCall(node, node_i[node * nw + N_SPEC], sf[node * S + F_START], redoCut, sf[node * S + F_INPUT], true);
          continue;
        }
        counter[K_REDO] = 0;
        redoAt = 0;
        if (pc === n) {
          if (ended) break;
          verdictOfRun();
          redoCut = decided.cut;
          if (budgeted) {
            const over = overBudget(redoCut);
            if (over >= 0) {
              si[over * V + V_FORCED] = runStamp;
              again = true;
              break;
            }
          }
          if (redoCut === Infinity) break;
          ended = true;
          cutSince(0, redoCut);
          continue;
        }
        const row = pc * nw, kind = node_i[row + N_KIND];
        if (kind >= CHECK) {
          pc = step(pc);
          redoCut = closed.at;
          continue;
        }
        const lo = node_i[row + N_PRED_LO], hi = node_i[row + N_PRED_HI], k = node_i[row + N_JOIN];
        if (k === 0 && (node_i[row + N_FLAGS] & GUARDED) === 0) {
          joinAll(lo, hi);
        } else {
          joinSlow(lo, hi, k);
          if (join.verdict === 1 && node_i[row + N_LOSER_HI] > node_i[row + N_LOSER_LO]) {
            cutLosers(pc, join.at);
            if (counter[K_REDO] > 0) {
              redoCut = join.at;
              continue;
            }
            exportAgain(0);
          }
        }
        const { at: begin, verdict, cut, why } = join, crit = critCode(join.edge);
        enter(pc, begin, crit, cut);
        if (verdict !== 1) {
          si[pc * V + V_STATUS] = SKIPPED;
          noCall(pc);
          let where = pc;
          if (kind === BEGIN) {
            skipComposite(pc, begin, crit);
            where = node_i[row + N_MATE];
          }
          if (verdict === 2) finish(where, why, begin);
          pc = where + 1;
        } else if (kind === BEGIN) {
          si[pc * V + V_STATUS] = DONE;
          doBegin(pc);
          pc += 1;
        } else if (si[pc * V + V_FORCED] === runStamp) {
          noCall(pc);
          finish(pc, BUDGET_EXCEEDED, begin);
          pc += 1;
        } else {
          const base = node_i[row + N_SPEC], tokens = inputTokens(pc, base, begin);
          sf[pc * S + F_INPUT] = tokens;
          visitCall(pc, base, begin, cut, tokens, false);
          pc += 1;
        }
      }
    }
    if (decided.endNode < 0) decided.endNode = lastCut(decided.e2e);
    if (decided.endNode < 0) decided.endNode = lastVisit();
    return decided;
  }

  return { simulate, heldBack, held, stands };
}
