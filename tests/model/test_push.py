"""A model's folder on a hub: one on this machine that speaks the hub's protocol, and the ways in which it can refuse."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sere_core.cli import main
from sere_core.model import folder
from sere_core.model.folder import About

ABOUT = About("small", ("anger", "fear"), ("xa", "xb"), {"xb": "e"}, ("e",), "xb", "none", 3, 0, 0)


class Hub(HTTPServer):
    """Keeps what is committed; refuses a token that is not "right"."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        if self.headers.get("Authorization") != "Bearer right":
            return self._say(401, {"error": "Invalid username or password."})
        if self.path.endswith("/repos/create"):
            name = "{organization}/{name}".format(**json.loads(body))
            return self._say(200, {"url": f"http://127.0.0.1:{self.server.server_port}/{name}", "name": name})
        if "/preupload/" in self.path:
            files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in json.loads(body)["files"]]
            return self._say(200, {"files": files})
        if self.path.endswith("/validate-yaml"):
            return self._say(200, {"errors": [], "warnings": []})
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                self.server.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        return self._say(200, {"success": True, "commitOid": "0" * 40, "commitUrl": "http://127.0.0.1/me/it/commit/0"})

    def do_GET(self) -> None:
        self._say(200, {"sha": "0" * 40, "id": "me/it", "siblings": []})

    def _say(self, status: int, data: object) -> None:
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub()
    threading.Thread(target=served.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{served.server_port}")
    monkeypatch.setenv("HF_TOKEN", "right")
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    with folder.made(tmp_path / "model") as place:
        folder.write(place, "sere: 1\n", ABOUT, {}, "# small\n")
    return tmp_path / "model"


def failed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["push", *words]) != 0
    said = capsys.readouterr().err
    assert "Traceback" not in said and len(said.strip().splitlines()) <= 2
    return said


def test_every_file_arrives(hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(model), "me/it"]) == 0
    assert hub.files == {path.name: path.read_bytes() for path in model.iterdir()} and "me/it" in capsys.readouterr().out


def test_what_is_refused_is_one_line(hub: Hub, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "C302" in failed(capsys, str(model), "not/a/name") and not hub.files
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "X709" in failed(capsys, str(model), "me/it") and not hub.files
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "X709" in failed(capsys, str(model), "me/it")
    (model / "README.md").write_text("changed")
    asked = len(hub.asked)
    assert "T505" in failed(capsys, str(model), "me/it") and len(hub.asked) == asked
