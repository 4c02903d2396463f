"""People who comment, answer, like and delete, and know what must be there in the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from ..harness import JSON

PAGE = "site_id=1&slug=/talk"


@dataclass
class Told:
    """What was answered about one comment."""

    content: str
    token: str
    likes: set[str] = field(default_factory=set)
    replies: dict[int, str] = field(default_factory=dict)
    is_gone: bool = False


class Talk:
    """One page, and everything that was answered about it."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.told: dict[int, Told] = {}
        self.done = 0

    async def call(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        token: str,
        body: JSON | None = None,
    ) -> tuple[int, Any]:
        """Status and `data` of one call about comments."""
        mark = "&" if "?" in path else "?"
        headers = {"Authorization": f"Bearer {token}"}
        url = f"/api/comments{path}{mark}{PAGE}"
        async with session.request(method, url, json=body, headers=headers) as response:
            answer = await response.json()
            return response.status, answer.get("data")

    async def go_on(
        self, session: aiohttp.ClientSession, tokens: list[str], going: Callable[[], bool]
    ) -> None:
        """Do one thing after the other. Nobody else may use these tokens here meanwhile."""
        mine: list[int] = []
        while going():
            token = self.dice.choice(tokens)
            await self._one(session, token, tokens, mine)
            self.done += 1
            await asyncio.sleep(self.dice.random() * 0.02)

    async def _one(
        self, session: aiohttp.ClientSession, token: str, tokens: list[str], mine: list[int]
    ) -> None:
        what = self.dice.random()
        some = self.dice.choice(list(self.told)) if self.told else 0
        if what < 0.25 or not some:
            content = f"{self.done} " + "*word* " * int(self.dice.paretovariate(1))
            content = content[:5000].strip()
            status, comment = await self.call(session, "POST", "", token, {"content": content})
            assert (status, comment["content"]) == (200, content)
            self.told.setdefault(comment["id"], Told(content, token))
            mine.append(comment["id"])
        elif what < 0.6:
            path = f"/{some}/{'fav' if self.dice.random() < 0.7 else 'unfav'}"
            status, comment = await self.call(session, "PUT", path, token)
            assert status in (200, 404, 409)
            if status == 200:
                likes = self.told[some].likes
                (likes.add if path.endswith("/fav") else likes.discard)(token)
                assert bool(comment["fav_id"]) == path.endswith("/fav")
        elif what < 0.8:
            body = {"content": f"answer {self.done} to {some}"}
            status, reply = await self.call(session, "POST", f"/{some}/replies", token, body)
            assert status in (200, 404, 409)
            if status == 200:
                self.told[some].replies[reply["id"]] = body["content"]
        elif what < 0.9 and mine:
            number = mine.pop(self.dice.randrange(len(mine)))
            owner = self.told[number].token
            status, _ = await self.call(session, "DELETE", f"/{number}", owner)
            assert status == 200
            self.told[number].is_gone = True
        else:
            order = self.dice.choice(("favor_count", "created_at", "created_at_asc", "reply_count"))
            status, _ = await self.call(session, "GET", f"?order_by={order}", token)
            assert status == 200

    async def compare(self, session: aiohttp.ClientSession, token: str) -> None:
        """Everything that was answered is there as it was answered, and is counted right."""
        found: dict[int, JSON] = {}
        after = ""
        while True:
            path = f"?order_by=created_at_asc&limit=100{after}"
            _, listed = await self.call(session, "GET", path, token)
            found |= {comment["id"]: comment for comment in listed["comments"]}
            if not listed["comments"]:
                break
            after = f"&after_id={listed['comments'][-1]['id']}"
        assert listed["total"] == len(found)
        assert set(found) == {
            number for number, told in self.told.items() if told.replies or not told.is_gone
        }
        for number, comment in found.items():
            told = self.told[number]
            assert comment["reply_count"] == len(told.replies)
            if told.is_gone:
                assert (comment["status"], comment["content"]) == ("deleted", "")
            else:
                assert comment["content"] == told.content
                assert comment["favor_count"] == len(told.likes)
                assert bool(comment["fav_id"]) == (token in told.likes)
