"""The link that logs a browser in, and keys at doors that are not theirs."""

from datetime import datetime, timedelta

import httpx

from agentsquad.schemas.users import Keys, Link
from tests.interfaces.http.conftest import Site, external, made, refused, squad


async def link(account: httpx.AsyncClient) -> str:
    """The text of a new one."""
    return str(made(await account.post("/links"))["url"]).partition("?link=")[2]


async def test_a_link_leads_to_the_host_as_the_caller_named_it(ada: httpx.AsyncClient) -> None:
    answer = Link.model_validate(made(await ada.post("/links", headers={"Host": "squads.example:8443"})))
    assert answer.url.startswith("http://squads.example:8443/login?link=sql_")
    now = datetime.now(answer.expires_at.tzinfo)
    assert timedelta(seconds=50) < answer.expires_at - now < timedelta(seconds=70)


async def test_a_token_makes_none(site: Site, ada: httpx.AsyncClient) -> None:
    tess = await external(site, ada, await squad(ada), "tess")
    refused(await tess.post("/links"), 403, "forbidden")
    refused(await (await site.caller()).post("/links"), 401, "unauthenticated")


async def test_it_is_told_once_under_a_key_of_the_caller_s(ada: httpx.AsyncClient) -> None:
    again = {"Idempotency-Key": "k"}
    made(await ada.post("/links", headers=again))
    refused(await ada.post("/links", headers=again), 409, "already_created")


async def test_the_list_says_which_kind_each_key_is(ada: httpx.AsyncClient) -> None:
    secret = await link(ada)
    answer = await ada.get("/keys")
    listed = Keys.model_validate_json(answer.content).items
    assert [(key.kind, key.expires_at is not None) for key in listed] == [("link", True), ("key", False)]
    assert secret not in answer.text


async def test_neither_a_link_nor_a_cookie_opens_the_api(site: Site, ada: httpx.AsyncClient) -> None:
    nobody = await site.caller()
    secret = await link(ada)
    refused(await (await site.caller(secret)).get("/users/me"), 401, "unauthenticated")
    typed = {"Sec-Fetch-Site": "none"}  # as a browser says of an address that no page led to
    cookie = (await nobody.get(f"/login?link={secret}", headers=typed)).cookies["agentsquad"]
    assert cookie.startswith("sqb_")
    refused(await (await site.caller(cookie)).get("/users/me"), 401, "unauthenticated")
    assert (await ada.get("/users/me")).status_code == 200
