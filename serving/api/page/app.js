// The search page: asks twice, for the user and for anyone, and says what moved.

import * as api from "./api.js";
import { by, labelled, make, words } from "./dom.js";
import { filters, restore, setUp } from "./filters.js";
import { column } from "./results.js";

const SHOWN = 20;
const TRY_AGAIN_MS = 2000;
const HISTORY = ["recent_queries", "recent_items", "recent_orders", "recent_brands", "ordered_tags"];
/** How often a search that the server has no time for is asked again. */
const TRIES = 5;
let inFlight = null;
let again = null;
/** The query that is searched for as it was typed. */
let asTyped = null;

/** What the URL asks for: behind `?`, as people link it, or behind `#`, where the page writes it: that is sent to no
 *  server, so that queries and users stay out of the logs of proxies. */
const inUrl = () => new URLSearchParams(location.hash.length > 1 ? location.hash.slice(1) : location.search);
const queryIn = (asked) => asked.get("q") ?? asked.get("query");

function readUrl() {
  const asked = inUrl();
  by("query").value = queryIn(asked) || "";
  by("user").value = asked.get("user") || "";
  asTyped = asked.get("correct") === "false" ? by("query").value.trim() : null;
  try {
    restore(JSON.parse(asked.get("filters") || "null"));
  } catch {
    restore(null);
  }
}

async function connect() {
  try {
    const { release_id: release } = await api.ready();
    showLive(release);
    const [fields, users] = await Promise.all([api.fields(), api.users()]);
    by("key").hidden = true;
    setUp(fields, searchAgain);
    showUsers(users);
    searchAgain();
  } catch (error) {
    if (error.status === 401) askForKey();
    else {
      by("live").textContent = error.message;
      by("live").className = "live waiting";
      setTimeout(connect, TRY_AGAIN_MS);
    }
  }
}

function showLive(release) {
  by("live").replaceChildren("live release ", make("b", "", release));
  by("live").className = "live on";
}

function askForKey() {
  by("key").hidden = false;
  by("key-value").focus();
}

function showUsers(users) {
  by("users").replaceChildren(...users.map((user) => labelled(make("option"), { value: user })));
  const pick = (user) => {
    const button = labelled(make("button", "", user), { type: "button" });
    button.addEventListener("click", () => {
      by("user").value = user;
      by("query").focus();
    });
    return button;
  };
  by("try").replaceChildren(...(users.length ? ["Some who are known here: ", ...users.slice(0, 6).map(pick)] : []));
}

const asks = () => by("query").value.trim() || queryIn(inUrl()) !== null;
const searchAgain = () => asks() && run();

function runAgain(query, tries) {
  // Whoever types by now asks for something else.
  if (by("query").value.trim() === query) run(tries);
}

async function run(tries = TRIES) {
  clearTimeout(again);
  const [query, user] = [by("query").value.trim(), by("user").value.trim()];
  const wanted = filters();
  if (query !== asTyped) asTyped = null;
  const correct = asTyped === null;
  const state = new URLSearchParams({
    q: query,
    ...(user && { user }),
    ...(wanted && { filters: JSON.stringify(wanted) }),
    ...(!correct && { correct }),
  });
  history.replaceState(null, "", `${location.pathname}#${state}`);
  inFlight?.abort();
  const mine = (inFlight = new AbortController());
  document.body.setAttribute("aria-busy", "true");
  try {
    const ask = (as, personalize) => api.search({ query, user: as, personalize, correct, k: SHOWN, filters: wanted }, mine.signal);
    const [theirs, anyones] = await Promise.all([user ? ask(user, true) : null, ask(null, false)]);
    show(user, theirs, anyones);
    showCorrected(query, anyones.corrected);
    by("unfit").hidden = anyones.confident !== false; // absent: not known
    by("nearest").hidden = !anyones.hits.length;
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) askForKey();
    if (error.status === 503 && tries > 0) again = setTimeout(runAgain, error.retryAfterMs || TRY_AGAIN_MS, query, tries - 1);
    by("problem").textContent = error.message;
    by("problem").hidden = false;
    by("results").hidden = true;
  } finally {
    if (mine === inFlight) document.body.removeAttribute("aria-busy");
  }
}

