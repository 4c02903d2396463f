"""What axe-core finds wrong with a page as it stands: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

from functools import lru_cache

from playwright.async_api import Page

from ..validator import node_modules

# Nothing but what it finds goes back: its answer has all that it looked at.
_RUN = """async ([within, without]) => {
  const { violations } = await axe.run(within ? { include: [within] } : document, {
    resultTypes: ["violations"],
    rules: Object.fromEntries(without.map((rule) => [rule, { enabled: false }])),
  });
  return violations.flatMap(({ id, help, nodes }) => nodes.map(
    ({ target, failureSummary }) => `${id}: ${help}: ${target.flat().join(" ")}: ${failureSummary}`,
  ));
}"""


async def axe(page: Page, within: str = "", without: tuple[str, ...] = ()) -> list[str]:
    """What is wrong, a line for each place; looks into open shadow roots too.

    `within`: a selector of the part that is looked at, else all of it. `without`: rules that do
    not count, such as `region` where the page around a widget is only the test's.
    """
    # Not as a <script>, which a page's policy may forbid.
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(f"() => {{ {_source()}; window.axe = axe; }}")
    found: list[str] = await page.evaluate(_RUN, [within, list(without)])
    return found


@lru_cache(maxsize=1)
def _source() -> str:
    return (node_modules() / "axe-core" / "axe.min.js").read_text()
