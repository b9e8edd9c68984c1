// data/cleaning.py for the browser: entities unescaped, white space folded, each character of the
// clean text traceable to the raw one. Positions are UTF-16 units, as JavaScript counts them.

const ENTITY = /&(?:amp;)*(#\p{Nd}{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,31};)/uy;
const AMPERSAND = /&(?:amp;)*(amp;)/uy;
const NUMBER = /^#(?:[xX]([0-9a-fA-F]+)|([0-9]+));?/;
// What Python's str.isspace calls white space, and the zero-width marks.
const SPACE =
  /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u200b\ufeff\u2060]/;
const MOST_CHARACTERS = 1000000;
const SURROGATE = /[\ud800-\udfff]/u;

// What keeps the student from reading a text, as the end of "the text …"; null where nothing does.
export function faultOf(raw) {
  if (raw.length > MOST_CHARACTERS && [...raw].length > MOST_CHARACTERS) {
    return `has more than ${MOST_CHARACTERS.toLocaleString("en")} characters`;
  }
  if (raw.includes("\0")) return "holds a NUL character";
  const found = SURROGATE.exec(raw);
  if (!found) return null;
  const isByte = found[0] >= "\udc80" && found[0] <= "\udcff";
  return `holds ${isByte ? "bytes that are not UTF-8, or " : ""}half a surrogate pair`;
}

// entities: name with its semicolon → characters, "#0;" to "#159;" among them.
// → {text, starts, ends}: unit i of the text stands for raw.slice(starts[i], ends[i]).
export function clean(raw, entities) {
  const units = [], starts = [], ends = [];
  let position = 0;
  while (position < raw.length) {
    const sign = String.fromCodePoint(raw.codePointAt(position));
    const match = sign === "&" ? entityAt(raw, position, entities) : null;
    const replaced = match ? unescape(match[1], entities) : sign;
    const after = position + (match ? match[0].length : sign.length);
    for (const unit of replaced.split("")) {
      const isSpace = SPACE.test(unit);
      if (isSpace && units.at(-1) === " ") {
        ends[ends.length - 1] = after;
        continue;
      }
      units.push(isSpace ? " " : unit);
      starts.push(position);
      ends.push(after);
    }
    position = after;
  }
  const first = units[0] === " " ? 1 : 0;
  const last = units.length - (units.length > first && units.at(-1) === " " ? 1 : 0);
  return {
    text: units.slice(first, last).join(""),
    starts: starts.slice(first, last),
    ends: ends.slice(first, last),
  };
}

function entityAt(raw, position, entities) {
  const match = matchAt(ENTITY, raw, position);
  const isUnknown = match && match[1][0] !== "#" && !Object.hasOwn(entities, match[1]);
  return isUnknown ? matchAt(AMPERSAND, raw, position) : match;
}

function matchAt(pattern, raw, position) {
  pattern.lastIndex = position;
  return pattern.exec(raw);
}

// Python's html.unescape of "&" and what followed it.
function unescape(name, entities) {
  if (name[0] !== "#") return entities[name];
  const number = NUMBER.exec(name);
  // Digits of other scripts are digits to the pattern above, as in Python, but no number.
  if (!number) return "&" + name;
  const code = number[1] ? parseInt(number[1], 16) : parseInt(number[2], 10);
  return character(code, entities) + name.slice(number[0].length);
}

function character(code, entities) {
  if (code < 160) return entities[`#${code};`];
  if ((code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return "\ufffd";
  const isNone = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
  return isNone ? "" : String.fromCodePoint(code);
}
