// The controls of the what-ifs: which step, and what is changed about it. Settings of one step come on top of those of all.
"use strict";

const ALL = -1;

/** A slider from `low` to `high` on a logarithmic scale, its value a factor. */
const SLIDERS = [
  { key: "speed", text: "Output speed", low: 0.25, high: 8, better: "faster", model: true },
  { key: "ttft", text: "Time to first token", low: 0.1, high: 4, model: true },
  { key: "output", text: "Output tokens", low: 0.1, high: 4, model: true },
  { key: "reasoning", text: "Reasoning tokens", low: 0.1, high: 4, model: true, needs: "reasoning" },
  { key: "input", text: "Own input tokens", low: 0.1, high: 4, model: true },
  { key: "latency", text: "Duration", low: 0.1, high: 4, model: false },
];

function factorText(x) {
  return "\u00d7 " + (x >= 1 ? +x.toFixed(2) : +x.toPrecision(2));
}

/** What each spec can be changed about: does it call a model, does it reason, does it retry. */
function describeSpecs(page, tables) {
  const { spec_i, place_i, layer_i } = tables, sw = tables.spec_i_width, pw = tables.place_i_width;
  return page.specSteps.map((step, spec) => {
    const places = [];
    for (let k = 0; k < page.labels.length; k++) {
      const row = (k * page.specSteps.length + spec) * sw;
      for (let p = spec_i[row + S_PLACE_LO]; p < spec_i[row + S_PLACE_HI]; p++) places.push(p);
    }
    const lo = spec_i[spec * sw + S_LAYER_LO], hi = spec_i[spec * sw + S_LAYER_HI];
    return {
      spec, step, used: step >= 0, name: step >= 0 ? page.steps[step] : "",
      model: spec_i[spec * sw + S_LAW] === LAW_MODEL,
      reasoning: places.some((p) => place_i[p * pw + P_REASONING] === 1),
      layers: hi - lo, tries: hi > lo ? layer_i[lo * tables.layer_i_width + R_ATTEMPTS] : 0,
    };
  }).filter((item) => item.used);
}

/** Settings by scope (ALL or a spec): factors, `choice`, `tries`; a key that is missing is as it was at the start. */
class Settings {
  constructor(start) {
    this.start = start;
    this.scopes = new Map();
  }

  get(scope, key) {
    return this.scopes.get(scope)?.[key];
  }

  set(scope, key, value) {
    const own = { ...this.scopes.get(scope) };
    if (value === undefined) delete own[key];
    else own[key] = value;
    if (Object.keys(own).length) this.scopes.set(scope, own);
    else this.scopes.delete(scope);
  }

  /** Write what the settings mean into the engine's knobs. */
  apply(knobs, specs) {
    for (const item of specs) {
      const { spec } = item, every = item.model ? this.scopes.get(ALL) ?? {} : {}, own = this.scopes.get(spec) ?? {};
      knobs.choice[spec] = own.choice ?? every.choice ?? this.start;
      knobs.tries[spec] = own.tries ?? (this.scopes.get(ALL)?.tries ?? 0);
      for (const { key } of SLIDERS) knobs[key][spec] = (every[key] ?? 1) * (own[key] ?? 1);
    }
  }
}

class Controls {
  constructor(form, page, specs, settings, changed) {
    Object.assign(this, { form, page, specs, settings, changed, scope: ALL });
    this.models = specs.filter((item) => item.model);
    this.build();
  }

  build() {
    const { page, specs } = this;
    this.scopes = html("select", { id: "scope" });
    if (this.models.length) this.scopes.append(html("option", { value: ALL }, `all ${this.models.length} model steps`));
    for (const item of specs) this.scopes.append(html("option", { value: item.spec }, item.name));
    this.scope = Number(this.scopes.value);
    this.choice = html("select", { id: "choice" });
    this.inputs = SLIDERS.map((slider) => {
      const input = html("input", { type: "range", id: `k-${slider.key}`, min: -100, max: 100, step: 1 });
      const output = html("output", { for: `k-${slider.key}` });
      const ends = html("span", { class: "ends", "aria-hidden": "true" }, html("span", {}, factorText(slider.low)), html("span", {}, factorText(slider.high)));
      const label = html("label", { for: input.id }, html("span", {}, slider.text), output, input, ends);
      input.addEventListener("input", () => this.slide(slider, input, output));
      input.addEventListener("dblclick", () => this.put(slider.key, undefined));
      return { ...slider, input, output, label };
    });
    this.tries = html("select", { id: "tries" });
    this.labels = {
      scope: html("label", {}, html("span", {}, "Change"), this.scopes),
      choice: html("label", {}, html("span", {}, "Backend"), this.choice),
      tries: html("label", {}, html("span", {}, "Most tries a call"), this.tries),
    };
    this.reset = html("button", { type: "button" }, "Reset everything");
    this.changes = html("div", { class: "changes" });
    this.form.append(this.labels.scope, this.labels.choice, ...this.inputs.map((item) => item.label), this.labels.tries, this.changes);
    this.scopes.addEventListener("change", () => { this.scope = Number(this.scopes.value); this.show(); });
    this.choice.addEventListener("change", () => this.put("choice", this.choice.value === "" ? undefined : Number(this.choice.value)));
    this.tries.addEventListener("change", () => this.put("tries", this.tries.value === "" ? undefined : Number(this.tries.value)));
    this.reset.addEventListener("click", () => { this.settings.scopes.clear(); this.show(); this.changed(); this.scopes.focus(); });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.show();
  }

