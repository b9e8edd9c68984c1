"use strict";
const rows = JSON.parse(document.getElementById("rows").textContent);
const form = document.getElementById("filters");
const PAGE = 20;
let shown = PAGE;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function addChoices(name, values) {
  for (const value of values) form.elements[name].append(element("option", "", value));
}

// Offsets count characters as Python does, not UTF-16 units.
function quoted(row) {
  const letters = Array.from(row.text);
  const quotes = { gold: row.quoted };
  for (const [model, said] of Object.entries(row.models)) quotes[model] = said.spans;
  const line = element("div", "text");
  const marks = letters.map(() => []);
  for (const [who, spans] of Object.entries(quotes)) {
    for (const [from, to] of spans || []) {
      for (let place = from; place < to && place < marks.length; place++) marks[place].push(who);
    }
  }
  for (let start = 0, end = 0; start < letters.length; start = end) {
    const who = marks[start];
    while (end < letters.length && marks[end].join() === who.join()) end++;
    const part = element(who.length ? "mark" : "span", who.join(" "), letters.slice(start, end).join(""));
    if (who.length) part.title = "quoted by " + who.join(", ");
    line.append(part);
  }
  return line;
}

function isRight(row, model) {
  return row.models[model].answer === row.gold;
}

function answer(row, model) {
  const said = row.models[model];
  const made = element("span", "");
  const tone = row.kind === "regression" ? "" : isRight(row, model) ? "right" : "wrong";
  made.append(model + " ", element("b", tone, said.answer));
  if (said.chance !== null) made.append(" (" + said.chance.toFixed(2) + ")");
  return made;
}

function card(row) {
  const made = element("article", "example");
  made.append(element("div", "about", row.task.replaceAll("_", " ") + " · " + row.id));
  if (row.context) made.append(element("blockquote", "", row.context));
  made.append(quoted(row));
  const answers = element("div", "answers");
  const gold = element("span", "");
  gold.append("gold ", element("b", "", row.gold));
  answers.append(gold);
  for (const model of ["teacher", "student"]) {
    if (row.models[model]) answers.append(answer(row, model));
  }
  made.append(answers);
  return made;
}

function within(value, choice, low, high) {
  if (!choice) return true;
  if (choice === "middle") return value > low && value <= high;
  return choice === "short" || choice === "low" ? value <= low : value > high;
}

function matches(row, wanted) {
  const isValue = row.kind === "regression";
  for (const model of ["teacher", "student"]) {
    if (!wanted[model]) continue;
    if (isValue || !row.models[model]) return false;
    if (isRight(row, model) !== (wanted[model] === "right")) return false;
  }
  if (wanted.task && row.task !== wanted.task) return false;
  if (wanted.gold && row.gold !== wanted.gold) return false;
  if (wanted.same) {
    if (isValue || !row.models.teacher) return false;
    const same = row.models.teacher.answer === row.models.student.answer;
    if (same !== (wanted.same === "yes")) return false;
  }
  if (!within(row.text.trim().split(/\s+/).length, wanted.length, 10, 30)) return false;
  const chance = row.models.student.chance;
  if (wanted.sure && (chance === null || !within(chance, wanted.sure, 0.6, 0.9))) return false;
  return row.text.toLowerCase().includes(wanted.words.toLowerCase());
}

function show() {
  const wanted = Object.fromEntries(new FormData(form));
  const found = rows.filter((row) => matches(row, wanted));
  const place = document.getElementById("examples");
  place.replaceChildren(...found.slice(0, shown).map(card));
  const seen = Math.min(shown, found.length);
  document.getElementById("count").textContent =
    `${seen} of ${found.length} rows shown` + (found.length < rows.length ? `, of ${rows.length} in all` : "");
  document.getElementById("more").hidden = found.length <= shown;
}

addChoices("task", [...new Set(rows.map((row) => row.task))]);
const classified = rows.filter((row) => row.kind === "classification");
addChoices("gold", [...new Set(classified.map((row) => row.gold))]);
form.addEventListener("input", () => { shown = PAGE; show(); });
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("more").addEventListener("click", () => { shown += PAGE; show(); });
show();
for (const sample of document.querySelectorAll("[data-task]")) {
  const quoting = rows.filter((row) => row.task === sample.dataset.task && row.quoted?.length);
  sample.append(...quoting.slice(0, 3).map(card));
}
