"""Files are made small in a process of its own, once; where that fails they go out as they are."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from talkee_lite.api.bundle import FILES, Bundle
from talkee_lite.minifying import minified

from .harness import config_in, running

TEXTS = {
    "a.js": 'const whole = (number) => {\n  return `${number} "é\u2028" 日本`; // why\n};\n',
    "b.css": "/* why */ a:hover { color: #ff0000; margin: 0px }\n",
}
# A package of the same name that notes each time that it is loaded, beside itself.
NOTES = """
from pathlib import Path
with (Path(__file__).parent / "loaded").open("a") as file:
    file.write("x")
def string(kind, text):
    return f"{kind} {len(text)}"
"""


def put_minify(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    """Another package of that name, which is found first."""
    (folder / "minify.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))


def test_scripts_and_style_sheets_get_smaller() -> None:
    assert minified(TEXTS) == {
        "a.js": 'let whole=e=>`${e} "é\u2028" 日本`',
        "b.css": "a:hover{color:red;margin:0}",
    }
    assert "minify" not in sys.modules


# `{ account }` is what the minifier does not see as something that is needed.
IN_ORDER = """
const said = [];
const say = (text) => {
  said.push(text);
  return { text, [Symbol.iterator]: () => [text].values() };
};
const run = () => {
  const ask = (given) => say(JSON.stringify(given));
  const [account] = say("one");
  const { text } = ask({ account });
  const last = say("two");
  let [changes] = say("three");
  for (let { text } = last; text; text = "") changes += text;
  const { length } = said;
  return `${text} ${changes} ${length}`;
};
console.log(run(), said.join());
"""


def test_what_is_declared_keeps_its_order() -> None:
    if shutil.which("node") is None:
        pytest.fail("node is missing; install Debian's nodejs")
    made = minified({"a.js": IN_ORDER})["a.js"]
    assert len(made) < len(IN_ORDER) * 0.8
    assert "const" not in made
    for script in (IN_ORDER, made):
        run = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=30)
        assert run.stdout.strip() == '{"account":"one"} threetwo 4 one,{"account":"one"},two,three'


def test_without_the_package_they_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with caplog.at_level(logging.DEBUG, "talkee_lite"):
        assert minified(TEXTS) == TEXTS
    assert caplog.messages == ['files_not_minified reason="no package"']


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "has no attribute 'string'"),
        ("raise ImportError('of another system')", "of another system"),
        ("def string(kind, text): raise ValueError(f'{kind}: unexpected }}')", "unexpected }"),
        ("def string(kind, text): return ''", "something is missing"),
        ("import os; os._exit(0)", "Expecting value"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9"),
        ("import time; time.sleep(600)", "took too long"),
    ],
)
def test_where_it_fails_they_stay_as_they_are_and_a_line_says_why(
    source: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_minify(monkeypatch, tmp_path, source)
    seconds = 2 if "sleep" in source else 60
    with caplog.at_level(logging.INFO, "talkee_lite"):
        assert minified(TEXTS, seconds) == TEXTS
    (line,) = caplog.messages
    assert line.startswith("files_not_minified reason=")
    assert reason in line


def test_where_no_process_can_be_started_they_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for executable in ("", str(tmp_path / "none")):
        monkeypatch.setattr(sys, "executable", executable)
        assert minified(TEXTS) == TEXTS


# All at once, and once.


async def test_many_who_ask_wait_for_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_minify(monkeypatch, tmp_path, NOTES)
    bundle = Bundle({}, ())
    first = asyncio.create_task(bundle.find("talkee.js"))
    others = [asyncio.create_task(bundle.find(name)) for name in FILES for _ in range(20)]
    await asyncio.sleep(0)
    # Who goes away takes nothing from the others.
    first.cancel()
    found = await asyncio.gather(*others)
    assert len(set(found)) == len(FILES)
    file = await bundle.find("thread.css")
    assert file in found
    assert file is not None
    assert file.body.startswith(b"text/css ")
    assert await bundle.find("none.js") is None
    assert (tmp_path / "loaded").read_text() == "x"


def test_loops_side_by_side_wait_for_one_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_minify(monkeypatch, tmp_path, NOTES)
    bundle = Bundle({}, ())
    found = []

    def ask() -> None:
        found.append(asyncio.run(bundle.find("admin.js")))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert (tmp_path / "loaded").read_text() == "x"


async def test_what_could_not_be_made_is_tried_again() -> None:
    parts = {"none.js": ["none.js"]}
    bundle = Bundle(parts, ())
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            await bundle.find("talkee.js")
    parts.clear()
    assert await bundle.find("talkee.js") is not None


async def test_a_server_sends_the_small_ones(tmp_path: Path) -> None:
    web = Path(__file__).parent.parent / "talkee_lite" / "web"
    async with running(config_in(tmp_path)) as server:
        for name in FILES:
            async with server.session.get(f"{server.url}/{name}") as response:
                assert len(await response.read()) < 0.9 * (web / name).stat().st_size
    # The server itself carries nothing of the minifier.
    assert sys.modules.keys().isdisjoint({"minify", "minify._ffi_minify"})
