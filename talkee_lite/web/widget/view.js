// What comments and chat have in common: words, looks, and an end.
import { make } from "./dom.js";
import { serverOf } from "./server.js";
import { wordsOf } from "./words.js";

const sheets = {};

// As constructed a style sheet passes where a page's policy forbids <style>.
const lookOf = async (base) => {
  const text = await (await fetch(`${base}widget/look.css`)).text();
  return new CSSStyleSheet().replace(text);
};

export const openView = async (host, options) => {
  const { base, theme } = options;
  const root = host.shadowRoot;
  const [t, sheet] = await Promise.all([wordsOf(base, options.lang), (sheets[base] ??= lookOf(base))]).catch(
    (error) => {
      delete sheets[base];
      throw error;
    },
  );
  const server = serverOf(base, options.siteId);
  const ends = new AbortController();
  const { signal } = ends;
  const until = (off) => signal.addEventListener("abort", off);
  const section = make("section.root", { lang: t.lang, dir: t.dir });
  root.adoptedStyleSheets = [root.adoptedStyleSheets[0], sheet];
  root.replaceChildren(section);

  // As dark as the page: told by its letters, whatever made them light.
  const tone = () => {
    const { color } = getComputedStyle(host);
    const [a, b, c] = color.match(/[\d.]+/g).map(Number);
    const isLight = color[0] === "r" ? a + b + c > 400 : a > 1 ? a > 60 : a > 0.6;
    section.className = /k|t$/.test(theme) ? `${theme} own` : isLight ? "dark" : "light";
  };
  const watch = new MutationObserver(tone);
  watch.observe(document.documentElement, { attributes: true });
  watch.observe(document.body, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tone, { signal });
  until(() => watch.disconnect());
  tone();

  const view = {
    t, server, section, options, signal, until,
    // A button by the name of its text.
    button: (name, click, kind = "quiet", properties) =>
      make(`button.${kind}`, { type: "button", click, ...properties }, t(name) ?? name),
    time: (iso, text = t.ago(iso)) => make("time.faint", { dateTime: iso, title: t.full(iso) }, text),
    tell: (name, detail) =>
      host.dispatchEvent(new CustomEvent(`talkee-${name}`, { detail, bubbles: true, composed: true })),
    end: () => ends.abort(),
    // What a refusal means, in the reader's language where there is a text for it.
    explain: (error) => {
      const said = t(error.error, { n: error.wait || 1 }) ?? (error.status ? error.message : t("failed"));
      return error.suggestion ? `${said} ${t("try_name", { name: error.suggestion })}` : said;
    },
    // What the owner alone can cure; on their own machine it is said on the page.
    cure: (error) => {
      const text = server.cure(error);
      if (text) section.replaceChildren(options.isLocal ? make("p.notice", {}, text) : "");
      if (text) host.setAttribute("data-loaded", ""); // no place is kept for what does not come
      return text;
    },
  };
  until(server.onPerson(() => view.tell("signin", { user: server.user ?? null })));
  // Whoever is logged in on the page's own site is somebody here.
  if (options.sso && !server.user) {
    import("./sign-in.js").then(({ signInByPage }) => signInByPage(view, "sso")).catch(() => {});
  }
  return view;
};

// What the page is, for the server to learn: the canonical address, without what follows "#".
export const pageOf = () => {
  const link = document.querySelector("link[rel=canonical][href]");
  return { address: (link ?? location).href.split("#")[0], title: document.title };
};
