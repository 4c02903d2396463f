"""Settings: where they come from, and what is refused with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkee_lite.config import Config, ConfigError, load_config


def load(folder: Path, text: str, **environ: str) -> Config:
    """Settings of one file and an environment."""
    path = folder / "talkee.toml"
    path.write_text(text)
    return load_config(path, environ)


def test_without_any_settings_the_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config() == Config()


def test_the_environment_wins_over_the_file_and_an_override_over_both(tmp_path: Path) -> None:
    text = "[server]\nport = 1\nhost = 'a'\n[auth]\ntoken_days = 1"
    config = load(tmp_path, text, TALKEE_SERVER__PORT="2", TALKEE_AUTH__TOKEN_DAYS="2")
    assert (config.server.host, config.server.port, config.auth.token_days) == ("a", 2, 2)
    config = load_config(
        tmp_path / "talkee.toml", {"TALKEE_SERVER__PORT": "2"}, {"server": {"port": 3}}
    )
    assert config.server.port == 3


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TALKEE_SERVER__HOST", "0.0.0.0", "0.0.0.0"),
        ("TALKEE_SERVER__HOST", '"::1"', "::1"),
        ("TALKEE_SERVER__HOST", "8080", "8080"),
    ],
)
def test_a_text_in_the_environment_may_leave_out_its_quotes(
    tmp_path: Path, name: str, value: str, expected: str
) -> None:
    assert load(tmp_path, "", **{name: value}).server.host == expected


def test_an_unknown_variable_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(tmp_path, "", TALKEE_SERVER__PROT="1", TALKEE_NOTHING="2")
    assert [record.args for record in caplog.records] == [
        ("TALKEE_SERVER__PROT",),
        ("TALKEE_NOTHING",),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sever]\n", "[sever]: unknown table"),
        ("server = 1", "server: must be a table"),
        ("[server]\nprot = 1", "[server] prot: unknown key; the keys are host, port"),
        ("[server]\nport = '1'", "[server] port: must be a whole number from 0 to 65535"),
        ("[server]\nport = true", "[server] port: must be a whole number"),
        ("[server]\nport = 65536", "[server] port: must be a whole number from 0 to 65535"),
        ("[server]\nshutdown_seconds = nan", "shutdown_seconds: must be a number"),
        ("[limits]\nping_seconds = inf", "ping_seconds: must be finite"),
        ("[server]\nhost = 1", "[server] host: must be a text"),
        ("[auth]\nguest = 1", "[auth] guest: must be true or false"),
        ("[auth]\nmixin_token = true", "[mixin] app_id: must be a UUID"),
        ("[mixin]\napp_id = 'x'", "[mixin] app_id: must be a UUID"),
        ("[mixin]\napi_url = 'api.mixin.one'", "[mixin] api_url: must be like https://"),
        ("[mixin]\napi_url = 'https://u@x.example'", "[mixin] api_url: must be like https://"),
        ("[mixin]\napi_url = 'https://x.example?a=b'", "[mixin] api_url: must be like https://"),
        ("[mixin]\nallow_full = 1", "[mixin] allow_full: must be true or false"),
        ("[auth]\njwt_secret = 'short'", "jwt_secret: must have at least 32 bytes"),
        ("[server]\ntrusted_proxies = ['x']", "'x' must be an address or a network"),
        ("[server]\ntrusted_proxies = 'x'", "trusted_proxies: must be a list of texts"),
        ("[server]\npublic_url = 'talk.example.com'", "public_url: must be like"),
        ("[server]\npublic_url = 'https://bücher.example'", "public_url: must be like"),
        ("[server]\npublic_url = 'https://x.example:99999'", "public_url: must be like"),
        ("[server]\npublic_url = 'https://x.example:abc'", "public_url: must be like"),
        ("[server]\npublic_url = 'https://a b.example'", "public_url: must be like"),
        ("[server]\npublic_url = 'http://[bad'", "public_url: must be like"),
        ("[server]\npublic_url = 'https://u@x.example'", "public_url: must be like"),
        ("[server]\npublic_url = 'https://x.example/?a=b'", "public_url: must be like"),
        ("[[sites]]\nid = 1\nwebhook_url = 'http://[x'", "webhook_url: must start with"),
        ("[[sites]]\nid = 1\nwebhook_url = 'ftp://x.example'", "webhook_url: must start with"),
        ("[[sites]]\nid = 1\nwebhook_url = 'http://u:p@x.example'", "without a user"),
        ("[[sites]]\nid = 1\nwebhook_url = 'http://x.example/a b'", "webhook_url: must start"),
        ('[[sites]]\nid = 1\nwebhook_url = "http://x.example/\\n"', "webhook_url: must start"),
        ("[[sites]]\nid = 1\nwebhook_url = 'http://x.example/ä'", "webhook_url: must start"),
        ("[[sites]]\nid = 1\nwebhook_secret = 'whsec_c2hvcnQ='", "must be whsec_ and 24 to 64"),
        ("[[sites]]\nid = 1\nwebhook_secret = 'whsec_!'", "must be whsec_ and 24 to 64"),
        ("[webhooks]\nallow_private = 1", "[webhooks] allow_private: must be true or false"),
        ("[database]\nurl = 'sqlite:.'", "[database] url: must be sqlite:"),
        ("[database]\nurl = 'sqlite:..'", "[database] url: must be sqlite:"),
        ("[database]\nurl = 'postgresql://x'", "[database] url: must be sqlite:"),
        ("[database]\nurl = 'sqlite::memory:'", "[database] url: must be sqlite:"),
        ("[log]\nlevel = 'loud'", "[log] level: must be debug, info"),
        ("[log]\nformat = 'xml'", "[log] format: must be text or json"),
        ("[[sites]]\nname = 'x'", "[[sites]]: id is missing"),
        ("[[sites]]\nid = 1000", "[[sites]] id: must be a whole number from 1 to 999"),
        ("[[sites]]\nid = 1\n[[sites]]\nid = 1", "id = 1: is there twice"),
        ("[[sites]]\nid = 1\norigins = ['blog.example.com']", "must be an origin such as"),
        ("[[sites]]\nid = 1\norigins = ['https://a.example/blog']", "without a path"),
        ("sites = 1", "each site is a table of its own"),
        ("[server", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert "talkee.toml" in message


def test_a_wrong_value_names_the_place_that_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="environment variable TALKEE_LOG__LEVEL"):
        load(tmp_path, "", TALKEE_LOG__LEVEL="loud")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def test_relative_paths_start_at_the_settings_file(tmp_path: Path) -> None:
    config = load(tmp_path, "[database]\nurl = 'sqlite:data/x.db'")
    assert config.database.path == tmp_path / "data/x.db"
    config = load(tmp_path, "[database]\nurl = 'sqlite:///srv/x.db'")
    assert config.database.path == Path("/srv/x.db")


def test_origins_are_kept_as_browsers_send_them(tmp_path: Path) -> None:
    text = "[[sites]]\nid = 1\norigins = ['HTTPS://Blog.Example.com:443/', 'https://*.pages.dev']"
    origins = load(tmp_path, text).sites[0].origins
    assert origins == ("https://blog.example.com", "https://*.pages.dev")
