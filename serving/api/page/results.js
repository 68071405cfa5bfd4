// A column of hits: what each item is, where it stood in the other column, and why it is there.

import { figure, labelled, make, words } from "./dom.js";

const STAGES = { impressions_30d: "shown", clicks_30d: "clicked", orders_30d: "ordered" };
/** Of an item without a title. */
const ATTRIBUTES = 6;
/** The part of a score that all hits have alike, which tells nothing of one of them. */
const SAME_FOR_ALL = "same for all";
const FALLBACKS = {
  online_store_unavailable: "Redis is away: not personalized",
  index_unavailable: "Milvus is away: searched in memory",
  newer_release_unusable: "a newer release could not be loaded: the one before it answers",
  second_stage_failed: "the second stage failed: in the towers’ own order",
};

export function column(section, { id, title, note, answer, other }) {
  const ranks = new Map((other?.hits || []).map((hit, i) => [hit.item_id, i + 1]));
  const heading = labelled(make("h2", "", title), { id: `${id}-title` });
  const list = labelled(make("ol", "hits"), { role: "list" });
  const top = Math.max(...answer.hits.flatMap((hit) => ownParts(hit).map(([, value]) => Math.abs(value))), 1e-9);
  list.append(...answer.hits.map((hit, i) => row(hit, i + 1, other ? ranks.get(hit.item_id) : null, top)));
  const nothing = answer.hits.length ? null : make("p", "nothing", answer.not_searched ? `Nothing was searched for: ${answer.not_searched}.` : "Nothing passes the filters.");
  const told = [...fallbacks(answer), ...unknown(answer)];
  section.replaceChildren(make("header", "", heading, make("p", "note", note), timings(answer), ...told), nothing || list);
  return list;
}

function row(hit, rank, before, top) {
  const item = hit.item || {};
  const entry = labelled(make("li", "hit"), { "data-id": hit.item_id });
  const title = make("h3", "", item.title || named(item) || hit.item_id);
  entry.append(
    make("div", "place", make("span", "rank", String(rank)), moved(rank, before)),
    make("div", "what", title, facts(item, hit.why?.stages), why(hit.why)),
    score(hit, top),
  );
  return entry;
}

function moved(rank, before) {
  if (before === null) return "";
  if (before === undefined) return labelled(make("span", "move new", "new"), { title: "not among the results for anyone" });
  const by = before - rank;
  if (by === 0) return labelled(make("span", "move same", "="), { "aria-label": "same place" });
  const said = `${by > 0 ? "up" : "down"} ${Math.abs(by)}, from ${before}`;
  return labelled(make("span", `move ${by > 0 ? "up" : "down"}`, `${by > 0 ? "↑" : "↓"}${Math.abs(by)}`), { "aria-label": said, title: said });
}

/** What stands for the title of an item that has none. */
const named = (item) => [item.brand, item.category_path?.at(-1)].filter(Boolean).join(", ");

function facts(item, met) {
  const path = item.category_path || [];
  const untitled = item.title ? [] : [item.item_id, ...(item.attributes || []).slice(0, ATTRIBUTES).map(({ key, value }) => `${words(key)} ${value}`)];
  const parts = [
    ...untitled.filter(Boolean).map((text) => make("span", "", text)),
    item.brand && make("span", "brand", item.brand),
    path.length && labelled(make("span", "", path.at(-1)), { title: path.join(" › ") }),
    item.price !== null && item.price !== undefined && make("span", "number", figure(item.price, 2)),
    item.rating && make("span", "number", `★ ${figure(item.rating, 1)}`),
  ].filter(Boolean);
  const stages = Object.entries(STAGES).filter(([name]) => met?.[name] !== undefined);
  const line = stages.map(([name, label]) => make("span", "stage", make("b", "", figure(met[name])), ` ${label}`));
  return make("p", "facts", ...parts, line.length ? labelled(make("span", "stages", ...line), { title: "in the last 30 days" }) : "");
}

function why(reason) {
  const matched = (reason?.matched || []).map(({ kind, value }) =>
    make("span", "match", kind.endsWith("before") ? kind : make("span", "", make("i", "", words(kind)), ` ${value}`)),
  );
  const sources = Object.entries(reason?.sources || {}).map(([name, place]) => `${name} ${place}`);
  const found = sources.length ? [labelled(make("span", "sources", sources.join(", ")), { title: "its place in each source that found it" })] : [];
  return matched.length || found.length ? make("p", "why", ...matched, ...found) : "";
}

const ownParts = (hit) => Object.entries(hit.why?.parts || {}).filter(([name]) => name !== SAME_FOR_ALL);

function score(hit, top) {
  const box = make("div", "score", make("span", "total", hit.score.toFixed(3)));
  if (!hit.why) return box;
  const bars = make("span", "bars");
  for (const [name, value] of ownParts(hit).filter(([, value]) => Math.abs(value) >= 0.0005)) {
    const bar = labelled(make("span", `bar ${name}${value < 0 ? " negative" : ""}`), { title: `${name} ${value.toFixed(3)}` });
    bar.style.width = `${Math.min(100, (Math.abs(value) / top) * 100)}%`;
    bars.append(make("span", "track", bar), labelled(make("span", "part", name), { "aria-label": `${name} ${value.toFixed(3)}` }));
  }
  box.append(bars);
  return box;
}

function timings(answer) {
  const { total, ...steps } = answer.timings_ms;
  const parts = Object.entries(steps).map(([name, ms]) => make("span", "", `${name} `, make("b", "", ms.toFixed(1))));
  const line = make("p", "timings", make("span", "all", make("b", "", total.toFixed(1)), " ms"), ...parts);
  if (answer.cached) line.append(make("span", "", "from the cache"));
  return line;
}

function unknown(answer) {
  return answer.unknown_values.map(({ field, value, nearest }) => {
    const meant = nearest.length ? ` The nearest: ${nearest.join(", ")}.` : "";
    return make("p", "fallback", `No item has the ${words(field)} “${value}”.${meant}`);
  });
}

function fallbacks(answer) {
  return answer.fallbacks.map((name) => make("p", "fallback", FALLBACKS[name] || words(name)));
}
