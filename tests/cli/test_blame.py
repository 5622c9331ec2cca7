"""Runs that a plugin or the environment breaks: one coded line with its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sere_core.cli import run_main
from tests.forked import forked
from tests.small import SMALL

ADAPT = 'losses: {classify: {use: cross_entropy}, adapt: {use: "file:loss.py:SPEC"}}'
CONFIG = SMALL.replace("losses: {classify: {use: cross_entropy}}", ADAPT)
LOSS = """\
import sys
from torch import nn
from sere_registry import ComponentSpec

class Thing(nn.Module):
    def __init__(self, params, context):
        super().__init__()
%s

SPEC = ComponentSpec(kind="loss", name="thing", factory=f"{__name__}:Thing", summary="a loss")
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "small.yaml").write_text(CONFIG)
    return forked(lambda: run_main(["small.yaml", "--quiet"]), folder)


@pytest.mark.parametrize(
    ("body", "says", "hint"),
    [
        ("        sys.exit(7)", "[B401] loss 'local.thing' of ", "--traceback shows where"),
        ("    def forward(self, labells): return {}", "its forward reads 'labells'", "did you mean 'labelled'?"),
        ("    def forward(self, labelled): return labelled.embedding.sum()", "its forward returns a Tensor", 'return {"name": term}'),
    ],
)
def test_a_loss_that_cannot_be_asked_is_one_line(body: str, says: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text(LOSS % body)
    done = run(tmp_path)
    assert done.returncode == 3 and says in done.stderr and hint in done.stderr, done.stderr
    assert "loss.py" in done.stderr and "Traceback" not in done.stderr and "\nsmall.yaml:12:" in done.stderr


def test_what_a_plugin_raises_is_one_line_with_its_own(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text(LOSS % '    def forward(self, labelled): return {"a": labelled.embedding[:, 999].sum()}')
    done = run(tmp_path)
    assert done.returncode == 3 and "[B404]" in done.stderr and "IndexError" in done.stderr and "Traceback" not in done.stderr
    assert f"{tmp_path / 'loss.py'}:8" in done.stderr and "small.yaml:12:" in done.stderr


CORPUS = """\
import sys
from pathlib import Path
import numpy as np, soundfile
from sere_registry import ComponentSpec
from sere_registry.utterances import Recording, Utterance

class Four:
    def __init__(self, params, context):
        self.corpus, self.languages = context.id, ("xb",)
    def utterances(self):
        made = []
        for number in range(4):
            path = Path(f"{number}.wav").absolute()
            soundfile.write(path, 0.3 * np.sin(np.arange(6400) * (0.05 + 0.01 * number)), 16000)
            about = dict(id=str(number), path=path, corpus=self.corpus, language="xb", speaker=f"s{number // 2}")
            made.append(Utterance(Recording(**{**about, CHANGED}), ("anger", "sadness")[number % 2]))
        return made
    def findings(self):
        return FINDINGS
    def prepare(self, progress=None): ...

SPEC = ComponentSpec(kind="corpus", name="four", factory=f"{__name__}:Four", summary="four utterances")
"""


@pytest.mark.parametrize(
    ("changed", "findings", "says"),
    [
        ('"id": number', "()", "[B403] corpus 'local.four' of "),
        ('"language": None', "()", "[B403] corpus 'local.four' of "),
        ('"corpus": "xa"', "()", "or which is of another corpus"),
        ("", "None", "in findings"),
        ("", "['odd']", "which is no list of findings"),
    ],
)
def test_a_corpus_that_says_what_nobody_can_use(changed: str, findings: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "four.py").write_text(CORPUS.replace("CHANGED", changed).replace("FINDINGS", findings))
    before, _, after = SMALL.partition("  xb: {use: synthetic")
    config = before + '  xb: {use: "file:four.py:SPEC"}' + after[after.index("\n") :]
    (tmp_path / "small.yaml").write_text(config)
    done = forked(lambda: run_main(["small.yaml", "--quiet"]), tmp_path)
    assert says in done.stderr and "four.py" in done.stderr and "Traceback" not in done.stderr and "[T507]" not in done.stderr, done.stderr
    assert done.returncode == 3


def test_a_validator_that_ends_the_process_is_one_line(tmp_path: Path) -> None:
    head = "from pydantic import field_validator\nfrom sere_registry import Params, param\n\nclass P(Params):\n    a: int = param(1, 'a')\n"
    head += "    @field_validator('a')\n    def check(cls, value): sys.exit(0)\n\n"
    text = (
        (LOSS % "    def forward(self, labelled): return {}")
        .replace("class Thing", head + "class Thing")
        .replace('summary="a loss"', "summary='', params=P")
    )
    (tmp_path / "loss.py").write_text(text)
    (tmp_path / "small.yaml").write_text(CONFIG.replace('SPEC"', 'SPEC", params: {a: 2}'))
    done = forked(lambda: run_main(["small.yaml", "--quiet"]), tmp_path)
    assert done.returncode == 3 and "[B401] loss 'local.thing'" in done.stderr and "SystemExit: 0" in done.stderr, done.stderr


def test_damaged_metadata_on_which_torch_stumbles_is_one_line(tmp_path: Path) -> None:
    info = tmp_path / "site" / "zzz_damaged-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zzz-damaged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sere.losses]\nthis line has no equals sign\n")
    (tmp_path / "small.yaml").write_text(SMALL)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from sere_core.cli import run_main; sys.exit(run_main())"
        environ = {**os.environ, "PYTHONPATH": str(info.parent)}
        given = [sys.executable, "-c", code, "small.yaml", "--quiet", *words]
        return subprocess.run(given, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)

    done = run()
    assert done.returncode == 4 and done.stderr.startswith("[X701]") and str(info) in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert run("--dry-run").returncode == 0, "which needs no torch"
