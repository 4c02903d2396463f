// What comments and chat have in common: words, looks, a list that is kept up to date, and an end.
import { listening, make } from "./dom.js";
import { decides, isPassing, serverOf } from "./server.js";
import { wordsOf } from "./words.js";

// As constructed a style sheet passes where a page's policy forbids <style>.
const lookOf = async (base) => {
  const text = await (await fetch(`${base}widget/look.css`)).text();
  return new CSSStyleSheet().replace(text);
};

// Who mounts it gives `paint()`, `ask()`, which is awaited for a list, `came(list)`, `take(event)`
// and perhaps `note()`. Nothing is painted before there is a list, unless it `isReady`. `options.ends`
// ends it, also while what it needs is on its way: nothing of it has been done by then.
export const openView = async (host, options, isReady) => {
  const { base, theme, slug, ends } = options;
  const root = host.shadowRoot;
  const [t, sheet] = await Promise.all([wordsOf(base, options.lang), lookOf(base)]);
  const { signal } = ends;
  signal.throwIfAborted();
  const server = serverOf(base, options["site-id"]);
  const until = (off) => signal.addEventListener("abort", off);
  const on = listening(signal);
  const observe = (watch, target, how) => {
    watch.observe(target, how);
    until(() => watch.disconnect());
  };
  const section = make("section.root", { lang: t.lang, dir: t.dir });
  const status = make("p.status", { role: "status" });
  root.adoptedStyleSheets = [root.adoptedStyleSheets[0], sheet];
  root.replaceChildren(section);

  // As dark as the page: told by its letters, whatever made them light.
  const tone = () => {
    const { color } = getComputedStyle(host);
    if (!color) return; // not in the page
    const [a, b, c] = color.match(/[\d.]+/g).map(Number);
    const isLight = color[0] === "r" ? a + b + c > 400 : a > 1 ? a > 60 : a > 0.6;
    section.className = /k|t$/.test(theme) ? `${theme} own` : isLight ? "dark" : "light";
  };
  // The style sheet has letters take a moment to change their colour.
  on(section, "transitionrun", tone);
  // Nothing takes a moment while it is not shown; this also sees it for the first time.
  observe(new ResizeObserver(tone), section);

  let connection, drawing, said, turn, isExtending;

  const paint = () => {
    drawing = null;
    if (signal.aborted) return;
    status.textContent = (isReady && (connection || view.note?.())) || said;
    if (!isReady) return;
    // First, as it takes away the place that was reserved.
    host.setAttribute("data-loaded", "");
    view.paint();
  };

  const view = {
    t, server, section, status, options, signal, until, on, observe,
    query: server.query(slug),
    // A button by the name of its text.
    button: (name, click, kind = "quiet", properties) =>
      make(`button.${kind}`, { type: "button", click, ...properties }, t(name) ?? name),
    time: (iso, text = t.ago(iso)) => make("time.faint", { dateTime: iso, title: t.full(iso) }, text),
    author: (user) => [
      make("b.author", { dir: "auto" }, user.full_name),
      decides(user) && make("span.badge", {}, t(user.kind)),
    ],
    // Under which name the browser keeps what is typed.
    draftOf: (key) => `draft ${base}${server.siteId} ${key}`,
    tell: (name, detail) =>
      host.dispatchEvent(new CustomEvent(`talkee-${name}`, { detail, bubbles: true, composed: true })),
    // Several changes at once are drawn once.
    draw: () => {
      drawing ??= document.hidden ? setTimeout(paint, 50) : requestAnimationFrame(paint);
    },
    say: (text) => {
      said = text;
      view.draw();
    },
    // What a refusal means, in the reader's language where there is a text for it.
    explain: (error) => t(error.error, { n: error.wait || 1 }) ?? error.msg ?? t("failed"),
    // What somebody asked for, and is told where it does not work.
    attempt: (promise) => promise.catch((error) => view.say(view.explain(error))),
    fail: (error) => {
      if (/^(origin|site_n|invalid_s)/.test(error.error)) {
        // The owner alone can cure it.
        host.refuse(`${error.msg} ${error.cure ?? ""}`);
        ends.abort();
      } else if (!isPassing(error) && error.status !== 401) view.say(view.explain(error));
    },
    // Ask for the list, or for another one; what is heard meanwhile comes after it. The last that was
    // asked for counts.
    load: async (isOther) => {
      const own = (turn = {});
      isReady &&= !isOther;
      view.early ??= [];
      try {
        const list = await view.ask();
        if (own === turn) {
          isReady = true;
          view.came(list);
        }
      } catch (error) {
        if (own === turn) view.fail(error);
      }
      if (own !== turn) return;
      const { early } = view;
      view.early = null;
      // Once something is missing, the list that is asked for then has all of it.
      early.forEach((event) => view.early || view.hear(event));
      view.draw();
    },
    hear: (event) => {
      const { type, state } = event;
      if (type === "state") {
        connection = t(state); // where all is well there is no text
        view.draw();
      } else if (type !== "poll") view.early ? view.early.push(event) : view.take(event);
      else if (!view.early) view.load();
    },
    // What lies behind the list, or before it.
    extend: async (ask, extended) => {
      if (view.early || isExtending) return;
      isExtending = true;
      const own = turn;
      try {
        const list = await ask();
        if (own === turn) extended(list);
      } catch (error) {
        view.fail(error);
      }
      isExtending = false;
    },
  };
  until(server.onPerson(() => view.tell("signin", { user: server.user ?? null })));
  // Whoever is logged in on the page's own site is somebody here: its server signs a token for them.
  const { sso } = options;
  view.bySite = async () => {
    const response = await fetch(sso);
    if (!response.ok) throw response;
    return { token: (await response.text()).trim() };
  };
  if (sso && !server.user) server.signIn("sso", window.Talkee.methods.sso ?? view.bySite).catch(() => {});
  return view;
};
