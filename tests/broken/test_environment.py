"""Commands in environments that lack something, or hold nonsense: each does its work, or ends in coded lines that name the thing.

What a library does when it is imported depends on variables, so every command is a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest
import soundfile

from sere_core.cli import main
from tests.small import SMALL

#: what takes from root that it may read and write everything, so that a closed folder is closed
SETPRIV = shutil.which("setpriv")
PREFIX = [SETPRIV, "--bounding-set=-dac_override,-dac_read_search"] if SETPRIV and not os.getuid() else []
pytestmark = pytest.mark.skipif(not (PREFIX or os.getuid()), reason="root without setpriv can write everywhere")
#: a machine that others use gives a command one second in thirty
SECONDS = 900
DRY, FIRST, RECORD = ["run", "a.yaml", "--dry-run"], ["run", "a.yaml", "--quiet"], "record"
RUN = [*FIRST, "--fresh", "--set", "output.dir=again"]
CHECK = ["corpora", "check", "synthetic", "--set", "language=xb", "--set", "per_class=1", "--set", "speakers=1", "--set", "seconds=0.4"]
CHEAP = [DRY, ["plugins"], ["doctor"], ["config", "show", "a.yaml"], ["explain", "C302"]]
COMMANDS = [*CHEAP, RUN, CHECK, ["report", RECORD, "--quiet"], ["plugins", "info", "tric"]]
#: variables, of which None is unset; and of an odd one, what the message says where a command cannot do without it
ENVIRONMENTS: list[tuple[dict[str, str | None], str]] = [
    ({}, ""),
    ({"SERE_CACHE": None}, ""),
    ({"SERE_CACHE": ""}, ""),
    ({"SERE_CACHE": "{here}/file"}, "/file"),
    ({"SERE_CACHE": "/dev/full"}, "/dev/full"),
    ({"SERE_CACHE": "/proc/nowhere"}, "/proc/nowhere"),
    ({"SERE_CACHE": "{here}/closed/cache"}, "/closed"),
    ({"SERE_CACHE": "~nobody-here/x"}, "nobody-here"),
    ({"SERE_CACHE": "x" * 5000}, "xxx"),
    ({"SERE_CACHE": "é\udcff"}, ""),
    ({"SERE_DATA": "/nowhere"}, ""),
    ({"SERE_DATA": "{here}/file"}, ""),
    ({"SERE_DATA": ""}, ""),
    ({"SERE_DISABLE": "sere"}, "sere"),
    ({"SERE_DISABLE": ",,nonsense, \udcff"}, ""),
    ({"SERE_NO_PLUGINS": "1"}, ""),
    ({"SERE_NO_PLUGINS": "maybe"}, ""),
    ({"HOME": None}, ""),
    ({"HOME": None, "SERE_CACHE": None, "XDG_CACHE_HOME": None}, ""),
    ({"HOME": "/nowhere", "SERE_CACHE": None}, "/nowhere"),
    ({"HOME": "{here}/closed", "SERE_CACHE": None}, "/closed"),
    ({"HOME": "{here}/closed"}, ""),
    ({"HOME": "{here}/file", "SERE_CACHE": None}, "/file"),
    ({"TMPDIR": "/nowhere"}, ""),
    ({"TMPDIR": "{here}/closed"}, ""),
    ({"MPLBACKEND": "module://nowhere.backend"}, ""),
    ({"MPLBACKEND": "module://matplotlib_inline.backend_inline"}, ""),
    ({"MPLBACKEND": "nonsense"}, ""),
    ({"MPLBACKEND": "tkagg", "DISPLAY": ":99"}, ""),
    ({"MPLCONFIGDIR": "{here}/closed"}, ""),
    ({"COLUMNS": "1"}, ""),
    ({"COLUMNS": "0"}, ""),
    ({"COLUMNS": "-5", "LINES": "x"}, ""),
    ({"COLUMNS": "abc", "TERM": "dumb"}, ""),
    ({"COLUMNS": "9" * 30, "TERM": "\udcff"}, ""),
    ({"TERM": None, "FORCE_COLOR": "1"}, ""),
    ({"NO_COLOR": "", "FORCE_COLOR": "3"}, ""),
    ({"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}, ""),
    ({"LC_ALL": "xx_XX.nonsense", "LANG": "de_DE@euro"}, ""),
    ({"PYTHONIOENCODING": "ascii"}, ""),
    ({"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, ""),
    ({"OMP_NUM_THREADS": "abc"}, ""),
    ({"OMP_NUM_THREADS": "0"}, ""),
    ({"OMP_NUM_THREADS": "-1"}, ""),
    ({"OMP_NUM_THREADS": "9" * 12, "MKL_NUM_THREADS": "x"}, ""),
    ({"PYTHONWARNINGS": "error"}, ""),
    ({"PYTHONWARNINGS": "nonsense::x"}, ""),
    ({"PYTHONDEVMODE": "1"}, ""),
    ({"PYTHONOPTIMIZE": "2"}, ""),
    ({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/nowhere"}, ""),
    ({"PYTHONHASHSEED": "0"}, ""),
    ({"NUMBA_CACHE_DIR": "{here}/closed"}, ""),
    ({"NUMBA_CACHE_DIR": "/nowhere", "NUMBA_NUM_THREADS": "x"}, ""),
    ({"HF_HOME": "{here}/closed"}, ""),
    ({"HF_HOME": "/dev/null", "TRANSFORMERS_CACHE": "/dev/null"}, ""),
    ({"CUDA_VISIBLE_DEVICES": "x"}, ""),
    ({"TORCH_DEVICE_BACKEND_AUTOLOAD": "x", "TORCH_LOGS": "nonsense"}, "TORCH_LOGS"),
    ({"PATH": ""}, ""),
    ({"PATH": None, "USER": None, "LOGNAME": None, "SHELL": None}, ""),
    ({"SOURCE_DATE_EPOCH": "x", "TZ": "Nowhere/Land"}, ""),
]


class House:
    """A folder with a config, a record, a file, and a folder that cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "a.yaml").write_text(SMALL)
        (path / "file").touch()
        for name in ("home", "cache"):
            (path / name).mkdir()
        (path / "closed").mkdir()
        (path / "closed").chmod(0o555)
        self.base = {"PATH": os.environ["PATH"], "HOME": f"{path}/home", "SERE_CACHE": f"{path}/cache", "OMP_NUM_THREADS": "1"}
        self.record = ""

    def make_record(self) -> None:
        """The run of the config: for commands that read one."""
        code, text = self.call(FIRST)
        assert code == 0, text
        self.record = str(next(self.path.glob("runs/*/done")).parent)

    def call(self, words: list[str], changes: Mapping[str, str | None] = {}, cwd: Path | None = None, **more: Any) -> tuple[int, str]:
        """A command's exit code, -1 where it hangs; and what it printed."""
        given = {name: value.replace("{here}", str(self.path)) if value else value for name, value in (self.base | changes).items()}
        out: int | IO[str] = more.pop("stdout", subprocess.PIPE)
        code = "import sys; from sere_core.cli import main; sys.exit(main())"
        command = [*PREFIX, sys.executable, "-c", code, *(self.record if word == RECORD else word for word in words)]
        if before := more.pop("shell", ""):
            command = ["/bin/bash", "-c", f'{before} "$@" {more.pop("after")}', "sere", *command]
        try:
            ended = subprocess.run(
                command,
                env={name: value for name, value in given.items() if value is not None},
                cwd=cwd or self.path,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT if out == subprocess.PIPE else subprocess.PIPE,
                timeout=SECONDS,
                errors="replace",
                **more,
            )
        except subprocess.TimeoutExpired:
            return -1, "hangs"
        return ended.returncode, (ended.stdout or "") + (ended.stderr or "")


