// The plan's tables as typed arrays, and the draws of its runs, kept from one change of the page to the next.
"use strict";

/** Read one table of the page's data: `null` stands for infinity. */
function floats(table) {
  return Float64Array.from(table.data, (x) => (x === null ? Infinity : x));
}

function whole(x) {
  return Math.floor(x + 0.5);
}

/** The tables of a plan with all its choices of a backend, see agentflow/plan/merge.py. */
function readTables(data) {
  const found = { seed: data.seed, specs: data.specs, choices: data.choices, steps: data.steps };
  for (const [name, table] of Object.entries(data.tables)) {
    found[name] = table.kind === "f" ? floats(table) : Int32Array.from(table.data);
    found[name + "_width"] = table.width;
  }
  const hashes = (texts) => ({
    high: Int32Array.from(texts, (text) => parseInt(text.slice(0, 8), 16) | 0),
    low: Int32Array.from(texts, (text) => parseInt(text.slice(8), 16) | 0),
  });
  found.node_hash = hashes(data.node_hash);
  found.backend_key = hashes(data.backend_key);
  return found;
}

const CACHED = QV_GO_ON + 1 + Q_LATENCY + 1; // quantities of a visit and of its first attempt
const MOST_CACHED = 6e6; // numbers kept at once, 8 bytes each

/**
 * The draws of runs 0 to `runs` - 1: uniform and normal numbers by run, node and quantity. Quantity q of a visit is
 * number q, quantity q of attempt a is number 64 (a + 1) + q.
 */
function makeDraws(tables, runs) {
  const { node_hash: hash, backend_key: backendKey, dist_i, dist_f, table } = tables;
  const keyHigh = new Int32Array(runs), keyLow = new Int32Array(runs);
  const seed = parseInt(tables.seed.slice(0, 8), 16) | 0, seedLow = parseInt(tables.seed.slice(8), 16) | 0;
  mixPlus(seed, seedLow, 1);
  const baseHigh = KEY[0], baseLow = KEY[1];
  for (let run = 0; run < runs; run++) {
    mixPlus(baseHigh, baseLow, run);
    keyHigh[run] = KEY[0];
    keyLow[run] = KEY[1];
  }
  const nodes = hash.high.length, wide = tables.dist_f_width, narrow = tables.dist_i_width;
  const uniforms = new Array(nodes * CACHED).fill(null), normals = new Array(nodes * CACHED).fill(null);
  let room = MOST_CACHED;

  function keyOf(run, node, number) {
    mix(keyHigh[run] ^ hash.high[node], keyLow[run] ^ hash.low[node]);
    mixPlus(KEY[0], KEY[1], number);
  }

  function rowFor(cache, place) {
    if (cache[place] === null && room >= runs) {
      room -= runs;
      cache[place] = new Float64Array(runs); // 0: not drawn yet
    }
    return cache[place];
  }

  function uniform(run, node, number) {
    const column = number < 64 ? number : number - 64 + QV_GO_ON + 1;
    const row = column < CACHED ? rowFor(uniforms, node * CACHED + column) : null;
    if (row !== null && row[run] !== 0) return row[run];
    keyOf(run, node, number);
    const u = uniformOfKey();
    if (row !== null) row[run] = u;
    return u;
  }

  function normal(run, node, number) {
    const column = number < 64 ? number : number - 64 + QV_GO_ON + 1;
    const row = column < CACHED ? rowFor(normals, node * CACHED + column) : null;
    if (row !== null && row[run] !== 0) return row[run];
    keyOf(run, node, number);
    const z = inverseNormal(uniformOfKey());
    if (row !== null) row[run] = z;
    return z;
  }

  /** The run's normal number for a backend, from which its speed factor comes. */
  function backendNormal(run, backend) {
    mix(keyHigh[run] ^ backendKey.high[backend], keyLow[run] ^ backendKey.low[backend]);
    return inverseNormal(uniformOfKey());
  }

  /** Value of a distribution that is no mixture, no gamma: from its uniform, or its normal number. */
  function plain(d, family, u, z) {
    const a = dist_f[wide * d + D_P0], b = dist_f[wide * d + D_P1];
    switch (family) {
      case CONSTANT: return dist_f[wide * d + D_SCALE];
      case LOGNORMAL: return dist_f[wide * d + D_SCALE] * Math.exp(a + b * z);
      case UNIFORM: return a + (b - a) * u;
      case DISCRETE: return Math.floor(a + (b - a + 1) * u);
      case NORMAL: return Math.max(0, a + b * z);
      case EXPONENTIAL: return -a * Math.log(1 - u);
      case WEIBULL: return a * Math.pow(-Math.log(1 - u), 1 / b);
      case QUANTILES: return fromQuantiles(dist_i[narrow * d + D_OFF], dist_i[narrow * d + D_LEN], a > 0 ? z : u, a > 0);
      case SAMPLES: return table[dist_i[narrow * d + D_OFF] + Math.floor(u * dist_i[narrow * d + D_LEN])];
      default: throw new Error("a family of distributions that this page does not know: " + family);
    }
  }

  function fromQuantiles(lo, n, w, logs) {
    let i = 1;
    while (i < n - 1 && w > table[lo + i]) i++;
    const w0 = table[lo + i - 1], w1 = table[lo + i], x0 = table[lo + n + i - 1], x1 = table[lo + n + i];
    if (!logs) w = Math.min(Math.max(w, w0), w1);
    const x = x0 + (x1 - x0) * (w - w0) / (w1 - w0);
    return logs ? Math.exp(x) : x;
  }

  function takesNormal(d, family) {
    return family === LOGNORMAL || family === NORMAL || (family === QUANTILES && dist_f[wide * d + D_P0] > 0);
  }

  /** Value of a mixture or a gamma distribution, on the keys below its own. */
  function nested(d, run, node, number) {
    keyOf(run, node, number);
    let shift = 0;
    while (dist_i[narrow * d + D_FAMILY] === MIXTURE) {
      shift += dist_f[wide * d + D_SHIFT];
      const lo = dist_i[narrow * d + D_OFF], n = dist_i[narrow * d + D_LEN], u = uniformOfKey();
      let i = 0;
      while (i < n - 1 && u >= table[lo + i]) i++;
      d = table[lo + n + i];
      mixPlus(KEY[0], KEY[1], 1);
    }
    const family = dist_i[narrow * d + D_FAMILY];
    shift += dist_f[wide * d + D_SHIFT];
    if (family === GAMMA) return Math.max(0, dist_f[wide * d + D_P0] * gammaOfKey(dist_f[wide * d + D_P1]) + shift);
    const u = uniformOfKey();
    return Math.max(0, plain(d, family, u, takesNormal(d, family) ? inverseNormal(u) : 0) + shift);
  }

  /** Value of distribution d for a number below a node's key. */
  function value(d, run, node, number) {
    const family = dist_i[narrow * d + D_FAMILY];
    if (family === CONSTANT) return dist_f[wide * d + D_SCALE];
    if (family === MIXTURE || family === GAMMA) return nested(d, run, node, number);
    const x = takesNormal(d, family)
      ? plain(d, family, 0, normal(run, node, number))
      : plain(d, family, uniform(run, node, number), 0);
    return Math.max(0, x + dist_f[wide * d + D_SHIFT]);
  }

  return { runs, uniform, normal, value, backendNormal };
}
