// The OpenAPI document as a page to read: what each endpoint takes, gives and refuses.

import { by, make } from "./dom.js";

const plain = (text) => (text || "").replaceAll("`", "");

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.enum || schema.const) return (schema.enum || [schema.const]).join(" | ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(" | ");
  if (schema.type === "array") return `[${typeOf(schema.items)}]`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return `{name: ${typeOf(schema.additionalProperties)}}`;
  return schema.type || "any";
}

function table(title, rows) {
  if (!rows.length) return [];
  const cells = (row) => make("tr", "", ...row.map((text) => make("td", "", plain(String(text ?? "")))));
  return [make("h3", "", title), make("table", "", make("tbody", "", ...rows.map(cells)))];
}

function properties(schema, all) {
  const named = schema?.$ref ? all[schema.$ref.split("/").at(-1)] : schema?.items?.$ref ? all[schema.items.$ref.split("/").at(-1)] : schema;
  const needed = named?.required || [];
  return Object.entries(named?.properties || {}).map(([name, value]) => [
    name,
    typeOf(value),
    [needed.includes(name) && named.additionalProperties === false ? "Required." : "", value.description].filter(Boolean).join(" "),
  ]);
}

function curl(method, path, body, all) {
  const example = body?.$ref && all[body.$ref.split("/").at(-1)].examples?.[0];
  const data = example ? ` \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(example)}'` : "";
  return make("pre", "", `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}'${location.origin}${path}'${data}`);
}

function operation(path, method, told, all) {
  const body = told.requestBody?.content?.["application/json"]?.schema;
  const good = Object.entries(told.responses).find(([status]) => status.startsWith("2"));
  const given = good?.[1].content?.["application/json"]?.schema;
  const parameters = (told.parameters || []).map((p) => [p.name, typeOf(p.schema), [p.required ? "Required." : "", p.description].filter(Boolean).join(" ")]);
  const refused = Object.entries(told.responses).filter(([status]) => !status.startsWith("2")).map(([status, r]) => [status, "", r.description]);
  const query = path === "/search" && method === "get" ? "?query=red+sofa&k=3" : "";
  return make(
    "article",
    "",
    make("h2", "", make("span", "method", method.toUpperCase()), path),
    make("p", "", plain(told.description)),
    ...table("Parameters", parameters),
    ...table("Takes", properties(body, all)),
    ...table(`Gives (${good?.[0]}) ${typeOf(given)}`, properties(given, all)),
    ...table("Refuses", refused),
    make("h3", "", "For example"),
    curl(method, path + query, body, all),
  );
}

const api = await (await fetch("/openapi.json")).json();
const schemas = api.components.schemas;
by("docs").append(
  make("p", "", plain(api.info.description)),
  ...Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, told]) => operation(path, method, told, schemas)),
  ),
);
