// What the student answers, as elements: the text with its quotes underlined, and a card a task.

import { bar, element, percent, plain } from "./elements.js";

const MEANINGS = {
  emotional_reactions: "warmth, compassion or concern in the reply",
  interpretations: "the reply says that it understands what the other feels or lives through",
  explorations: "the reply asks about what was not said",
};
const LINES = 6; // kinds of underline in page.css

// All answers about one text. tasks: rows of tasks.json; found: {answers, readTo, refusal}.
export function section(tasks, name, raw, found) {
  const taskOf = (answer) => tasks.find((task) => task.name === answer.task);
  const quoting = tasks.filter((task) => task.has_rationale).map((task) => task.name);
  const lineOf = (task) => `line line-${quoting.indexOf(task) % LINES}`;
  const made = element("section", { "data-text": name }, element("h2", {}, `The ${name}`));
  if (found.refusal) {
    made.append(element("p", { class: "refusal" }, found.refusal));
    return made;
  }
  const isMarked = found.answers.some((answer) => taskOf(answer).has_rationale);
  if (isMarked || found.readTo < raw.length) {
    made.append(...marked(raw, found, lineOf));
  }
  if (found.readTo < raw.length) {
    made.append(element("p", { class: "hint" }, `The student read the first ` +
      `${tasks[0].max_tokens} pieces of words; the grey end was not read.`));
  }
  made.append(element("div", { class: "cards" },
    ...found.answers.map((answer) => card(taskOf(answer), answer, raw, lineOf))));
  return made;
}

// The text with the quoted parts underlined, a line a task, and what was not read set back.
function marked(raw, { answers, readTo }, lineOf) {
  const quotes = answers.flatMap(({ task, quotes }) =>
    quotes.map(([start, end]) => ({ task, start, end })));
  const edges = [0, readTo, raw.length, ...quotes.flatMap(({ start, end }) => [start, end])];
  const cuts = [...new Set(edges)].sort((one, two) => one - two);
  const words = element("p", { class: "words", dir: "auto" });
  cuts.slice(1).forEach((end, number) => {
    const start = cuts[number];
    let piece = document.createTextNode(raw.slice(start, end));
    if (start >= readTo) piece = element("span", { class: "unread" }, piece);
    for (const quote of quotes) {
      if (quote.start <= start && end <= quote.end) {
        piece = element("mark", { class: lineOf(quote.task), "data-task": quote.task }, piece);
      }
    }
    words.append(piece);
  });
  const named = [...new Set(quotes.map(({ task }) => task))];
  const key = element("p", { class: "key" }, "Underlined: ", ...named.map((name) =>
    element("span", { class: lineOf(name) }, plain(name))));
  return named.length ? [words, key] : [words];
}

function card(task, answer, raw, lineOf) {
  const title = element("span", task.has_rationale ? { class: lineOf(task.name) } : {},
    plain(task.name));
  const made = element("article", { class: "card", "data-task": task.name },
    element("h3", {}, title));
  if (task.name in MEANINGS) made.append(element("p", { class: "hint" }, MEANINGS[task.name]));
  made.append(...(task.kind === "regression" ? scale(task, answer) : classes(task, answer)));
  if (task.has_rationale) {
    const quotes = answer.quotes.map(([start, end]) =>
      element("li", {}, element("q", { dir: "auto" }, raw.slice(start, end))));
    made.append(quotes.length
      ? element("ul", { class: "quotes", "aria-label": "quoted words" }, ...quotes)
      : element("p", { class: "hint" }, "quotes no words"));
  }
  return made;
}

function classes(task, { label, probabilities }) {
  const best = task.classes.indexOf(label);
  const share = (number) =>
    element("data", { value: probabilities[number] }, percent(probabilities[number]));
  const rows = task.classes.map((name, number) =>
    element("li", number === best ? { class: "best" } : {},
      element("span", { class: "name" }, name), bar(probabilities[number]),
      share(number)));
  return [
    element("p", { class: "answer" }, element("strong", {}, label), " ", share(best)),
    element("ul", { class: "classes" }, ...rows),
  ];
}

function scale(task, { value }) {
  return [
    element("p", { class: "answer" },
      element("strong", {}, element("data", { value }, value.toFixed(2))),
      ` from ${task.low} to ${task.high}`),
    bar((value - task.low) / (task.high - task.low)),
  ];
}

// The same answers as sentences for a screen reader.
export function sentences(raw, found) {
  if (found.refusal) return found.refusal;
  return found.answers.map((answer) => {
    const said = answer.label === null
      ? answer.value.toFixed(2)
      : `${answer.label}, ${percent(Math.max(...answer.probabilities))}`;
    const quotes = answer.quotes.map(([start, end]) => `“${raw.slice(start, end)}”`);
    const words = quotes.length ? `, quotes ${quotes.join(" and ")}` : "";
    return `${plain(answer.task)}: ${said}${words}.`;
  }).join(" ");
}