  /** The slider's place is the logarithm of its factor: 0 is 1, the ends are the ends. */
  slide(slider, input, output) {
    const place = Number(input.value), x = place < 0 ? slider.low ** (-place / 100) : slider.high ** (place / 100);
    this.settings.set(this.scope, slider.key, place === 0 ? undefined : x);
    output.textContent = factorText(x);
    input.setAttribute("aria-valuetext", `times ${+x.toPrecision(2)}`);
    this.list();
    this.changed();
  }

  put(key, value) {
    this.settings.set(this.scope, key, value);
    this.show();
    this.changed();
  }

  /** Choose a step, as from the graph. */
  choose(spec) {
    this.scope = spec;
    this.scopes.value = String(spec);
    this.show();
  }

  item() {
    return this.specs.find((candidate) => candidate.spec === this.scope);
  }

  show() {
    const item = this.item(), every = item === undefined, concerned = every ? this.models : [item], { settings, scope, page } = this;
    const model = every || item.model;
    this.labels.choice.hidden = !model || page.labels.length < 2;
    const first = html("option", { value: "" }, every ? `${page.labels[settings.start]} (start)` : "as for all model steps");
    this.choice.replaceChildren(first);
    page.labels.forEach((label, k) => {
      if (every && k === settings.start) return;
      const place = every ? null : page.places[k][scope];
      this.choice.append(html("option", { value: k }, every || !place || place === label ? label : `${label}: ${place}`));
    });
    this.choice.value = settings.get(scope, "choice") ?? "";
    for (const slider of this.inputs) {
      slider.label.hidden = slider.model !== model || (slider.needs && !concerned.some((one) => one[slider.needs]));
      const x = settings.get(scope, slider.key) ?? 1;
      slider.input.value = Math.round(100 * (x < 1 ? -Math.log(x) / Math.log(slider.low) : Math.log(x) / Math.log(slider.high)));
      slider.output.textContent = factorText(x);
      slider.input.setAttribute("aria-valuetext", `times ${+x.toPrecision(2)}`);
    }
    const retrying = every ? this.specs.filter((one) => one.layers) : concerned.filter((one) => one.layers);
    this.labels.tries.hidden = retrying.length === 0;
    const written = new Set(retrying.map((one) => one.tries));
    this.tries.replaceChildren(html("option", { value: "" }, written.size === 1 ? `${[...written][0]}, as written` : "as written"));
    for (const n of [1, 2, 3, 4, 6, 10]) this.tries.append(html("option", { value: n }, n === 1 ? "1: no retry" : String(n)));
    this.tries.value = settings.get(scope, "tries") ?? "";
    this.list();
  }

  /** What has been changed, each with a button that takes it back. */
  list() {
    const { settings, page } = this, buttons = [];
    for (const [scope, own] of settings.scopes) {
      const name = scope === ALL ? "all" : this.specs.find((one) => one.spec === scope).name;
      for (const [key, value] of Object.entries(own)) {
        const slider = SLIDERS.find((one) => one.key === key);
        const what = key === "choice" ? page.labels[value] : key === "tries" ? `${value} tries` : `${slider.text.toLowerCase()} ${factorText(value)}`;
        const button = html("button", { type: "button", "aria-label": `Take back: ${name}, ${what}` }, `${name}: ${what} \u2715`);
        button.addEventListener("click", () => { settings.set(scope, key, undefined); this.show(); this.changed(); this.scopes.focus(); });
        buttons.push(button);
      }
    }
    this.changes.replaceChildren(html("p", {}, buttons.length ? "Changed:" : `Nothing is changed: ${page.labels[settings.start]}, as in the table.`), ...buttons);
    if (buttons.length > 1) this.changes.append(this.reset);
  }
}
