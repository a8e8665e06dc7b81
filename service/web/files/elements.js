/** Elements, made node by node: text from outside stays text, whatever it holds. */

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element; functions among the attributes listen, false and null leave an attribute out. */
export function element(name, attributes = {}, ...children) {
  return dressed(document.createElement(name), attributes, children);
}

/** Make an element of a picture. */
export function svg(name, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, name), attributes, children);
}

function dressed(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Make a term and what is said of it, of a description list. */
export function described(term, ...content) {
  return element("div", {}, element("dt", {}, term), element("dd", {}, ...content));
}

/** Make a heading with what stands under it. */
export function section(heading, ...content) {
  return element("section", {}, element("h2", {}, heading), ...content);
}

/** Make a word that tells a state: never by its colour alone. */
export function badge(kind, text) {
  return element("span", { class: `badge ${kind}` }, text);
}
