"""Documents from addresses: fetched by the worker, read anew when sent again, refused where nobody may look."""

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest

from functions.ingest import fetch, index, submit
from functions.ingest.urls import parse
from local.moto import BUCKET
from tests.fakes.site import Site, page
from tests.functions.ingest.test_fetch import network_of
from tests.functions.ingest.test_ingestion import found, job_of, sources
from tests.tenants import TestTenant

Deliver = Callable[[], list[dict[str, Any]]]
PAGE = (
    b"<html><head><title>Pharos</title></head><body><h1>Pharos</h1><p>The lighthouse of Alexandria.</p></body></html>"
)
NEW_PAGE = PAGE.replace(b"lighthouse of Alexandria", b"library of Alexandria")


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Callable[[Site], str]:
    """Let the product fetch from a site on loopback, as if it were public; returns its address."""

    def run(site: Site) -> str:
        network = network_of(site)
        monkeypatch.setattr(index, "fetch", partial(fetch.fetch, network=network))
        monkeypatch.setattr(submit, "normalise", lambda url: parse(url, network).url)
        return f"http://public.example:{site.port}"

    return run


def send(api: httpx.Client, tenant: TestTenant, *urls: str, **more: Any) -> httpx.Response:
    return api.post("/api/v1/ingest/urls", headers=tenant.headers, json={"urls": list(urls), **more})


def test_a_page_is_fetched_indexed_and_read_anew_under_the_same_address(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, reach: Callable[[Site], str], s3: Any
) -> None:
    with Site({"/pharos": page(PAGE)}) as site:
        url = reach(site) + "/pharos"
        (job,) = send(api, tenant, url, tags=["wonders"]).json()["jobs"]
        deliver()
        assert job_of(api, tenant, job["id"])["status"] == "done"
        assert "lighthouse" in found(api, tenant, "lighthouse")[0]
        (source,) = sources(api, tenant)
        assert (source["uri"], source["type"], source["tags"], source["bytes"]) == (url, "html", ["wonders"], len(PAGE))
        again = send(api, tenant, url + "#top").json()["jobs"][0]
        deliver()
        assert "indexed before" in job_of(api, tenant, again["id"])["notes"][0]
    with Site({"/pharos": page(NEW_PAGE)}, port=site.port) as site:
        reach(site)
        send(api, tenant, url)
        deliver()
        assert "library" in found(api, tenant, "library")[0]
        assert [one["id"] for one in sources(api, tenant)] == [source["id"]]
    assert api.delete(f"/api/v1/sources/{source['id']}", headers=tenant.headers).status_code == 204
    assert found(api, tenant, "library") == []
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"fetched/{tenant.workspace_id}/").get("Contents") is None


def test_addresses_come_as_json_or_as_lines_of_a_form(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, reach: Callable[[Site], str]
) -> None:
    with Site({"/a": page(PAGE), "/b": page(b"A plain text.", "text/plain")}) as site:
        url = reach(site)
        form = {"urls": f"{url}/a\r\n\r\n {url}/b \n"}
        answer = api.post("/api/v1/ingest/urls", headers=tenant.headers, data=form)
        assert (answer.status_code, len(answer.json()["jobs"])) == (202, 2)
        deliver()
        assert {one["type"] for one in sources(api, tenant)} == {"html", "text"}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "file:///etc/passwd",
        "http://2130706433/", "http://user@example.com/", "http://example.com:6379/", "gopher://example.com/", "word",
    ],
)  # fmt: skip
def test_an_address_that_is_never_fetched_is_refused_at_once(
    api: httpx.Client, tenant: TestTenant, url: str, superuser: psycopg.Connection[Any]
) -> None:
    answer = send(api, tenant, url)
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] in {"urn:minirag:problem:url_forbidden", "urn:minirag:problem:url_invalid"}
    assert sources(api, tenant) == []
    row = superuser.execute("SELECT count(*) FROM jobs WHERE workspace_id = %s", (tenant.workspace_id,)).fetchone()
    assert row == (0,)


def test_what_cannot_be_fetched_says_why(
    api: httpx.Client, tenant: TestTenant, deliver: Deliver, reach: Callable[[Site], str]
) -> None:
    with Site({"/gone": page(b"", status="404 Not Found"), "/image": page(b"\x89PNG\r\n\x1a\n", "image/png")}) as site:
        url = reach(site)
        jobs = send(api, tenant, f"{url}/gone", f"{url}/image").json()["jobs"]
        deliver()
        codes = [job_of(api, tenant, job["id"])["error"]["code"] for job in jobs]
    assert codes == ["url_not_found", "url_type"]


def test_none_of_the_addresses_of_a_request_is_taken_if_one_is_refused(api: httpx.Client, tenant: TestTenant) -> None:
    assert send(api, tenant, "https://example.com/", "http://127.0.0.1/").status_code == 422
    assert sources(api, tenant) == []
