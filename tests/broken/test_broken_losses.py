"""Losses that break, meddle or lie: a coded line with their file, or a warning in the record and the numbers of the honest loss."""

# ruff: noqa: E501
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.cli.test_blame import CONFIG

HEAD = """\
import os, signal, sys, threading, time, warnings, random, locale
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from sere_registry import ComponentSpec
"""
LOSS = """
class Gap(nn.Module):
    views, kept = frozenset(), []

    def __init__(self, params, context):
        super().__init__()
        self.network, self.calls = (context.backbone,), 0
        {build}

    def forward(self, labelled, target):
        self.calls += 1
        gap = (labelled.embedding.mean(dim=0) - target.embedding.mean(dim=0)).square().sum() + target.logits.square().mean()
        {body}
        return {{"gap": {result}}}

    {more}

SPEC = ComponentSpec(kind="loss", name="gap", factory=f"{{__name__}}:Gap", summary="a loss")
"""
_LINE = r"\[B404\] loss 'local\.gap' of \S+loss\.py \w+ failed in forward \(\S+loss\.py:\d+\): "
_CHANGED = r"\[B404\] loss 'local\.gap' of .*loss\.py:\d+\) changed `?"


def raises(text: str, says: str, code: str = "") -> tuple[dict[str, str], str]:
    return {"body": text}, (code or _LINE) + says


def changes(text: str, thing: str, **where: str) -> tuple[dict[str, str], str]:
    """The run goes on with the honest loss's numbers; the warning names the loss, its line and the thing."""
    return where or {"body": text}, f"~loss 'local\\.gap' of .*loss\\.py:\\d+\\) changed {thing}.*put back"


