// Elements of the page, and how names and shares read in it.

// children are elements or text, which is never read as markup.
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const plain = (name) => name.replaceAll("_", " ");

// 93 %, and never 0 % or 100 %, which would say that the model knows.
export function percent(share) {
  const rounded = Math.round(100 * share);
  return `${rounded < 1 ? "<1" : rounded > 99 ? ">99" : rounded}\u00a0%`;
}

// A bar next to a number that says the same.
export function bar(share) {
  const made = element("span", { class: "bar", "aria-hidden": "true" }, element("span", {}));
  made.firstChild.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return made;
}
