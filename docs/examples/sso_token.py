"""What a site's own server signs, so that whoever is logged in there can speak here.

SSO_SECRET=… python docs/examples/sso_token.py https://talk.example.com 42 "Ann Lee"
"""

from __future__ import annotations

import os
import sys
import time
import uuid

import jwt  # pip install pyjwt


def talkee_token(audience: str, user_id: str, name: str, **more: str) -> str:
    """A token for one sign-in of whoever asks your server for a page. `more`: avatar, role."""
    claims = {
        "aud": audience,
        "sub": user_id,
        "name": name,
        "jti": str(uuid.uuid4()),
        "exp": int(time.time()) + 300,
        **more,
    }
    return jwt.encode(claims, os.environ["SSO_SECRET"], algorithm="HS256")


if __name__ == "__main__":
    audience, user_id, name, *role = sys.argv[1:]
    print(talkee_token(audience, user_id, name, **({"role": role[0]} if role else {})))