def judge(code: int, text: str, names: str = "", about: object = "", refused: bool | None = None) -> None:
    """The command ended well, or by coded lines of which one names the thing, and an exit code that the page on errors has."""
    said = f"{about}: {code}\n{text[-2500:]}"
    assert code in (0, 1, 2, 3, 4), said
    assert "Traceback" not in text and "[T507]" not in text and "Exception ignored" not in text, said
    if refused is not None:
        assert (code != 0) is refused, said
    if code:
        assert re.search(r"\[[A-Z]\d{3}\]", text), said
        assert names in text, said


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"))


def environments(house: House, count: int, seed: int, commands: list[list[str]]) -> None:
    chance = random.Random(seed)
    rows = [(changes, names, chance.choice(commands)) for changes, names in ENVIRONMENTS]
    rows += [(*chance.choice(ENVIRONMENTS), chance.choice(commands)) for _ in range(count - len(rows))]
    for changes, names, words in chance.sample(rows, count):
        code, text = house.call(words, changes)
        judge(code, text, names, (changes, words), None if names else False)


def test_some_environments(house: House) -> None:
    environments(house, 2, 1, CHEAP[:2])


@pytest.mark.counts
def test_environments(house: House) -> None:
    house.make_record()
    environments(house, 200, 2, COMMANDS)


