"""Sites."""

from __future__ import annotations

import json

from ..config import FIRST_OWN_SITE_ID, SiteConfig
from ..models import Hold, Site
from .database import Database, Row
from .sso import end_sso
from .writer import Transaction

_COLUMNS = (
    "id, owner_id, name, origins, public_chat, sso_secret, webhook_url, webhook_secret,"
    " hold_comments, images, from_settings, created_at, updated_at"
)


def _site(row: Row) -> Site:
    return Site(
        id=row["id"],
        name=row["name"],
        origins=tuple(json.loads(row["origins"])),
        public_chat=bool(row["public_chat"]),
        owner_id=row["owner_id"],
        sso_secret=row["sso_secret"],
        webhook_url=row["webhook_url"],
        hold_comments=Hold(row["hold_comments"]),
        images=bool(row["images"]),
        webhook_secret=row["webhook_secret"],
        from_settings=bool(row["from_settings"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def list_sites(db: Database) -> list[Site]:
    """Every site, by id."""
    return [_site(row) for row in await db.fetch(f"select {_COLUMNS} from sites order by id", {})]


def set_sites_from_settings(tx: Transaction, wanted: tuple[SiteConfig, ...], now: int) -> None:
    """Make the settings' sites what the settings say; an empty database gets site 1."""
    tx.execute("update sites set from_settings = 0 where from_settings = 1", {})
    for site in wanted:
        known = tx.fetch_one("select sso_secret from sites where id = :id", {"id": site.id})
        if known is not None and known["sso_secret"] != site.sso_secret:
            end_sso(tx, site.id)
        tx.execute(
            "insert into sites (id, name, origins, public_chat, sso_secret, webhook_url,"
            " webhook_secret, hold_comments, images, from_settings, created_at, updated_at)"
            " values (:id, :name, :origins, :public_chat, :sso_secret, :webhook_url,"
            " :webhook_secret, :hold_comments, :images, 1, :now, :now)"
            " on conflict (id) do update set name = :name, origins = :origins,"
            " public_chat = :public_chat, sso_secret = :sso_secret, webhook_url = :webhook_url,"
            " webhook_secret = :webhook_secret, hold_comments = :hold_comments, images = :images,"
            " from_settings = 1,"
            " updated_at = case when sites.name = :name and sites.origins = :origins"
            " and sites.public_chat = :public_chat then sites.updated_at else :now end",
            {
                "id": site.id,
                "name": site.name,
                "origins": json.dumps(site.origins),
                "public_chat": int(site.public_chat),
                "sso_secret": site.sso_secret,
                "webhook_url": site.webhook_url,
                "hold_comments": site.hold_comments,
                "images": int(site.images),
                "webhook_secret": site.webhook_secret,
                "now": now,
            },
        )
    if tx.fetch_one("select 1 from sites limit 1", {}) is None:
        tx.execute(
            "insert into sites (id, name, origins, created_at, updated_at)"
            " values (1, 'My site', '[]', :now, :now)",
            {"now": now},
        )


def insert_site(
    tx: Transaction,
    *,
    name: str,
    origins: tuple[str, ...],
    public_chat: bool,
    owner_id: int | None,
    now: int,
) -> Site:
    """A new site, with an id from FIRST_OWN_SITE_ID on."""
    row = tx.fetch_one(
        "insert into sites (id, owner_id, name, origins, public_chat, created_at, updated_at)"
        " select coalesce(max(case when id >= :first then id end), :first - 1) + 1, :owner_id,"
        " :name, :origins, :public_chat, :now, :now from sites returning " + _COLUMNS,
        {
            "first": FIRST_OWN_SITE_ID,
            "owner_id": owner_id,
            "name": name,
            "origins": json.dumps(origins),
            "public_chat": int(public_chat),
            "now": now,
        },
    )
    assert row is not None
    return _site(row)


def update_site(
    tx: Transaction,
    site_id: int,
    *,
    name: str | None,
    origins: tuple[str, ...] | None,
    public_chat: bool | None,
    hold_comments: Hold | None,
    images: bool | None,
    webhook_url: str | None,
    webhook_secret: str | None,
    now: int,
) -> Site:
    """Change what an owner may change of a site; None: as it is."""
    row = tx.fetch_one(
        "update sites set name = coalesce(:name, name), origins = coalesce(:origins, origins),"
        " public_chat = coalesce(:public_chat, public_chat),"
        " hold_comments = coalesce(:hold_comments, hold_comments),"
        " images = coalesce(:images, images), webhook_url = coalesce(:webhook_url, webhook_url),"
        " webhook_secret = coalesce(:webhook_secret, webhook_secret), updated_at = :now"
        " where id = :id returning " + _COLUMNS,
        {
            "id": site_id,
            "name": name,
            "origins": None if origins is None else json.dumps(origins),
            "public_chat": public_chat,
            "hold_comments": hold_comments,
            "images": images,
            "webhook_url": webhook_url,
            "webhook_secret": webhook_secret,
            "now": now,
        },
    )
    assert row is not None
    return _site(row)


def set_sso_secret(tx: Transaction, site_id: int, secret: str, now: int) -> Site:
    """Change what the server of a site signs with; "": it has no accounts here."""
    row = tx.fetch_one(
        "update sites set sso_secret = :secret, updated_at = :now where id = :id returning "
        + _COLUMNS,
        {"id": site_id, "secret": secret, "now": now},
    )
    assert row is not None
    return _site(row)
