// The student's tokenizer with what its JavaScript library leaves out: the characters that each
// token stands for, and the cut at max_tokens. For WordPiece after BERT's normalizer and splitter.

import { Tokenizer } from "@huggingface/tokenizers";

// BERT's normalizer sets ideographs apart; the library misses those of two UTF-16 units.
const WIDE_IDEOGRAPH = /[\u{20000}-\u{2a6df}\u{2a700}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/u;

// definition: the content of tokenizer.json.
// → a function of a clean text that gives {ids, spans, isCut}: spans[i] is [start, end) of token i
// in UTF-16 units of the text, empty for the special tokens around it.
export function tokenReader(definition, maxTokens) {
  const tokenizer = new Tokenizer(definition, {});
  const added = new Map(definition.added_tokens.map((token) => [token.content, token.id]));
  const MIDDLE = "\0";
  const around = tokenizer.post_processor([MIDDLE], null, true).tokens;
  const [before, after] = [
    around.slice(0, around.indexOf(MIDDLE)),
    around.slice(around.indexOf(MIDDLE) + 1),
  ].map((tokens) => tokens.map((token) => ({ id: added.get(token), span: [0, 0] })));
  const room = maxTokens - before.length - after.length;
  return (text) => {
    const found = sections(text, [...added.keys()]).flatMap(([start, end]) => {
      const id = added.get(text.slice(start, end));
      return id === undefined ? pieces(tokenizer, text, start, end) : { id, span: [start, end] };
    });
    const tokens = [...before, ...found.slice(0, room), ...after];
    return {
      ids: tokens.map((token) => token.id),
      spans: tokens.map((token) => token.span),
      isCut: found.length > room,
    };
  };
}

// The spans of a text between and of the names of special tokens that somebody typed in it.
function sections(text, names) {
  const found = [];
  let start = 0;
  for (let place = 0; place < text.length; place++) {
    const name = names.find((each) => text.startsWith(each, place));
    if (name === undefined) continue;
    found.push([start, place], [place, place + name.length]);
    start = place + name.length;
    place = start - 1;
  }
  return [...found, [start, text.length]];
}

function pieces(tokenizer, text, start, end) {
  // Character by character, as the Rust library normalizes: each knows where it came from.
  let normal = "";
  const origins = [];
  for (let place = start; place < end; ) {
    const character = String.fromCodePoint(text.codePointAt(place));
    const after = place + character.length;
    const isWide = tokenizer.normalizer.config.handle_chinese_chars && WIDE_IDEOGRAPH.test(character);
    const changed = isWide ? ` ${character} ` : tokenizer.normalizer(character);
    for (let unit = 0; unit < changed.length; unit++) origins.push([place, after]);
    normal += changed;
    place = after;
  }
  const prefix = tokenizer.model.config.continuing_subword_prefix;
  const found = [];
  let position = 0;
  for (const word of tokenizer.pre_tokenizer(normal)) {
    position = normal.indexOf(word, position);
    const wordEnd = position + word.length;
    const tokens = tokenizer.model.encode([word]);
    tokens.forEach((token, number) => {
      const isUnknown = token === tokenizer.model.unk_token;
      const length = isUnknown ? word.length : token.length - (number ? prefix.length : 0);
      found.push({
        id: tokenizer.model.tokens_to_ids.get(token),
        span: [origins[position][0], origins[position + length - 1][1]],
      });
      position += length;
    });
    position = wordEnd;
  }
  return found;
}