def test_output_that_nobody_reads(house: House) -> None:
    code, text = house.call(["plugins"], shell="", stdout=open("/dev/full", "w"))  # noqa: SIM115
    judge(code, text, "", "/dev/full", True)
    assert "[X705]" in text, text
    code, text = house.call(["plugins"], shell="set -o pipefail;", after="| head -1")
    assert (code, text.count("\n")) == (0, 1), text
    check = "corpora check synthetic --set language=xb --set speakers=1 --set per_class=1 --set seconds=0.4"
    assert house.call(check.split(), shell="set -o pipefail;", after="| true") == (0, "")


@pytest.mark.counts
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_streams_that_are_closed_or_full(words: list[str], house: House) -> None:
    if RECORD in words and not house.record:
        house.make_record()
    for after in ("| head -1", "| true", ">&-", "2>&-", "<&- >&- 2>&-", "> /dev/full", "2> /dev/full", "> /dev/full 2>&1"):
        code, text = house.call(words, shell="set -o pipefail;", after=after)
        code = 0 if after.startswith("|") and code == 1 else code  # what prints by rich ends with 1 when nobody reads on
        judge(code, f"{text} [X705]" if "full" in after and not text else text, "", (words, after), None if "full" in after else False)


@pytest.mark.counts
@pytest.mark.parametrize("kind", ["file", "closed", "full", "long", "device", "link", "gone", "non-ASCII"])
def test_places_of_output(kind: str, house: House, tmp_path: Path) -> None:
    places = {"file": "file", "closed": "closed", "device": "/dev/null", "long": "x" * 300, "link": "link", "gone": "gone/x"}
    place = places.get(kind, "é\udcff\u202e")
    mounted = Path(tempfile.mkdtemp(dir=house.path))
    with contextlib.ExitStack() as after:
        if kind == "full":
            mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "sere", str(mounted)]
            if subprocess.run(mount, capture_output=True).returncode:
                pytest.skip("this user cannot mount a small file system")
            after.callback(subprocess.run, ["umount", str(mounted)], check=True)
            place = str(mounted)
        if kind == "link" and not (house.path / "link").is_symlink():
            (house.path / "link").symlink_to("link")
        code, text = house.call([*FIRST, "--set", f"output.dir={place}"], {"LC_ALL": "C"} if place in ("gone/x", "é\udcff\u202e") else {})
        judge(code, text, "" if kind == "non-ASCII" else place[:20], (kind, place), None if kind == "non-ASCII" else kind != "gone")


def test_a_working_directory_that_is_gone(house: House) -> None:
    for words in (["explain", "C302"], ["plugins"]):
        code, text = house.call(words, shell=f"mkdir -p {house.path}/left; cd {house.path}/left; rmdir {house.path}/left;", after="")
        judge(code, text, "working directory", words, True)


