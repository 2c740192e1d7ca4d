// Keyed random numbers as docs/semantics.md defines them: SplitMix64 in two 32-bit limbs, and the inverse normal.
"use strict";

const GOLDEN_HIGH = 0x9e3779b9 | 0;
const GOLDEN_LOW = 0x7f4a7c15 | 0;
const KEY = new Int32Array(2); // the key in hand: high limb, low limb

/** High 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a, b) {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const low = Math.imul(a0, b0), one = Math.imul(a1, b0), two = Math.imul(a0, b1);
  const middle = (low >>> 16) + (one & 0xffff) + (two & 0xffff);
  return (Math.imul(a1, b1) + (one >>> 16) + (two >>> 16) + (middle >>> 16)) | 0;
}

/** Finalise the state (high, low) and put it into KEY. */
function mix(high, low) {
  let l = low ^ ((high << 2) | (low >>> 30)), h = high ^ (high >>> 30);
  h = (Math.imul(h, 0x1ce4e5b9) + Math.imul(l, 0xbf58476d) + multiplyHigh(l, 0x1ce4e5b9)) | 0;
  l = Math.imul(l, 0x1ce4e5b9);
  l ^= (h << 5) | (l >>> 27);
  h ^= h >>> 27;
  h = (Math.imul(h, 0x133111eb) + Math.imul(l, 0x94d049bb) + multiplyHigh(l, 0x133111eb)) | 0;
  l = Math.imul(l, 0x133111eb);
  KEY[1] = l ^ ((h << 1) | (l >>> 31));
  KEY[0] = h ^ (h >>> 31);
}

/** Mix (high, low) + n times the golden ratio into KEY; n is a whole number below 2^32. */
function mixPlus(high, low, n) {
  const add = Math.imul(GOLDEN_LOW, n);
  const sum = (low + add) | 0;
  const carry = (sum >>> 0) < (low >>> 0) ? 1 : 0;
  mix((high + Math.imul(GOLDEN_HIGH, n) + multiplyHigh(GOLDEN_LOW, n) + carry) | 0, sum);
}

/** The number in (0, 1) that KEY stands for. */
function uniformOfKey() {
  return ((KEY[0] >>> 0) * 2097152 + (KEY[1] >>> 11) + 0.5) * 1.1102230246251565e-16;
}

/** Inverse normal distribution function (Wichura 1988, Applied Statistics 37, AS241). */
function inverseNormal(u) {
  const half = u < 0.5 ? u : 1 - u;
  const q = half - 0.5;
  let z;
  if (q >= -0.425) {
    const r = 0.180625 - q * q;
    z = q * (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r
      + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
      + 133.14166789178437745) * r + 3.387132872796366608)
      / (((((((5226.495278852854561 * r + 28729.085735721942674) * r + 39307.89580009271061) * r
      + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
      + 42.313330701600911252) * r + 1);
  } else {
    let r = Math.sqrt(-Math.log(half));
    if (r <= 5) {
      r -= 1.6;
      z = -(((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
        + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
        + 4.6303378461565452959) * r + 1.42343711074968357734)
        / (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
        + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
        + 2.05319162663775882187) * r + 1);
    } else {
      r -= 5;
      z = -(((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
        + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
        + 5.4637849111641143699) * r + 6.6579046435011037772)
        / (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
        + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
        + 0.59983220655588793769) * r + 1);
    }
  }
  return u < 0.5 ? z : -z;
}

/** Standard gamma draw on sub-keys of KEY (Marsaglia and Tsang 2000). */
function gammaOfKey(shape) {
  const high = KEY[0], low = KEY[1], u = uniformOfKey();
  const d = (shape >= 1 ? shape : shape + 1) - 1 / 3, c = 1 / Math.sqrt(9 * d);
  for (let j = 1; ; j += 2) {
    mixPlus(high, low, j);
    const z = inverseNormal(uniformOfKey());
    mixPlus(high, low, j + 1);
    const v = uniformOfKey();
    const root = 1 + c * z, t = root * root * root;
    if (t > 0 && Math.log(v) < 0.5 * z * z + d - d * t + d * Math.log(t)) {
      return shape < 1 ? d * t * Math.pow(u, 1 / shape) : d * t;
    }
  }
}
