// Texts in the reader's language: one file each in words/, of which the server sends the nearest.

// `t(key, values)`, undefined where there is no such text, and how times are written.
export const wordsOf = async (base, language) => {
  // Pages say `en_US` too, or what is no language at all: the server then sends the English ones.
  const tag = language.replace(/[^a-z\d]/gi, "-").slice(0, 35);
  const texts = await (await fetch(`${base}widget/words/${tag}.json`)).json();
  const { lang } = texts;
  const plural = new Intl.PluralRules(lang);
  const ago = new Intl.RelativeTimeFormat(lang, { numeric: "auto" });
  const format = (options) => {
    const { format } = new Intl.DateTimeFormat(lang, options);
    return (time) => format(new Date(time));
  };
  const date = format({ dateStyle: "medium" });
  const t = (key, values = {}) => {
    const text = texts[key];
    return (text?.[plural.select(values.n)] ?? text?.other ?? text)?.replace(
      /{(\w+)}/g,
      (_, name) => (values[name] ?? "").toLocaleString(lang),
    );
  };
  return Object.assign(t, {
    lang,
    dir: texts.dir,
    full: format({ dateStyle: "long", timeStyle: "short" }),
    format,
    // "5 minutes ago" for a week, then the date.
    ago: (time) => {
      const minutes = Math.round((Date.parse(time) - Date.now()) / 60000);
      if (minutes > -1) return t("now");
      if (minutes > -60) return ago.format(minutes, "minute");
      if (minutes > -1440) return ago.format(Math.round(minutes / 60), "hour");
      return minutes > -10080 ? ago.format(Math.round(minutes / 1440), "day") : date(time);
    },
  });
};
