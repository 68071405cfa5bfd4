// Elements out of tags and texts. Nothing from the server becomes markup.

export const by = (id) => document.getElementById(id);

export function make(tag, name, ...content) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...content.filter((part) => part !== null && part !== undefined && part !== ""));
  return element;
}

export function labelled(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export const words = (name) => name.replaceAll("_", " ");
export const figure = (number, digits = 0) => Number(number).toLocaleString("en", { maximumFractionDigits: digits });
