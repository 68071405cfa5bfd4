// Filters made of the fields of the live release, as the API takes them: {brand: ["Acme"], price: {gte: 5, lt: 20}}.

import { by, labelled, make, words } from "./dom.js";

const chosen = new Map();
let known = [];
let changed = () => {};

export const filters = () => (chosen.size ? Object.fromEntries(chosen) : null);

export function setUp(fields, onChange) {
  [known, changed] = [fields, onChange];
  by("field").replaceChildren(...fields.map((field) => labelled(make("option", "", words(field.name)), { value: field.name })));
  by("add").hidden = fields.length === 0;
  showValue();
}

export function restore(from) {
  chosen.clear();
  for (const [name, value] of Object.entries(from || {})) chosen.set(name, value);
  showChips();
}

const current = () => known.find((field) => field.name === by("field").value);

function showValue() {
  const field = current();
  if (!field) return;
  by("value").replaceChildren(...(field.kind === "number" ? numberInputs(field) : textInputs(field)));
}

function numberInputs(field) {
  const [low, high] = field.values.length === 2 ? field.values : ["", ""];
  const input = (id, label, hint) =>
    labelled(make("input"), { id, type: "number", step: "any", "aria-label": `${words(field.name)} ${label}`, placeholder: hint });
  return [input("least", "from", low === "" ? "from" : `from ${low}`), input("most", "to", high === "" ? "to" : `to ${high}`)];
}

function textInputs(field) {
  const options = make("datalist", "", ...field.values.map((value) => labelled(make("option"), { value })));
  options.id = "values";
  return [labelled(make("input"), { id: "text", list: "values", "aria-label": words(field.name), placeholder: "a value", autocomplete: "off" }), options];
}

function add(event) {
  event.preventDefault();
  const field = current();
  if (field.kind === "number") {
    const bounds = { gte: by("least").value, lte: by("most").value };
    const set = Object.entries(bounds).filter(([, value]) => value !== "").map(([name, value]) => [name, Number(value)]);
    if (set.length === 0) return;
    chosen.set(field.name, Object.fromEntries(set));
  } else {
    const value = by("text").value;
    if (!value) return;
    chosen.set(field.name, [...new Set([...(chosen.get(field.name) || []), value])]);
  }
  showValue();
  showChips();
  changed();
}

function showChips() {
  by("chips").replaceChildren(...[...chosen].map(([name, value]) => chip(name, value)));
}

function chip(name, value) {
  const remove = labelled(make("button", "", "×"), { type: "button", "aria-label": `Remove the filter on ${words(name)}` });
  remove.addEventListener("click", () => {
    chosen.delete(name);
    showChips();
    changed();
  });
  return make("li", "", make("span", "name", words(name)), " ", said(value), remove);
}

function said(value) {
  if (Array.isArray(value)) return value.join(" or ");
  if (typeof value !== "object") return String(value);
  const { gte, lte } = value;
  if (gte !== undefined && lte !== undefined) return `${gte} – ${lte}`;
  return gte !== undefined ? `from ${gte}` : `up to ${lte}`;
}

by("field").addEventListener("change", showValue);
by("add").addEventListener("submit", add);
