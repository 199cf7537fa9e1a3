"""Whoever is not the person with the address gets nothing, and nothing of what they send is kept."""

import json
import socket
import threading
import time

import pytest

from aleaseg.run import file_name

CASE = "case <00>"


def test_without_the_token_there_is_nothing(server):
    for path in (
        "/",
        "/api/run",
        "/api/queue",
        "/assets/page.js",
        "/?token=",
        "/?token=wrong",
        "/api/export.json",
    ):
        status, headers, body = server.raw("GET", path, {"Host": server.host})
        assert status == 403, path
        assert "set-cookie" not in headers
        assert b"token" in body
    for cookie in ("", "x", server.cookie[:-1], server.cookie + "x", f"other={server.token}"):
        assert server.raw("GET", "/api/run", {"Host": server.host, "Cookie": cookie})[0] == 403


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_site_has(server):
    status, headers, _ = server.raw("GET", f"/?token={server.token}", {"Host": server.host})
    assert (status, headers["location"]) == (303, "/")
    rules = {part.strip() for part in headers["set-cookie"].split(";")[1:]}
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= rules
    # It leads nowhere else, whatever the path was.
    _, headers, _ = server.raw("GET", f"//evil.example/?token={server.token}", {"Host": server.host})
    assert headers.get("location") == "/"


def test_the_address_that_a_browser_is_started_with_opens_the_page_once(
    reviewed, tmp_path, start_server, asking
):
    """Other users of the machine see how the browser was started."""
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{seen}.part"; mv "{seen}.part" "{seen}"\n')
    browser.chmod(0o755)
    _, address = start_server(reviewed, browser=browser)
    for _ in range(200):
        if seen.exists():
            break
        time.sleep(0.05)
    once = seen.read_text().strip()
    assert once.partition("token=")[0] == address.partition("token=")[0]
    assert once != address
    mine = asking(once)
    assert mine.get("/api/run")[0] == 200
    status, headers, _ = mine.raw("GET", f"/?token={mine.token}", {"Host": mine.host})
    assert status == 403
    assert "set-cookie" not in headers
    assert asking(address).get("/api/run")[0] == 200
    assert asking(address).get("/api/run")[0] == 200


FOREIGN = ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "127.0.0.1@evil"]
FOREIGN += ["", "0.0.0.0", "[::1]", "localhost.:1"]


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_refused(server, host):
    assert server.get("/api/run", Host=host)[0] in (400, 421)


def test_a_tunnel_s_port_is_taken(server):
    assert server.get("/api/run", Host="localhost:9999")[0] == 200


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://HOST"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_foreign_origin_writes_nothing(server, event, change):
    change = {name: value.replace("HOST", server.host) for name, value in change.items()}
    before = server.json("/api/holding")["last"]
    assert server.post("/api/events", event(CASE), **change)[0] == 403
    assert server.json("/api/holding")["last"] == before


def test_a_write_without_an_origin_is_refused(server, event):
    own = {"Host": server.host, "Cookie": server.cookie, "Content-Type": "application/json"}
    assert server.raw("POST", "/api/events", own, json.dumps(event(CASE)).encode())[0] == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_form_writes_nothing(server, event, kind):
    assert server.post("/api/events", event(CASE), **{"Content-Type": kind})[0] == 415


def test_a_foreign_page_reads_nothing(server):
    assert server.get("/api/run", Origin="http://evil.example")[0] == 403
    _, headers, _ = server.get("/api/run")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(server, method):
    assert server.raw(method, "/api/run", {"Host": server.host, "Cookie": server.cookie})[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../server.py",
        "/assets/..%2fserver.py",
        "/assets/%2e%2e/%2e%2e/cli/select.py",
        "/assets//etc/passwd",
        "/assets/page.js%00",
        "/api/case/..",
        "/api/case/../../manifest.json",
        "/api/case/%2e%2e%2f%2e%2e%2fmanifest/picture/thumb",
        "/api/case/NAME/picture/..%2f..%2fmanifest.json",
        "/api/case/NAME/slice/..%2f/0/0",
        "/api/case/NAME/slice/image/0/-1",
        "/api/case/NAME/slice/image/0/99999999999999999999",
        "/api/case/NAME/slice/image/7/0",
        "/api/case/NAME/slice/image/0/0?channel=9",
        "/api/case/NAME/slice/image/0/0?channel=x",
        "/api/case/NAMEx/volume",
        "/api/case/NAME%0a/volume",
        "/api/export.py",
        "/docs",
        "/openapi.json",
    ],
)
def test_tricks_with_paths_lead_nowhere(server, path):
    decoded(server, file_name(CASE))
    status, _, body = server.get(path.replace("NAME", file_name(CASE)))
    assert status in (400, 404), (path, status)
    assert b"root:" not in body
    assert b"aleaseg.settings" not in body


