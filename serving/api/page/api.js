// Requests to the API this page was served by. What goes wrong is an Error with the server's sentence and its status.

const KEY = "shelfwise.key";

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

async function call(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  const error = new Error(body.detail || `the server answered ${response.status}`);
  error.status = response.status;
  error.retryAfterMs = 1000 * Number(response.headers.get("Retry-After"));
  throw error;
}

export const ready = () => call("/readyz");
export const fields = () => call("/fields");
export const users = () => call("/users");

export function items(ids) {
  const wanted = [...new Set(ids)].slice(0, 100);
  return wanted.length ? call(`/items?${wanted.map((id) => `id=${encodeURIComponent(id)}`).join("&")}`) : [];
}

export function search(asked, signal) {
  return call("/search", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...asked, explain: true, items: true, shown: 0 }), // trying things out is no search of the shop's
    signal,
  });
}