#: what is wrong -> (the parts of the loss, what is said).  `~`: a warning, and the same numbers; `!`: a warning; else an error
CASES: dict[str, tuple[dict[str, str], str]] = {
    # what it raises
    "sys.exit(0)": raises("sys.exit(0)", "SystemExit: 0"),
    "exit later": raises("if self.calls > 1: sys.exit()", "SystemExit"),
    "KeyboardInterrupt": raises("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "GeneratorExit": raises("raise GeneratorExit", "GeneratorExit"),
    "StopIteration": raises("raise StopIteration", "StopIteration"),
    "CancelledError": raises("import asyncio; raise asyncio.CancelledError('x')", "CancelledError: x"),
    "RecursionError": raises("def f(): return f()\n        f()", "RecursionError"),
    "MemoryError": raises("raise MemoryError", "MemoryError", r"\[X706\] loss 'local\.gap'.*loss\.py:\d+\): "),
    "out of memory": raises("torch.empty(1 << 62)", "", r"\[(B404|X706)\] loss 'local\.gap'.*loss\.py:\d+\): "),
    "a text of a megabyte": raises("raise ValueError('y' * 1_000_000)", "ValueError: y{290}"),
    "lines and colours": raises("raise ValueError('a\\nb\\x1b[31m\\0c')", r"ValueError: a b \[31m c"),
    "no text": raises("class E(Exception):\n            def __str__(self): sys.exit(1)\n        raise E", "E$"),
    "an exit while it is imported": ({"head": "sys.exit(0)\n"}, r"\[P102\] .*SystemExit"),
    "no such column": raises("labelled.embedding[:, 999]", "IndexError"),
    "an exit while it is built": ({"build": "sys.exit(0)"}, r"\[B401\] loss 'local\.gap'.*loss\.py:\d+\): SystemExit: 0"),
    "an interrupt while it is built": ({"build": "raise KeyboardInterrupt"}, r"\[B401\] loss 'local\.gap'.*loss\.py:\d+\): KeyboardInterrupt"),
    "an exit at the end of an epoch": (
        {"more": "def after_epoch(self, progress, data): sys.exit(0)"}, r"\[B404\] loss 'local\.gap'.*after_epoch \(\S+loss\.py:\d+\): SystemExit"
    ),
    "diagnostics that are no numbers": ({"more": "def diagnostics(self): return {'a': 'b'}"}, r"\[B404\] .*diagnostics.*ValueError"),
    "an error of sere's own without a place": (
        {"body": "from sere_registry import error; raise error('B403', 'no')"}, r"yaml:\d+:\d+: losses\.adapt: \[B403\] no$"
    ),
    # what it returns
    "no term": ({"body": "return {}"}, r"\[B403\] loss 'local\.gap'.*no term"),
    "None": ({"result": "None"}, r"\[B403\] loss 'local\.gap'.*NoneType"),
    "a float": ({"result": "1.0"}, r"\[B403\] loss 'local\.gap'.*float"),
    "a tuple": ({"result": "(gap, gap)"}, r"\[B403\] loss 'local\.gap'.*tuple"),
    "a row": ({"result": "gap.expand(3)"}, r"\[B403\] loss 'local\.gap'.*shape \(3,\)"),
    "integers": ({"result": "gap.long()"}, r"\[B403\] loss 'local\.gap'.*int64"),
    "complex numbers": ({"result": "gap * 1j"}, r"\[B403\] loss 'local\.gap'.*complex64"),
    "NaN": ({"result": "gap * float('nan')"}, r"\[T501\] .*'adapt\.gap' \(loss 'local\.gap' of .*loss\.py:\d+\) is nan"),
    "infinity later": ({"result": "gap / (self.calls < 2)"}, r"\[T501\] .*'adapt\.gap' \(loss 'local\.gap' of .*loss\.py:\d+\) is inf"),
    "detached": ({"result": "gap.detach()"}, r"!'adapt\.gap' \(loss 'local\.gap' of .*loss\.py:\d+\) carried no gradient"),
    "a new tensor": ({"result": "torch.tensor(gap.item())"}, r"!'adapt\.gap' .*carried no gradient"),
    "a parameter of its own that nobody trains": ({"result": "nn.Parameter(torch.ones(())) * 3"}, r"!'adapt\.gap' .*carried no gradient"),
    "a new parameter": ({"result": "nn.Parameter(torch.ones(()))"}, r"!'adapt\.gap' .*carried no gradient"),
    "half precision of a constant": ({"result": "torch.tensor(1.0, dtype=torch.float16)"}, r"!'adapt\.gap' .*carried no gradient"),
    "another device": ({"result": "gap.to('meta')"}, r"\[B403\] .*'adapt\.gap' \(loss 'local\.gap' of .*loss\.py:\d+\).*meta"),
    "a gradient that is not finite": (
        {"result": "gap + (target.embedding * 0).sum().abs().sqrt()"}, r"\[T501\] .*parameter '.*' is not finite.*'adapt\.gap' \(loss 'local\.gap'"
    ),
    "the graph of an earlier step": (
        {"body": "Gap.kept.append(gap)", "result": "gap + Gap.kept[0]"}, r"\[B404\] the gradient of .*'adapt\.gap' \(loss 'local\.gap'.*RuntimeError"
    ),
    "a gradient that raises": (
        {"body": "class B(torch.autograd.Function):\n"
                 "            forward = staticmethod(lambda ctx, x: x * 1)\n"
                 "            backward = staticmethod(lambda ctx, g: sys.exit(0))\n", "result": "B.apply(gap)"},
        r"\[B404\] the gradient of .*'adapt\.gap' \(loss 'local\.gap'.*SystemExit",
    ),
    # what it changes, and what is put back
    "no gradients": changes("torch.set_grad_enabled(False)", "grad mode"),
    "the default dtype": changes("torch.set_default_dtype(torch.float64)", "the default dtype"),
    "the default device": changes("torch.set_default_device('meta')", "the default device"),
    "autocast": changes("torch.set_autocast_enabled('cpu', True)", "autocast"),
    "threads": changes("torch.set_num_threads(2)", "the number of threads"),
    "deterministic algorithms": changes("torch.use_deterministic_algorithms(True)", "deterministic algorithms"),
    "cudnn": changes("torch.backends.cudnn.benchmark = True", "cudnn's flags"),
    "the precision of products": changes("torch.set_float32_matmul_precision('medium')", "the precision of products"),
    "anomaly mode": changes("torch.autograd.set_detect_anomaly(True)", "anomaly mode"),
    "a seed": changes("torch.manual_seed(0)", "torch's seed"),
    "a seed while it is built": changes("", "torch's seed", build="torch.manual_seed(0)"),
    "numpy's errors": changes("np.seterr(all='raise')", "numpy's handling of errors"),
    "the working directory": changes("os.chdir('/')", "the working directory"),
    "the environment": changes("os.environ['OMP_NUM_THREADS'] = '7'", "variables of the environment"),
    "stdout": changes("sys.stdout = sys.stderr = open(os.devnull, 'w')", r"sys\.stdin, sys\.stdout"),
    "signal handlers": changes("signal.signal(signal.SIGINT, signal.SIG_IGN)", "signal handlers"),
    "filters of warnings": changes("warnings.simplefilter('error')", "the filters of warnings"),
    "evaluation mode": changes("self.network[0].eval()", "the mode or the hooks"),
    "a frozen network": changes("self.network[0].requires_grad_(False)", "gradients or hooks"),
    "gradients of its own": changes("gap.backward(retain_graph=True)", "gradients or hooks"),
    "a hook on an embedding": changes("target.embedding.register_hook(lambda g: g * 0)", "gradients or hooks"),
    "a hook on the network": changes("self.network[0].classifier.register_forward_hook(lambda m, i, o: o * 2)", "the mode or the hooks"),
    "draws of everybody's generators": ({"body": "random.random(); np.random.rand(); torch.rand(3)"}, "="),
    "seeds of Python and numpy": ({"body": "random.seed(0); np.random.seed(0)"}, "="),
    "a forward of one module": changes("c = self.network[0].classifier; c.forward = lambda x: nn.Linear.forward(c, x) * 3", "the mode or the hooks of parts"),
    "a seed while gradients are made": (
        {"body": "gap.register_hook(lambda g: torch.manual_seed(3) and None)"}, r"~loss 'local\.gap' of .*, in its gradient changed torch's seed; it was put back"
    ),
    # what it changes, and what cannot be put back
    "a part of the network": ({"body": "n = self.network[0]; n.classifier = nn.Linear(*n.classifier.weight.shape[::-1])"}, _CHANGED + "the part"),
    "a parameter replaced": ({"body": "c = self.network[0].classifier; c.weight = nn.Parameter(c.weight.detach() * 0)"}, _CHANGED + "the part"),
    "a network that it holds": (
        {"build": "self.held = context.backbone", "body": "self.held.classifier.weight.data.mul_(1.1)"}, _CHANGED + "the parameter 'backbone"
    ),
    "parameters while gradients are made": (
        {"body": "w = self.network[0].classifier.weight; gap.register_hook(lambda g: w.data.mul_(1.5) is None or None)"},
        r"\[B404\] loss 'local\.gap' of .*, in its gradient changed the parameter 'backbone",
    ),
    "an embedding in place": ({"body": "labelled.embedding.data.mul_(2)"}, _CHANGED + r"labelled\.embedding"),
    "logits in place": ({"body": "with torch.no_grad(): target.logits.zero_()"}, _CHANGED + r"target\.logits"),
    "labels in place": ({"body": "labelled.labels.numpy()[:] = 0"}, _CHANGED + r"labelled\.labels"),
    "frames in place": ({"body": "target.inputs.frames.values.zero_()"}, _CHANGED + r"target\.inputs\.frames\.values"),
    "another batch": ({"body": "object.__setattr__(labelled, 'labels', labelled.labels * 0)"}, _CHANGED + r"labelled\.labels"),
    "parameters in place": ({"body": "self.network[0].classifier.weight.data.mul_(1.1)"}, _CHANGED + "the parameter 'backbone"),
    "posteriors that are none": (
        {"build": "self.predicts = True", "more": "def predict(self, batch, support, field): return batch.logits"}, r"\[B403\] predict returns"
    ),
    "NaN for posteriors": (
        {"build": "self.predicts = True", "more": "def predict(self, batch, support, field): return batch.logits * float('nan')"}, r"\[B403\] predict.*finite"
    ),
}  # fmt: skip
HONEST: dict[str, str] = {}
SAMPLE = ["sys.exit(0)", "no gradients", "labels in place", "NaN"]


def write(folder: Path, parts: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    filled = {"build": "pass", "body": "pass", "result": "gap", "more": "pass", **parts}
    (folder / "loss.py").write_text(HEAD + parts.get("head", "") + LOSS.format(**filled))
    (folder / "run.yaml").write_text(textwrap.dedent(CONFIG).replace("epochs: 1", "epochs: 2"))
    return folder


def outcomes(names: list[str], folder: Path) -> dict[str, tuple[str, str, Path]]:
    """How each run ended: its exit code, its stderr and its folder; "" is the honest one."""
    folders = {name: write(folder / str(number), CASES[name][0] if name else HONEST) for number, name in enumerate(["", *names])}
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.broken.forked", *map(str, folders.values())]
    subprocess.run(words, env=environ, cwd=Path(__file__).parents[2], check=True, timeout=3600)
    return {name: ((each / "code").read_text(), (each / "err").read_text(), each) for name, each in folders.items()}


def record(folder: Path) -> Path | None:
    return next((path.parent for path in folder.glob("runs/*/done")), None)


def warnings_of(made: Path) -> list[str]:
    told: list[str] = json.loads((made / "manifest.json").read_text())["notes"]["warnings"]
    return told


def wrong(name: str, ended: tuple[str, str, Path], honest: Path) -> str:
    """What a user would not learn; "" where nothing is wrong."""
    code, err, folder = ended
    says, made = CASES[name][1], record(folder)
    if code == "hangs" or "Traceback" in err:
        return f"{name}: {code}: {err[-600:]}"
    if says[0] not in "~!=":
        lines = [line for line in err.splitlines() if re.search(r"\[[A-Z]\d{3}\]", line)]
        fine = code in "134" and made is None and len(lines) == 1 and re.search(says, lines[0]) and lines[0].isprintable()
        return "" if fine else f"{name}: exit {code}, record {made}, said: {err[-600:]}"
    if code != "0" or made is None:
        return f"{name}: exit {code}: {err[-600:]}"
    told = [line for line in warnings_of(made) if line not in warnings_of(honest)]
    same = (made / "predictions.csv").read_bytes() == (honest / "predictions.csv").read_bytes()
    if says == "=":
        return "" if same and not told and "warning" not in err else f"{name}: the same numbers: {same}, said: {err[-600:]}"
    heard = [line for line in told if re.search(says[1:], line)]
    fine = len(heard) == 1 and re.search(says[1:], err) and (same or says[0] == "!")
    return "" if fine else f"{name}: the same numbers: {same}, in the record: {told}, said: {err[-600:]}"


def check(names: list[str], folder: Path) -> None:
    ended = outcomes(names, folder)
    honest = record(ended[""][2])
    assert honest is not None and "warning" not in ended[""][1], ended[""]
    found = [line for name in names if (line := wrong(name, ended[name], honest))]
    assert not found, f"{len(found)} of {len(names)}:\n" + "\n".join(found)


@pytest.mark.slow
def test_some_broken_losses(tmp_path: Path) -> None:
    check(SAMPLE, tmp_path)


@pytest.mark.counts
def test_no_broken_loss_changes_a_run_in_silence(tmp_path: Path) -> None:
    assert len(CASES) >= 56
    check(list(CASES), tmp_path)