def decoded(server, name):
    for _ in range(400):
        found = server.json(f"/api/case/{name}/volume")
        if found["image"] or found["error"]:
            return found
        time.sleep(0.05)
    raise AssertionError("not decoded")


def test_a_case_that_the_run_does_not_have(server, event):
    other = file_name("no such case")
    for path in (f"/api/case/{other}", f"/api/case/{other}/volume", f"/api/events?case={other}"):
        assert server.get(path)[0] == 404
    for case in (other, CASE, "", None, ["x"], "../" * 6 + "x", "0" * 20):
        status, _, body = server.post("/api/events", {**event(CASE), "case": case})
        assert status == 422, case
        assert "no case" in json.loads(body)["error"]
    assert server.post("/api/prefetch", [other, CASE, "x"])[0] == 200
    assert server.post("/api/prefetch", {"a": 1})[0] == 422


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"nul", b'{"uuid": 1}', b"3"])
def test_a_body_of_no_sense_is_answered(server, body):
    assert server.post("/api/events", body)[0] == 422
    assert server.post("/api/import", body)[0] == 422
    assert server.post("/api/prefetch", body)[0] == 422


def test_a_body_too_large_is_refused_and_not_read(server):
    status, _, _ = server.post("/api/events", b"", **{"Content-Length": str(1 << 40)})
    assert status == 413
    for length in ("-1", "x", "1e3"):
        assert server.post("/api/events", b"", **{"Content-Length": length})[0] in (400, 413)


def test_ids_and_notes_with_markup_stay_text(server, event):
    note = "<img src=x onerror=alert(1)> \u2028 </script>"
    sent = event("case <01>", kind="note", payload={"text": note}, rater="<b>bob</b>")
    assert server.post("/api/events", sent)[0] == 200
    _, headers, body = server.get(f"/api/events?case={file_name('case <01>')}")
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    assert json.loads(body)["events"][-1]["payload"]["text"] == note
    _, headers, page = server.get("/")
    assert b"case <" not in page


def test_every_answer_forbids_what_a_page_needs_not(server):
    for path in ("/", "/api/run", "/assets/page.js", "/none"):
        _, headers, _ = server.get(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["referrer-policy"] == "no-referrer"
    _, headers, page = server.get("/")
    assert headers["cache-control"] == "no-store"
    assert b"unsafe" not in page
    assert b"https:" not in page


def test_it_listens_on_this_machine_alone(server):
    others = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        if address.startswith("127."):
            continue
        with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
            socket.create_connection((address, server.port), timeout=2).close()


def test_a_slow_client_is_let_go_and_keeps_nobody_waiting(reviewed, asking):
    """Its body comes byte by byte and never ends: the others are answered meanwhile, and it is told that it is late."""
    from aleaseg.review.safety import Guard

    uvicorn = pytest.importorskip("uvicorn")

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    config = uvicorn.Config(
        Guard(app, "secret", "c", seconds=1.0), port=0, log_level="error", lifespan="off"
    )
    listening = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{listening.getsockname()[1]}"
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        slow = socket.create_connection(listening.getsockname(), timeout=10)
        head = f"POST / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: c=secret\r\n"
        slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n[".encode())
        began = time.monotonic()
        quick = asking(f"http://{host}/?token=secret")
        assert quick.get("/x")[2] == b"done"
        assert time.monotonic() - began < 0.9
        slow.settimeout(10)
        assert b" 408 " in slow.recv(1000).partition(b"\r\n")[0]
        slow.close()
    finally:
        running.should_exit = True
        thread.join(10)
        listening.close()
