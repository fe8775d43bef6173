"""What kopf and our own client get to see of an API server's answers."""

import json

import aiohttp
import pytest
from aiohttp import web

from ferryman.clients.bounded import answers
from ferryman.clients.bounded.answers import read_list, response_class
from ferryman.clients.bounded.objects import UNREAD, Guard
from tests.unit.clients.bounded.test_objects import line, model, nested

PATH = "/apis/serving.ferryman.dev/v1alpha1/inferencemodels"


@pytest.fixture
async def ask():
    """Return a function that has an answer given, and reads it through the guard."""
    runners = []

    async def asked(body, query, read, status=200):
        async def give(_):
            return web.Response(body=body, status=status, content_type="application/json")

        app = web.Application()
        app.add_routes([web.get(PATH, give)])
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}{query}"
        async with (
            aiohttp.ClientSession(response_class=response_class(Guard())) as session,
            session.get(url) as answer,
        ):
            return await read(answer)

    yield asked
    for runner in runners:
        await runner.cleanup()


def items(*bodies):
    """Return a list as the API server answers it."""
    return b'{"apiVersion":"v1","items":[%b],"kind":"L","metadata":{"continue":""}}' % b",".join(
        bodies
    )


async def whole(answer):
    return await answer.json()


async def lines(answer):
    return [piece async for piece in answer.content.iter_chunked(50)]


async def test_of_a_list_the_items_out_of_bounds_are_stubs(ask):
    poisoned = model("p", config=nested(5000))
    found = await ask(items(model("a"), poisoned, model("b")), "?limit=50", whole)
    assert [item["metadata"]["name"] for item in found["items"]] == ["a", "p", "b"]
    assert [UNREAD in item for item in found["items"]] == [False, True, False]
    assert found["metadata"] == {"continue": ""}


async def test_an_empty_list_is_one(ask):
    assert (await ask(items(), "?limit=50", whole))["items"] == []


async def test_of_a_watch_the_lines_out_of_bounds_have_stubs(ask):
    poisoned = line(model("p", config=nested(5000)))
    body = b"\n".join([line(model("a")), poisoned, line(model("b")), b""])
    found = b"".join(await ask(body, "?watch=true", lines)).splitlines()
    assert [json.loads(each)["object"]["metadata"]["name"] for each in found] == ["a", "p", "b"]
    assert [UNREAD in json.loads(each)["object"] for each in found] == [False, True, False]


async def test_another_answer_is_one_object(ask):
    assert await ask(b'{"kind": "APIGroup"}', "", whole) == {"kind": "APIGroup"}
    assert await ask(b"", "", whole) is None


@pytest.mark.parametrize("query", ["?limit=50", "?watch=true", ""])
async def test_a_refusal_can_be_read_whatever_was_asked(ask, query):
    body = b'{"kind":"Status","code":410,"details":{"causes":[{"reason":"x"}]}}'

    async def told(answer):
        return await answer.json(), await answer.text()

    found, text = await ask(body, query, told, status=410)
    assert (found["code"], text) == (410, body.decode())


@pytest.mark.parametrize(
    ("query", "read"),
    [
        pytest.param("?limit=50", whole, id="an item"),
        pytest.param("?watch=true", lines, id="a line"),
        pytest.param("", whole, id="an object"),
    ],
)
async def test_what_no_api_server_stores_ends_the_request(ask, query, read, monkeypatch):
    monkeypatch.setattr(answers, "_MAX_OBJECT_BYTES", 100_000)
    with pytest.raises(aiohttp.ClientPayloadError, match="more than 100000 bytes"):
        await ask(items(model(config=f'"{"x" * 300_000}"')), query, read)


async def test_our_own_client_reads_lists_within_bounds(ask):
    async def read(answer):
        return await read_list(answer.content)

    found = await ask(items(model("p", config=nested(5000))), "", read)
    assert UNREAD in found["items"][0]
