// One visit of a call: its attempts over retries, fallbacks and hedges. A port of the kernel's `evaluate`, line by line:
// what is computed in one order there is computed in the same order here, so that what ties there ties here.
"use strict";

const SLOWEST = 1e-3; // tok/s; a rate that draws 0 must not stop the clock
const COPY_STRIDE = 1024;
const DONE_AT = 0, ERROR = 1, FIRST = 2, OUT = 3, PLACE = 4; // what a visit leaves in `result`
const SUCCESS = -1, CUT = -2;

/**
 * What the page lets one change, by spec (a step at its backend): factors of the time to first token, the decode rate,
 * the output, reasoning and own input tokens, the latency of what calls no model, and the tries of each retry layer (0: as
 * written).
 */
function newKnobs(specs) {
  const ones = () => new Float64Array(specs).fill(1);
  return {
    choice: new Int32Array(specs), ttft: ones(), speed: ones(), output: ones(), reasoning: ones(), input: ones(),
    latency: ones(), tries: new Int32Array(specs),
  };
}

function newState(tables, data) {
  const n = tables.node_p.length;
  return {
    sf: new Float64Array((n + 1) * STATE_COLUMNS),
    si: new Int32Array((n + 1) * VISIT_COLUMNS),
    visited: new Int32Array(n + 1),
    redo: new Int32Array(n + 1),
    failT: new Float64Array(n + 1).fill(Infinity),
    failNode: new Int32Array(n + 1).fill(-1),
    slotT: new Float64Array(data.slots + 1),
    slotNode: new Int32Array(data.slots + 1),
    exported: new Float64Array(data.exports + 1),
    stepStamp: new Int32Array(data.steps + 1),
    counter: new Int32Array(4),
    result: new Float64Array(5),
  };
}