ROWS: dict[str, Callable[[Path], str]] = {
    "home": lambda here: "~x/a.wav",
    "NUL": lambda here: "a\0b.wav",
    "long": lambda here: "x" * 5000,
    "deep": lambda here: "a/" * 3000 + "a.wav",
    "up": lambda here: "../" * 50 + "nowhere.wav",
    "dots": lambda here: "..",
    "absolute": lambda here: str(here / "a.wav"),
    "nowhere": lambda here: "/nowhere/a.wav",
    "closed": lambda here: "closed.wav",
    "folder": lambda here: "folder",
    "folder/": lambda here: "folder/",
    "pipe": lambda here: "pipe",
    "device": lambda here: "/dev/zero",
    "made up": lambda here: "/proc/self/mem",
    "loop": lambda here: "loop.wav",
    "file/": lambda here: "a.wav/",
    "file/x": lambda here: "a.wav/x",
    "bytes": lambda here: "é\udcff.wav",
    "empty": lambda here: "empty.wav",
    "text": lambda here: "text.wav",
    "=": lambda here: "=a.wav",
    "backslash": lambda here: "a\\b.wav",
    "url": lambda here: "https://nowhere/a.wav",
    "newline": lambda here: '"a\nb.wav"',
    "blanks": lambda here: "   ",
}
VALUES = ["", "x" * 5000, "\0", "é\u202e", "=1+1", "-1", "nan", "1e400", "inf", "0x10", "null", "\udcff", "../..", "a\rb"]


@pytest.fixture
def rows(house: House) -> Path:
    folder = house.path / "rows"
    if not folder.is_dir():
        (folder / "folder").mkdir(parents=True)
        soundfile.write(folder / "a.wav", [(-1) ** (i // 20) * 0.3 for i in range(8000)], 16000)
        shutil.copy(folder / "a.wav", folder / "closed.wav")
        (folder / "closed.wav").chmod(0)
        os.mkfifo(folder / "pipe")
        (folder / "loop.wav").symlink_to("loop.wav")
        (folder / "empty.wav").touch()
        (folder / "text.wav").write_text("no sound")
    return folder


def check_rows(house: House, file: Path, refused: bool | None, about: object, call: Callable[..., tuple[int, str]]) -> str:
    code, text = call(["corpora", "check", "manifest", str(file), "--set", "language=pl"])
    judge(code, text.replace("\0", "\\0"), "", about, refused)
    return text


def test_odd_rows_of_a_manifest(house: House, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each alone, and all at once; a good row beside them."""

    def here(words: list[str]) -> tuple[int, str]:
        try:
            code = main(words)
        finally:
            told = capsys.readouterr()
        return code, told.out + told.err

    def manifest(*lines: str) -> Path:
        file = rows / "list.csv"
        file.write_text("\n".join(("path,speaker,emotion", "a.wav,s,anger", *lines)) + "\n", errors="surrogateescape", encoding="utf-8")
        return file

    odd = {name: make(rows) for name, make in ROWS.items() if name != "closed" or os.getuid()}
    for name, path in odd.items():
        text = check_rows(house, manifest(f"{path},s,anger"), None if name in ("absolute", "blanks") else True, name, here)
        assert name == "absolute" or "list.csv:3" in text or path.strip('"/')[:10].partition("\n")[0] in text, (name, text)
    check_rows(house, manifest(*(f"{path},s,anger" for path in odd.values())), True, "all", here)
    for value in VALUES:
        for line in (f"a.wav,s,{value}", f"a.wav,{value},anger", f"{value},s,anger"):
            check_rows(house, manifest(line), None, repr(line), here)


@pytest.mark.counts
def test_a_row_of_another_users_file(house: House, rows: Path) -> None:
    file = rows / "closed.csv"
    file.write_text("path,speaker,emotion\na.wav,s,anger\nclosed.wav,s,anger\n")
    text = check_rows(house, file, True, "closed", house.call)
    assert "closed.wav" in text, text
    shutil.move(rows / "a.wav", rows / "b.wav")
    file.chmod(0)
    assert "closed.csv" in check_rows(house, file, True, "the manifest itself", house.call)