function show(user, theirs, anyones) {
  by("opening").hidden = by("problem").hidden = true;
  by("results").hidden = false;
  by("results").classList.toggle("alone", !theirs);
  showLive((theirs || anyones).release_id);
  column(by("anyone"), { id: "anyone", title: "For anyone", note: "not personalized", answer: anyones, other: null });
  by("mine").hidden = by("toggle").hidden = !theirs;
  by("history").hidden = !isKnown(theirs);
  by("columns").dataset.side = theirs ? by("columns").dataset.side : "anyone";
  if (!theirs) {
    by("verdict").replaceChildren("Name a user to see what changes when the shop knows who asks.");
    return;
  }
  const note = theirs.personalized ? "with their history" : isKnown(theirs) ? "history not read" : "no history";
  column(by("mine"), { id: "mine", title: `For ${user}`, note, answer: theirs, other: anyones });
  by("toggle").firstElementChild.textContent = `For ${user}`;
  if (by("columns").dataset.side === "anyone") side("mine");
  by("verdict").replaceChildren(...verdict(user, theirs, anyones));
  if (isKnown(theirs)) showHistory(user, theirs.features);
}

const isKnown = (answer) => Object.values(answer?.features || {}).some((values) => values.length);

function showCorrected(query, corrected) {
  by("corrected").hidden = !corrected;
  const instead = labelled(make("button", "", query), { type: "button" });
  instead.addEventListener("click", () => {
    by("query").value = asTyped = query;
    run();
  });
  by("corrected").replaceChildren("Showing results for ", make("b", "", corrected), ". Search instead for ", instead);
}

function verdict(user, theirs, anyones) {
  if (theirs.fallbacks.includes("online_store_unavailable")) return ["Nobody’s history can be read for now, so both are the same."];
  if (!theirs.personalized && isKnown(theirs)) return [`This release reads no history in a search (one of the catalogue alone never does), so both are the same.`];
  if (!theirs.personalized) return [`Nothing is known of ${user} yet, so both are the same.`];
  const before = new Map(anyones.hits.map((hit, i) => [hit.item_id, i]));
  const come = theirs.hits.filter((hit) => !before.has(hit.item_id)).length;
  const kept = theirs.hits.filter((hit, i) => before.get(hit.item_id) === i).length;
  const rises = theirs.hits.map((hit, i) => ({ hit, by: (before.get(hit.item_id) ?? i) - i }));
  const best = rises.reduce((a, b) => (b.by > a.by ? b : a), { by: 0 });
  const parts = [
    make("b", "", come === 0 ? "No item" : `${come} of ${theirs.hits.length}`),
    come === 1 ? " comes in for " : " come in for ",
    make("em", "", user),
    kept === theirs.hits.length ? "; nothing moved." : `, ${kept === 0 ? "none keeps its place" : kept === 1 ? "1 keeps its place" : `${kept} keep their place`}`,
  ];
  if (best.by > 0) parts.push(`; “${short(best.hit.item?.title || best.hit.item_id)}” rises most, by ${best.by}.`);
  else if (kept < theirs.hits.length) parts.push(".");
  return parts;
}

const short = (text) => (text.length > 48 ? `${text.slice(0, 46).trimEnd()}…` : text);

async function showHistory(user, features) {
  by("history-title").replaceChildren("What is known of ", make("em", "", user));
  const ids = [...(features.recent_items || []), ...(features.recent_orders || [])];
  const titles = new Map((await Promise.resolve(api.items(ids)).catch(() => [])).map((item) => [item.item_id, item.title]));
  const rows = HISTORY.filter((name) => features[name]?.length).flatMap((name) => [
    make("dt", "", words(name)),
    make("dd", "", ...features[name].map((value) => make("span", "", short(titles.get(value) || value)))),
  ]);
  by("history-list").replaceChildren(...rows);
}

function side(name) {
  by("columns").dataset.side = name;
  for (const button of by("toggle").children) button.setAttribute("aria-pressed", String(button.dataset.side === name));
}

function light(event) {
  const id = event.target.closest?.(".hit")?.dataset.id;
  for (const hit of by("columns").querySelectorAll(".hit")) hit.classList.toggle("lit", hit.dataset.id === id);
}

by("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
by("key").addEventListener("submit", (event) => {
  event.preventDefault();
  api.useKey(by("key-value").value);
  connect();
});
by("toggle").addEventListener("click", (event) => event.target.dataset.side && side(event.target.dataset.side));
by("columns").addEventListener("pointerover", light);
by("columns").addEventListener("pointerleave", light);
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  by("query").select();
});
window.addEventListener("hashchange", () => {
  readUrl();
  searchAgain();
});
readUrl();
connect();