function makeCalls(tables, draws, knobs, state) {
  const { spec_i, spec_f, place_i, place_f, draw_i, error_i, error_f, layer_i, layer_f, backend_i, backend_f, table } = tables;
  const { node_i } = tables;
  const [sw, sfw, pw, pfw] = ["spec_i", "spec_f", "place_i", "place_f"].map((name) => tables[name + "_width"]);
  const [dw, ew, efw, lw, lfw] = ["draw_i", "error_i", "error_f", "layer_i", "layer_f"].map((name) => tables[name + "_width"]);
  const [bw, bfw, nw] = ["backend_i", "backend_f", "node_i"].map((name) => tables[name + "_width"]);
  const { sf, si, result } = state;
  const value = new Float64Array(Q_LATENCY + 1), tries = new Int32Array(MAX_LAYERS);
  const backends = backend_f.length / bfw;
  const factor = new Float64Array(backends), factorRun = new Int32Array(backends).fill(-1);
  const strike = { kind: -1, at: 0, retryAfter: -1, hang: 0 };

  /** Log-sd exponent of the run's factor for a backend, kept from one change of the page to the next. */
  const runNormals = new Array(backends).fill(null);
  function backendFactor(run, b) {
    if (factorRun[b] !== run) {
      if (runNormals[b] === null) runNormals[b] = new Float64Array(draws.runs);
      let z = runNormals[b][run];
      if (z === 0) z = runNormals[b][run] = draws.backendNormal(run, b);
      factor[b] = Math.exp(backend_f[b * bfw + B_SD_RUN] * z);
      factorRun[b] = run;
    }
    return factor[b];
  }

  function findStrike(place, u, run, node, attempt) {
    strike.kind = -1; strike.at = 0; strike.retryAfter = -1; strike.hang = 0;
    for (let e = place_i[place * pw + P_ERR_LO]; e < place_i[place * pw + P_ERR_HI]; e++) {
      if (u < error_f[e * efw + E_CUM]) {
        const d = error_i[e * ew + E_RETRY_AFTER];
        strike.kind = error_i[e * ew + E_KIND];
        strike.at = error_i[e * ew + E_AT];
        strike.retryAfter = d >= 0 ? draws.value(d, run, node, attempt + Q_RETRY_AFTER) : -1;
        strike.hang = error_f[e * efw + E_AFTER];
        return;
      }
    }
  }

  function cachedTokens(run, node, b, spec, tokens) {
    const hit = backend_f[b * bfw + B_HIT];
    if (hit <= 0) return 0;
    const d = spec_i[spec * sw + S_CACHED], prev = node_i[node * nw + N_PREV];
    let cached = 0;
    if (d >= 0) {
      cached = whole(draws.value(d, run, node, QV_CACHED));
    } else if (prev >= 0 && si[prev * VISIT_COLUMNS + V_STAMP] === si[node * VISIT_COLUMNS + V_STAMP]
               && si[prev * VISIT_COLUMNS + V_BACKEND] === b) {
      cached = sf[prev * STATE_COLUMNS + F_INPUT];
    }
    cached = Math.min(cached, tokens);
    if (cached < backend_f[b * bfw + B_CACHE_MIN] || draws.uniform(run, node, QV_HIT) >= hit) return 0;
    const block = backend_f[b * bfw + B_CACHE_BLOCK];
    return Math.floor(cached / block) * block;
  }

  function waitOfLayer(layer, k, retryAfter, run, node, number) {
    if (retryAfter >= 0 && layer_i[layer * lw + R_RESPECT] === 1 && retryAfter <= layer_f[layer * lfw + R_CAP]) {
      return retryAfter;
    }
    let wait = layer_f[layer * lfw + R_INITIAL];
    const top = layer_f[layer * lfw + R_MAX];
    for (let i = 0; i < k; i++) wait *= layer_f[layer * lfw + R_FACTOR];
    const u = draws.uniform(run, node, number);
    return Math.min(wait, top) * (1 - layer_f[layer * lfw + R_JITTER] * u) + layer_f[layer * lfw + R_ADD] * u;
  }

  /** Wait of the first retry layer that takes the error, or -1. */
  function nextTry(spec, base, err, retryAfter, run, node, attempt) {
    const lo = spec_i[spec * sw + S_LAYER_LO], hi = spec_i[spec * sw + S_LAYER_HI];
    for (let layer = lo; layer < hi; layer++) {
      const done = tries[layer - lo], most = knobs.tries[base] || layer_i[layer * lw + R_ATTEMPTS];
      if ((layer_i[layer * lw + R_ON] >> err) & 1 && done < most) {
        tries[layer - lo] = done + 1;
        for (let inner = 0; inner < layer - lo; inner++) tries[inner] = 1;
        return waitOfLayer(layer, done - 1, retryAfter, run, node, attempt + Q_JITTER + layer - lo);
      }
    }
    return -1;
  }

  function lasting(end, kind, hang, at, moment) {
    if (kind < 0 || (at === AT_END && kind !== TIMEOUT)) return end;
    return kind === TIMEOUT ? hang : moment;
  }

  /** One hedge copy of a call; `base` is the spec whatever the backend, `spec` its row at the chosen one. */
  // A column of a table by length at x: straight lines; flat before the first length, never down after the last.
  function columnAt(lo, n, column, x) {
    const at = lo + column * n;
    if (n === 1 || x <= table[lo]) return table[at];
    let i = 1;
    while (i < n - 1 && x > table[lo + i]) i++;
    const y0 = table[at + i - 1], y1 = table[at + i];
    const y = y0 + (y1 - y0) * (x - table[lo + i - 1]) / (table[lo + i] - table[lo + i - 1]);
    return x <= table[lo + n - 1] ? y : Math.max(y, y1);
  }

  // Law of a deployment or a table, into `law`: seconds of queue, prefill, first gap, growth from gap to gap.
  const law = { wait: 0, prefill: 0, gap: 0, growth: 0 };
  function served(b, tokens, cached) {
    const f = b * bfw, fresh = tokens - cached;
    if (backend_i[b * bw + B_LAW] === LAW_TABLE) {
      const lo = backend_i[b * bw + B_TABLE], n = backend_i[b * bw + B_LENGTHS];
      law.wait = columnAt(lo, n, 1, fresh);
      law.prefill = columnAt(lo, n, 2, fresh);
      law.gap = columnAt(lo, n, 3, tokens);
      law.growth = 0;
      return;
    }
    law.growth = backend_f[f + B_GROWTH];
    const square = backend_f[f + B_SQUARE] * (tokens * tokens - cached * cached);
    law.wait = backend_f[f + B_WAITING];
    law.prefill = backend_f[f + B_FIXED] + backend_f[f + B_PREFILL] * fresh + square;
    law.gap = backend_f[f + B_TOKEN] + law.growth * (tokens + 1);
  }

  function spanOf(gap, growth, n) {
    return n * (gap + growth * 0.5 * (n - 1));
  }

  // Whole gaps that fit into t seconds: `spanOf` inverted.
  function gapsIn(gap, growth, t) {
    if (growth === 0) return Math.floor(t / gap);
    const half = gap - 0.5 * growth;
    return Math.floor(2 * t / (half + Math.sqrt(half * half + 2 * growth * t)));
  }

  function evaluateCopy(run, node, base, spec, copy, begin, cut, tokens) {
    let cNet = 0, cQueue = 0, cPrefill = 0, cReasoning = 0, cDecode = 0, cBackoff = 0, cOther = 0;
    let uIn = 0, uCached = 0, uOut = 0, uReasoning = 0, uCost = 0, uAttempts = 0, uCalls = 1;
    tries.fill(1);
    let t = begin, place = spec_i[spec * sw + S_PLACE_LO], a = COPY_STRIDE * copy;
    const modelled = spec_i[spec * sw + S_LAW] === LAW_MODEL;
    const boundAttempt = spec_f[spec * sfw + S_ATTEMPT], boundIdle = spec_f[spec * sfw + S_IDLE];
    let err = SUCCESS, first = begin, out = 0;
    for (;;) {
      const attempt = 64 * (a + 1), p = place * pw;
      for (let j = place_i[p + P_DRAW_LO]; j < place_i[p + P_DRAW_HI]; j++) {
        const q = draw_i[j * dw];
        value[q] = draws.value(draw_i[j * dw + 1], run, node, attempt + q);
      }
      let retryAfter = -1, kind = -1, at = 0, hang = 0;
      const total = place_f[place * pfw + P_ERR_TOTAL];
      if (total > 0) {
        const u = draws.uniform(run, node, attempt + Q_ERROR);
        if (u < total) {
          findStrike(place, u, run, node, attempt);
          kind = strike.kind; at = strike.at; retryAfter = strike.retryAfter; hang = strike.hang;
        }
      }
      err = kind;
      let end;
      if (modelled) {
        const b = place_i[p + P_BACKEND], f = b * bfw;
        uAttempts += 1;
        let s = 1;
        if (backend_f[f + B_SD_RUN] > 0) s = backendFactor(run, b);
        if (backend_f[f + B_SD_CALL] > 0) s *= Math.exp(backend_f[f + B_SD_CALL] * draws.normal(run, node, attempt + Q_NOISE));
        const cached = cachedTokens(run, node, b, spec, tokens);
        let room = backend_f[f + B_CONTEXT] - tokens;
        if (Math.max(1, spec_f[spec * sfw + S_MAX_TOKENS]) > room) {
          kind = CONTEXT_OVERFLOW; at = AT_START; retryAfter = -1;
          err = kind;
        }
        room = Math.max(0, Math.min(place_f[place * pfw + P_MAX_TOKENS], room));
        let reasoning = 0;
        if (place_i[p + P_REASONING]) reasoning = Math.min(whole(knobs.reasoning[base] * value[Q_REASONING]), room);
        out = Math.min(whole(knobs.output[base] * value[Q_OUTPUT]), room - reasoning);
        let tNet = place_i[p + P_NETWORK] ? value[Q_NETWORK] : 0;
        let tQueue = tNet;
        const stall = backend_f[f + B_STALL];
        if (stall > 0 && draws.uniform(run, node, attempt + Q_STALL) < stall) {
          tQueue += s * draws.value(backend_i[b * bw + B_STALL_DIST], run, node, attempt + Q_STALL_TIME);
        }
        let tPrefill, gap, growth = 0;
        if (backend_i[b * bw + B_LAW] === LAW_MEASURED) {
          const more = Math.max(0, tokens - cached - backend_f[f + B_TTFT_INPUT]);
          tPrefill = tQueue + (knobs.ttft[base] * value[Q_TTFT] + more * backend_f[f + B_PREFILL]) * s;
          gap = s / Math.max(knobs.speed[base] * value[Q_RATE], SLOWEST);
        } else {
          served(b, tokens, cached);
          tQueue += law.wait * s;
          tPrefill = tQueue + knobs.ttft[base] * law.prefill * s;
          gap = law.gap * s / knobs.speed[base];
          growth = law.growth * s / knobs.speed[base];
        }
        const seen = gap + growth * reasoning; // the first gap that the user sees
        let tFirst = tPrefill + spanOf(gap, growth, reasoning);
        end = tFirst + spanOf(seen, growth, Math.max(0, out - 1));
        end = lasting(end, kind, hang, at, at === AT_START ? tNet : tPrefill);
        let stopped = kind >= 0 && (kind === TIMEOUT || at !== AT_END);
        let counted = kind === TIMEOUT ? end >= tNet : kind < 0 || at !== AT_START;
        if (kind === TIMEOUT) tQueue = tPrefill = tFirst = Infinity;
        let idle = Infinity;
        if (tFirst > boundIdle) idle = boundIdle;
        else if (out >= 2 && seen + growth * (out - 2) > boundIdle) {
          const before = seen > boundIdle ? 0 : Math.floor((boundIdle - seen) / growth) + 1;
          idle = tFirst + spanOf(seen, growth, before) + boundIdle;
        }
        idle = Math.min(idle, boundAttempt);
        if (idle < end) {
          end = idle; err = TIMEOUT; stopped = true; counted = idle >= tNet;
          retryAfter = -1;
        }
        if (t + end > cut) {
          end = cut - t; err = CUT; stopped = true; counted = true;
        }
        let usedReasoning = reasoning, usedOut = out;
        if (stopped) {
          if (end < tFirst || (err === kind && at !== AT_END)) {
            usedOut = 0;
            usedReasoning = 0;
            if (end > tPrefill) usedReasoning = Math.min(reasoning, gapsIn(gap, growth, end - tPrefill));
          } else {
            usedOut = Math.min(out, 1 + gapsIn(seen, growth, end - tFirst));
          }
          tNet = Math.min(end, tNet);
          tQueue = Math.min(end, tQueue);
          tPrefill = Math.min(end, tPrefill);
          tFirst = Math.min(end, tFirst);
        }
        cNet += tNet;
        cQueue += tQueue - tNet;
        cPrefill += tPrefill - tQueue;
        cReasoning += tFirst - tPrefill;
        cDecode += end - tFirst;
        first = t + tFirst;
        if (counted) {
          uIn += tokens;
          uCached += cached;
          uOut += usedOut;
          uReasoning += usedReasoning;
          uCost += (tokens - cached) * backend_f[f + B_PRICE_IN] + cached * backend_f[f + B_PRICE_CACHED]
            + usedOut * backend_f[f + B_PRICE_OUT] + usedReasoning * backend_f[f + B_PRICE_REASONING];
        }
        uCost += backend_f[f + B_PRICE_CALL];
      } else {
        out = place_i[p + P_OUTPUT] ? whole(value[Q_OUTPUT]) : 0;
        const latency = knobs.latency[base] * value[Q_LATENCY];
        end = lasting(latency, kind, hang, at, at === AT_START ? 0 : latency);
        const idle = Math.min(boundIdle, boundAttempt);
        if (idle < end) {
          end = idle; err = TIMEOUT; retryAfter = -1;
        }
        if (t + end > cut) {
          end = cut - t; err = CUT;
        }
        cOther += end;
        first = t + end;
      }
      t += end;
      if (err < 0) break;
      const wait = nextTry(spec, base, err, retryAfter, run, node, attempt);
      a += 1;
      if (wait >= 0) {
        if (t + wait >= cut) {
          cBackoff += cut - t;
          err = CUT;
          break;
        }
        cBackoff += wait;
        t += wait;
        continue;
      }
      if (place + 1 >= spec_i[spec * sw + S_PLACE_HI] || !((place_i[(place + 1) * pw + P_TAKES] >> err) & 1)) break;
      if (t >= cut) {
        err = CUT;
        break;
      }
      place += 1;
      uCalls += 1;
      tries.fill(1);
    }
    if (err === CUT) t = cut;
    const row = node * STATE_COLUMNS, comp = row + F_COMP, use = row + F_USE;
    if (modelled) {
      sf[use + U_INPUT] += uIn;
      sf[use + U_CACHED] += uCached;
      sf[use + U_OUTPUT] += uOut;
      sf[use + U_REASONING] += uReasoning;
      sf[use + U_COST] += uCost;
      sf[use + U_CALLS] += uCalls;
      sf[use + U_ATTEMPTS] += uAttempts;
    }
    sf.fill(0, comp, comp + NCOMP);
    sf[comp + C_NETWORK] = cNet;
    sf[comp + C_QUEUE] = cQueue;
    sf[comp + C_PREFILL] = cPrefill;
    sf[comp + C_REASONING] = cReasoning;
    sf[comp + C_DECODE] = cDecode;
    sf[comp + C_BACKOFF] = cBackoff;
    if (!modelled) sf[comp + spec_i[spec * sw + S_COMP]] = cOther;
    result[DONE_AT] = t; result[ERROR] = err; result[FIRST] = first; result[OUT] = out; result[PLACE] = place;
  }

  /** One visit of a call, its hedge copies included; leaves its end in `result`. */
  function evaluate(run, node, base, begin, cut, tokens) {
    const spec = knobs.choice[base] * tables.specs + base;
    const use = node * STATE_COLUMNS + F_USE;
    sf.fill(0, use, use + NUSE);
    const copies = spec_i[spec * sw + S_HEDGES], after = spec_f[spec * sfw + S_HEDGE_AFTER];
    let win = Infinity, lost = -1, winner = -1, last = 0, started = 0, copy = 0, counting = copies === 0, winCut = cut;
    let copyStart = begin;
    for (;;) {
      copyStart = copies > 0 ? begin + copy * after : begin;
      evaluateCopy(run, node, base, spec, copy, copyStart, counting && copy === winner ? cut : winCut, tokens);
      const t = result[DONE_AT], err = result[ERROR];
      if (!counting) {
        started = copy + 1;
        if (err === SUCCESS && t < win) {
          win = t; winner = copy;
        } else if (err !== SUCCESS && t > lost) {
          lost = t; last = copy;
        }
        const next = begin + (copy + 1) * after;
        if (copy < copies && next < win && next < cut && (winner >= 0 || next < lost)) {
          copy += 1;
          continue;
        }
        counting = true;
        sf.fill(0, use, use + NUSE);
        winCut = Math.min(cut, win);
        if (winner < 0) winner = last;
        copy = winner !== 0 || started === 1 ? 0 : 1;
        continue;
      }
      if (copies === 0 || copy === winner) break;
      copy += 1;
      if (copy === winner) copy += 1;
      if (copy >= started) copy = winner;
    }
    if (copy > 0) sf[node * STATE_COLUMNS + F_COMP + C_WAIT] += copyStart - begin;
  }

  return { evaluate, specOf: (base) => knobs.choice[base] * tables.specs + base };
}
