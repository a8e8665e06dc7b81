/** Fields to say what is right: a class, or values. */

import { element } from "./elements.js";
import { number } from "./numbers.js";

const AT_ONCE = 12; // more classes than these are written, not shown

/** Make the field of a class: `{node, read, focus, keys}`. */
export function classField(labels, prediction) {
  if (!labels.length || labels.length > AT_ONCE) return writtenClass(labels, prediction);
  const shortcuts = keysOf(labels);
  const choices = labels.map((label, place) => {
    const radio = element("input", { type: "radio", name: "label", value: label, required: true });
    const said = label === prediction.label ? element("span", { class: "quiet small" }, "the model's") : null;
    const shown = element("label", { class: "choice" }, radio, element("span", {}, label), shortcuts[place] ? element("kbd", {}, shortcuts[place]) : null, said);
    return { radio, shown };
  });
  const choose = ({ radio }) => {
    radio.checked = true;
    radio.focus();
  };
  const keys = Object.fromEntries(choices.map((one, place) => [shortcuts[place], { does: () => choose(one) }]).filter(([key]) => key));
  const [first] = Object.keys(keys);
  if (first !== undefined) keys[first].says = `choose ${labels[shortcuts.indexOf(first)]}; the other classes likewise`;
  return {
    node: element("fieldset", { class: "choices" }, element("legend", { class: "unseen" }, "The right class"), choices.map((one) => one.shown)),
    read: () => ({ label: choices.find(({ radio }) => radio.checked).radio.value }),
    focus: "[name=label]",
    keys,
  };
}

/** Labels that are digits are their own keys; others have their place, as far as digits go. */
function keysOf(labels) {
  const digits = labels.every((label) => /^\d$/.test(label));
  return labels.map((label, place) => (digits ? label : place < 9 ? String(place + 1) : null));
}

function writtenClass(labels, prediction) {
  const field = element("input", { id: "label", list: "labels", required: true, maxlength: "1000", autocomplete: "off", placeholder: prediction.label });
  return {
    node: element(
      "div",
      {},
      element("label", { for: "label" }, "The right class"),
      field,
      element("datalist", { id: "labels" }, labels.map((label) => element("option", { value: label }))),
    ),
    read: () => ({ label: field.value }),
    focus: "#label",
    keys: { l: { says: "write the class", does: () => field.focus() } },
  };
}

/** Make the fields of values: `{node, read, focus, keys}`. */
export function valueField(prediction) {
  const several = prediction.value.length > 1;
  const fields = prediction.value.map((value, place) =>
    element("input", { id: `value-${place}`, type: "number", step: "any", required: true, inputmode: "decimal", placeholder: number(value) }),
  );
  const named = (place) => (several ? `The right value ${place + 1}` : "The right value");
  return {
    node: element("div", {}, fields.map((field, place) => [element("label", { for: field.id }, named(place)), field]).flat()),
    read: () => ({ value: several ? fields.map((field) => field.valueAsNumber) : fields[0].valueAsNumber }),
    focus: "#value-0",
    keys: { l: { says: "write the value", does: () => fields[0].focus() } },
  };
}
