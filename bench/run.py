"""The run itself: round after round, each contender of a case in turn."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from websockets.sync.client import connect

from . import seed
from .case import Case, Contender
from .load import Figures
from .servers import Kind, Server, running
from .setting import Bench

Values = dict[str, list[float]]
"""Figure → its value in each round."""
Results = dict[str, dict[str, Values]]
"""Case → contender → figures."""

OTHERS = "other_share"
"""Cores that other programs took while something was measured; kept beside every case's figures."""
NOISE = 0.1
"""The share from which on a measurement is repeated."""
REPEATS = 2


def measure_sizes(bench: Bench) -> None:
    """Find out how long the measured server's frames and lists are, for the references."""
    tokens = bench.tokens.read_text().splitlines()
    token = tokens[min(bench.scale.fan_sockets, len(tokens) - 1)]
    with running(bench, Kind("ours", bench.scale.small)) as server:
        room = f"site_id=1&slug={seed.slug_of(0)}"
        bench.list_bytes = len(_call(server, "GET", f"/ws/messages?{room}", token))
        with connect(f"ws://127.0.0.1:{server.port}/ws?{room}", compression=None) as reader:
            # With events it says when it is in the room; messages are the same without.
            reader.send(json.dumps({"type": "auth", "token": token, "events": True}))
            reader.recv(10)
            draft = {"message_id": str(uuid.uuid4()), "category": "text", "data": seed.DATA}
            _call(server, "POST", f"/ws/messages?{room}", token, json.dumps(draft))
            while draft["message_id"].encode() not in (frame := reader.recv(10, decode=False)):
                pass
    with running(bench, Kind("ours", bench.scale.commented)) as server:
        bench.comments_bytes = len(_call(server, "GET", f"/api/comments?{room}", token))
    bench.frame_bytes = len(frame) + (2 if len(frame) < 126 else 4)


def _call(server: Server, method: str, path: str, token: str, body: str | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    assert response.status == 200, answer
    return answer


def run_cases(bench: Bench, cases: list[Case], after_each: Callable[[Results], None]) -> Results:
    """Measure all cases; `after_each` gets what is there after each one."""
    results: Results = {}
    if bench.scale.name == "smoke":
        # Nothing is measured here that anybody would compare: all at once is sooner done.
        with ThreadPoolExecutor(4) as pool:
            begun = {case.name: _begin(bench, case, pool) for case in cases}
            for name, contenders in begun.items():
                results[name] = {key: future.result() for key, future in contenders.items()}
        after_each(results)
        return results
    for case in cases:
        results[case.name] = run_case(bench, case)
        after_each(results)
    return results


def run_case(bench: Bench, case: Case) -> dict[str, Values]:
    """Measure one case in all its rounds, each contender in turn."""
    found: dict[str, Values] = {}
    for number in range(_rounds(bench, case)):
        for who in _present(bench, case):
            _measure(bench, case, who, number, found.setdefault(who.key, {}))
    return found


def _begin(bench: Bench, case: Case, pool: Executor) -> dict[str, Future[Values]]:
    """Measure the contenders of one case at the same time."""

    def measure(who: Contender) -> Values:
        found: Values = {}
        for number in range(_rounds(bench, case)):
            _measure(bench, case, who, number, found)
        return found

    return {who.key: pool.submit(measure, who) for who in _present(bench, case)}


def _present(bench: Bench, case: Case) -> list[Contender]:
    return [who for who in case.contenders if who.server not in bench.tools.missing]


def _rounds(bench: Bench, case: Case) -> int:
    return bench.rounds if case.rounds is None else case.rounds


def _measure(bench: Bench, case: Case, who: Contender, number: int, found: Values) -> None:
    """Add one round's values to `found`."""
    figures = _calmest(bench, case, who)
    for key in (*(figure.key for figure in case.figures), OTHERS):
        if key in figures:
            found.setdefault(key, []).append(figures[key])
    first = next(figure for figure in case.figures if figure.key in figures)
    shown = f"{first.show(figures[first.key])} {first.label}"
    print(f"{case.name}  {number + 1}/{_rounds(bench, case)}  {who.label}  {shown}", flush=True)


def _calmest(bench: Bench, case: Case, who: Contender) -> Figures:
    """Measure once, and again where other programs took much meanwhile; the least disturbed."""
    best = who.measure(bench)
    for _ in range(REPEATS if bench.scale.name != "smoke" else 0):
        if best.get(OTHERS, 0.0) <= NOISE:
            break
        print(f"{case.name}  {who.label}: others took {best[OTHERS]:.0%} of a core; again")
        again = who.measure(bench)
        best = min(best, again, key=lambda figures: figures.get(OTHERS, 0.0))
    return best
