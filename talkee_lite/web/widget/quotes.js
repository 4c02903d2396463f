// Passages of the article that comments are about: chosen by selecting, found again by their text.
import { debounced, fill, make, show } from "./dom.js";

const LONGEST = 300; // letters of a passage
const OTHERS = "script, style, noscript, textarea, select, talkee-comments, talkee-chat, talkee-marks";

// Letters are compared without white space and without regard to case, for which styles care.
const LETTER = /[^\s\u00ad]/g;
const bare = (text) => Array.from(text.matchAll(LETTER), ([letter]) => letter.toLowerCase()[0]).join("");

// The article's letters, and where each of them stands.
const lettersOf = (root) => {
  // Elements (1) and text (4) are shown; 1: this one, 2: nothing of it, 3: what is in it.
  const walker = document.createTreeWalker(root, 5, (node) => {
    if (node.nodeType > 1) return 1;
    const { display, userSelect } = getComputedStyle(node);
    return node.matches(OTHERS) || display === "none" || userSelect === "none" ? 2 : 3;
  });
  const places = [];
  let text = "";
  while (walker.nextNode()) {
    const node = walker.currentNode;
    for (const { 0: letter, index } of node.data.matchAll(LETTER)) {
      text += bare(letter);
      places.push([node, index]);
    }
  }
  return { text, places };
};

const rangeAt = (places, start, end) => {
  const range = new Range();
  const [node, last] = places[end - 1];
  range.setStart(...places[start]);
  range.setEnd(node, last + 1);
  return range;
};

const rangeOf = ({ text, places }, wanted) => {
  const at = wanted[2] ? text.indexOf(wanted) : -1;
  return at < 0 ? null : rangeAt(places, at, at + wanted.length);
};

// What was selected of the article; where it stands there more than once it grows, word by word.
const chosenOf = ({ text, places }, range) => {
  let start = places.findIndex(([node, at]) => range.comparePoint(node, at) >= 0);
  let end = places.findLastIndex(([node, at]) => range.comparePoint(node, at + 1) <= 0) + 1;
  const found = () => text.slice(start, end);
  if (!found()[2] || found()[LONGEST]) return null;
  const isInWord = (n) => places[n]?.[1] === places[n - 1]?.[1] + 1;
  while (start > 0 && !found()[LONGEST] && text.indexOf(found()) !== text.lastIndexOf(found())) {
    do start--; while (isInWord(start));
    do end++; while (isInWord(end));
    end = Math.min(end, text.length);
  }
  return rangeAt(places, start, end);
};

// Painted without touching the page's own elements.
const paintOf = (name) => CSS.highlights.get(name) ?? CSS.highlights.set(name, new Highlight()).get(name);
const styled = new CSSStyleSheet();
styled.replaceSync(`::highlight(talkee-quoted){text-decoration:underline dotted 2px #2f8f6b}
::highlight(talkee-lit){background:#ffe08a;color:#111}`);
document.adoptedStyleSheets.push(styled);

// `write(text)` begins a comment; `jump(id)` shows the comment with this element's id.
export const quotesOf = (view, host, { write, jump }) => {
  const { t, options, on, observe, until, button } = view;
  const quoted = paintOf("talkee-quoted");
  const lit = paintOf("talkee-lit");
  const marks = make("div");
  const talk = button("quote", () => {
    look();
    if (!chosen) return;
    const selection = getSelection();
    selection.empty();
    selection.addRange(chosen);
    // As it is read: what is hidden is not in it, and lines are apart.
    const text = `${selection}`.replace(/\u00ad/g, "").replace(/\s+/g, " ").trim();
    selection.empty();
    show(talk, false);
    write(`> ${text.replace(/[\\`*_[\]<>#~&]|^[-+=]|(?<=^\d+)[.)]/g, "\\$&")}\n\n`);
  }, "about");
  // Pressing the button must not end the selection first.
  talk.addEventListener("pointerdown", (event) => event.preventDefault());
  const layer = make("talkee-marks");
  const root = layer.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = host.shadowRoot.adoptedStyleSheets.slice(1);
  root.append(make("section.layer", { lang: t.lang, dir: t.dir }, marks, talk));
  document.body.append(layer);
  let chosen;

  const one = (selector) => selector && document.querySelector(selector);
  const article = () =>
    one(options.article) || host.closest("article") || one("article") || one("main, [role=main]") || document.body;

  // Where something is, counted from the layer, whatever the page's body is like.
  const put = (element, { right, top }) => {
    const from = layer.getBoundingClientRect();
    Object.assign(element.style, { left: `${right - from.left}px`, top: `${top - from.top}px` });
  };

  const look = () => {
    const selection = getSelection();
    const range = selection.rangeCount && selection.getRangeAt(0);
    chosen = range && chosenOf(lettersOf(article()), range);
    show(talk, chosen);
    if (!chosen) return;
    const { right, bottom } = range.getBoundingClientRect();
    put(talk, { right: Math.max(right, talk.offsetWidth + 8), top: bottom });
  };
  const later = debounced(look, 250);

  const light = (range) => {
    lit.clear();
    lit.add(range);
    scrollTo({ top: scrollY + range.getBoundingClientRect().top - innerHeight / 3 });
    setTimeout(() => lit.delete(range), 6000);
  };

  const place = () => {
    const most = document.documentElement.clientWidth - 4;
    for (const mark of marks.children) {
      const { right, top } = [...mark.range.getClientRects()].at(-1) ?? {};
      put(mark, { right: Math.min(right, most - mark.offsetWidth), top });
    }
  };

  const clear = () => {
    for (const { range } of marks.children) quoted.delete(range);
  };
  const draw = () => {
    if (view.signal.aborted) return;
    clear();
    const letters = lettersOf(article());
    const found = {}; // text → where comments quote it
    for (const quote of host.shadowRoot.querySelectorAll(".comment > .body > .text > blockquote:first-child")) {
      const text = bare(quote.textContent);
      const range = (quote.range = rangeOf(letters, text));
      if (!quote.jump) quote.after((quote.jump = button("passage", () => light(quote.range), "quiet.jump")));
      show(quote.jump, range);
      if (range) (found[text] ??= []).push(quote);
    }
    fill(marks, Object.values(found).map((quotes) => {
      const [quote] = quotes;
      const { range } = quote;
      quoted.add(range);
      const n = quotes.length.toLocaleString(t.lang);
      const title = t("quoted", { n });
      const mark = button(n, () => jump(quote.closest("article").id), "mark", { ariaLabel: title, title });
      return Object.assign(mark, { range });
    }));
    place();
  };
  observe(new ResizeObserver(place), document.documentElement);
  observe(new ResizeObserver(place), document.body);
  on(document, "selectionchange", later);
  until(() => {
    layer.remove();
    lit.clear();
    clear();
  });
  show(talk, false);
  later();

  // Comments were drawn; those that begin with a quotation may be about a passage.
  return debounced(draw, 100);
};
