"""A page on this machine that plays one utterance after the other and takes a key for each label.

It is served to this machine only, under an address that nobody can guess.  After each key the labels are on the disk.
"""

from __future__ import annotations

import io
import json
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import soundfile

from sere_core.annotate.labels import Labels, Question
from sere_core.features.audio import chosen
from sere_core.features.decoding import ENDLESS, opened
from sere_core.predict.pieces import Channel
from sere_registry.errors import SereError

TEMPLATE = Path(__file__).parent / "page.html.j2"


class Page(ThreadingHTTPServer):
    """The page over these questions; `serve_forever` ends when the last one is answered or the user says so.

    Args:
        questions: what is asked, in this order.
        classes: the labels that can be given; their keys are 1, 2, ...
        labels: where the answers go; what is in there already is shown as answered.
        said: called with each answer's question and label ("" where it was taken back).
        port: 0 for any that is free.
        channel: of files with two: what the model hears is what is played.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(
        self,
        questions: Sequence[Question],
        classes: Sequence[str],
        labels: Labels,
        said: Callable[[Question, str], None] = lambda question, label: None,
        port: int = 0,
        channel: Channel = "mix",
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.questions, self.classes, self.labels, self.said, self.channel = questions, classes, labels, said, channel
        self.secret, self._writing = secrets.token_urlsafe(12), threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{self.secret}/"

    @cached_property
    def html(self) -> bytes:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined)
        asked = [{"name": each.name, "label": self.labels.of(each), "guess": each.guess} for each in self.questions]
        text = environment.get_template(TEMPLATE.name).render(classes=self.classes, questions=asked)
        return text.encode()

    def take(self, number: int, label: str) -> None:
        """Write one answer down; "" takes it back."""
        question = self.questions[number]
        with self._writing:  # answers of two pages come at once
            self.labels.put(question, label)
        self.__dict__.pop("html", None)
        self.said(question, label)


class _Handler(BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        words = self._words()
        if words == [""]:
            self._send(200, self.server.html, "text/html; charset=utf-8")
        elif len(words) == 2 and words[0] == "audio" and (number := self._number(words[1])) is not None:
            try:
                self._send(200, wave(self.server.questions[number], self.server.channel), "audio/wav")
            except SereError as cause:
                self._send(500, f"[{cause.problems[0].code}] {cause.problems[0].message}".encode(errors="replace"))
        else:
            self._send(404)

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 1000))
        match self._words():
            case ["label", written] if (number := self._number(written)) is not None:
                try:
                    label = json.loads(body or b'""')
                except ValueError:
                    label = None
                if label not in ("", *self.server.classes):
                    self._send(400)
                    return
                self.server.take(number, label)
                self._send(204)
            case ["end"]:
                self._send(204)
                self.server.shutdown()
            case _:
                self._send(404)

    def _words(self) -> list[str]:
        """The address below the secret; nothing where that is wrong."""
        _, secret, *words = urlsplit(self.path).path.split("/")
        return words if secrets.compare_digest(secret, self.server.secret) else []

    def _number(self, written: str) -> int | None:
        return int(written) if written.isdecimal() and int(written) < len(self.server.questions) else None

    def _send(self, code: int, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the terminal shows the answers."""


def wave(question: Question, channel: Channel = "mix") -> bytes:
    """The utterance as 16-bit WAV, which every browser plays; of a mix all channels.

    Raises:
        SereError: as `opened`: the file is gone or damaged.
    """
    with opened(question.path) as file:
        first = round((question.start or 0.0) * file.rate)
        last = ENDLESS if question.end is None else round(question.end * file.rate)
        samples = np.concatenate([chosen(block, channel) for block in file.blocks(first, last)])
        out = io.BytesIO()
        soundfile.write(out, samples, file.rate, format="WAV", subtype="PCM_16")
        return out.getvalue()
