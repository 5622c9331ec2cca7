"""What the loader says of wrong values and of parts that do not fit: the exact place, the code and the hint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from textwrap import dedent

import pytest

from sere_core.config import Resolved
from sere_registry import ComponentSpec
from sere_registry.catalog import Catalog, Entry
from sere_registry.kinds import API
from tests.config.conftest import SPECS, matches

Read = Callable[..., Resolved]
Lines = Callable[..., list[str]]


def marks(lines: Iterable[str]) -> list[str]:
    """The place and the code of each line."""
    return [line.partition("]")[0] + "]" for line in lines]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: small", "name: small\nnmae: x", "a.yaml:3:1: nmae: [C302] name"),
        ("weight: 0.5", "weigth: 0.5", "a.yaml:14:5: losses.adapt.weigth: [C302] weight"),
        ("temperature", "temprature", "a.yaml:15:14: losses.adapt.params.temprature: [C302] temperature"),
        ("weight: 0.5", "weight: {strt: 1}", "a.yaml:14:14: losses.adapt.weight.strt: [C302] start"),
        ("source: german, ", "", "a.yaml:6:1: task.source: [C302] source"),
        ("params: {root: /data/de}", "params: {}", "a.yaml:4:25: corpora.german.params.root: [C302] root"),
        (", params: {root: /data/de}", "", "a.yaml:4:3: corpora.german.params.root: [C302] root"),
        ("weight: 0.5", "weight: heavy", "a.yaml:14:13: losses.adapt.weight: [C302] heavy"),
        ("weight: 0.5", "weight: {end: x}", "a.yaml:14:19: losses.adapt.weight.end: [C302] x"),
        ("weight: 0.5", "weight: true", "a.yaml:14:13: losses.adapt.weight: [C302] true"),
        ("weight: 0.5", "weight: .inf", "a.yaml:14:13: losses.adapt.weight: [C302] Infinity"),
        ("ture: 0.1", "ture: 0", "a.yaml:15:27: losses.adapt.params.temperature: [C302] 0"),
        ("temperature: 0.1", "steps: 1.5", "a.yaml:15:21: losses.adapt.params.steps: [C302] 1.5"),
        ("temperature: 0.1", "steps: '5'", "a.yaml:15:21: losses.adapt.params.steps: [C302] 5"),
        ("temperature: 0.1", "sharp: 1", "a.yaml:15:21: losses.adapt.params.sharp: [C302] 1"),
        ("temperature: 0.1", "mode: sot", "losses.adapt.params.mode: [C302] soft, hard, sot"),
        ("{root: /data/de}", "{root: /d, speakers: 3}", "corpora.german.params.speakers: [C302] 3"),
        ("{root: /data/de}", "{root: /d, speakers: [3]}", "a.yaml:4:55: corpora.german.params.speakers.0: [C302] 3"),
        ("{root: /data/de}", "{root: /d, speakers: []}", "a.yaml:4:44: corpora.german.params.speakers: [C302] needs, 1 item, 0"),
        ("{root: /data/de}", "/data/de", "a.yaml:4:33: corpora.german.params: [C302] /data/de"),
        ("name: small", "name: 5", "a.yaml:2:7: name: [C302] 5"),
        ("name: small", "name: a/b", "a.yaml:2:7: name: [C302] a/b"),
        ("name: small", "name: ..", "a.yaml:2:7: name: [C302] .."),
        ("name: small", "name: small\nseed: 4294967296", "a.yaml:3:7: seed: [C302] 4294967296"),
        ("target: italian", "target: italian, shots: 0", "task.shots: [C302] 1, all, 0"),
        ("target: italian", "target: italian, folds: 1", "task.folds: [C302] 2, speakers, 1"),
        ("target: italian", "target: italian, classes: [angre, fear]", "[C302] angre, anger"),
        ("target: italian", "target: italian, classes: [happy, fear]", "task.classes.0: [C302] happy, happiness"),
        ("target: italian", "target: italian, classes: [fear, fear]", "task.classes.1: [C302] fear"),
        ("name: small", "name: small\ntrain: {device: gpu}", "train.device: [C302] gpu, cuda"),
        ("name: small", "name: small\ntrain: {batch: {labelled: 0}}", "train.batch.labelled: [C302] 1, all, 0"),
        ("name: small", "name: small\ntrain: {batch: {source: 0}}", "train.batch.source: [C302] 1, 0"),
        ("name: small", "name: small\ntrain: {optimizer: {params: {lr: .nan}}}", "a.yaml:3:34: train.optimizer.params.lr: [C302]"),
        ("name: small", "name: small\noutput: {dir: ' '}", "output.dir: [C302]"),
        ("name: small", "name: small\nmetrics: {k: {use: CohenKapa}}", "a.yaml:3:20: metrics.k.use: [C302] CohenKapa, CohenKappa"),
        ("name: small", "name: small\nmetrics: {k: {use: BinaryAUROC}}", "metrics.k.use: [C302] BinaryAUROC, AUROC"),
        ("name: small", "name: small\nmetrics: {k: {params: {}}}", "metrics.k.use: [C302] use"),
        ("name: small", "name: small\nmetrics: {uar: {use: Accuracy}}", "a.yaml:3:11: metrics.uar: [C302] uar"),
        ("name: small", "name: small\ntrain: 5", "a.yaml:3:8: train: [C302] 5"),
        ("name: small", "name: small\nmethod: joint", "a.yaml:3:9: method: [C302] joint"),
        ("losses:", "losses:\n  a b: {use: plain}", "a.yaml:11:3: losses.a b: [C302] a b"),
        ("use: tiny", "use: tinny", "a.yaml:8:17: encoders.anchor.use: [R201] tinny, tiny"),
        ("use: tiny", "use: tric", "a.yaml:8:17: encoders.anchor.use: [R201] tric"),
        ("use: tiny", "params: {}", "a.yaml:8:3: encoders.anchor.use: [C303] use: NAME"),
        ("use: tiny", "use: 3", "a.yaml:8:17: encoders.anchor.use: [C302] 3"),
        ("use: tric", "use: odd\n    params: {size: 13}\n  c:\n    use: tric", "[B401] sere.odd"),
        ("source: german", "source: germany", "a.yaml:6:16: task.source: [C308] germany, german"),
        ("labelled: anchor, un", "labelled: ankor, un", "a.yaml:9:19: paths.labelled: [C308] ankor, anchor"),
        ("unlabelled: anchor", "unlabelled: {de: x}", "a.yaml:9:44: paths.unlabelled.de: [C308] x"),
        ("unlabelled: anchor", "unlabelled: {}", "a.yaml:9:27: paths.unlabelled: [C311]"),
        ("target: italian", "target: italian, classes: [fear]", "task.classes: [C311]"),
        ("target: italian", "target: italian, folds: speakers, disjoint: none", "task.disjoint: [C311] folds: speakers"),
        ("sere: 1", "sere: 2", "a.yaml:1:7: sere: [C309] sere: 1"),
        ("sere: 1", "sere: true", "a.yaml:1:7: sere: [C309]"),
        ("sere: 1\n", "", "a.yaml:1:1: sere: [C309] sere: 1"),
        ("name: small", "name: small\nplugins: {require: ['x-y>=2']}", "a.yaml:3:21: plugins.require.0: [P101]"),
        ("use: tric", "use: focal\n  c:\n    use: tric", None),
        ("use: tric", "use: focal\n  c:\n    use: tric\nplugins: {disable: [sere-plugin-xyz]}", "[P107] xyz.focal"),
    ],
)
def test_one_mistake_is_one_line_at_its_place(lines: Lines, read: Read, good: str, old: str, new: str, says: str | None) -> None:
    assert good.count(old) >= 1
    text = good.replace(old, new, 1)
    if "plugins: {disable" in new:  # keep the block below the losses whole
        line = "plugins: {disable: [sere-plugin-xyz]}\n"
        text = text.replace(line, "").replace("name: small\n", f"name: small\n{line}")
    if says is None:
        assert read(text).components["losses.adapt"].full_name == "xyz.focal"
        return
    (line,) = lines(text)
    assert matches(line, says)


def test_a_joint_method_without_losses_does_not_fit_but_another_method_may_do_without(lines: Lines, read: Read, good: str) -> None:
    text = good[: good.index("losses:")]
    (line,) = lines(text)
    assert line.startswith("a.yaml:1:1: losses: [C311]")
    assert read(text + "method: {use: alone}").config.losses == {}


def test_an_empty_section_of_corpora_says_what_a_run_needs(lines: Lines, good: str) -> None:
    text = good.replace("  german: {use: folder, params: {root: /data/de}}\n  italian: {use: folder, params: {root: /data/it}}\n", "")
    assert marks(lines(text.replace("corpora:", "corpora: {}"))) == ["a.yaml:3:1: corpora: [C311]"]
    assert marks(lines(text)) == ["a.yaml:1:1: corpora: [C302]"]


def test_all_mistakes_are_reported_together_in_the_order_of_the_file(lines: Lines, good: str) -> None:
    text = good.replace("sere: 1", "sere: 1\nseed: -1").replace("use: tiny", "use: tinny").replace("labelled: anchor, ", "labelled: b, ")
    text = text.replace("weight: 0.5", "weight: x").replace("temperature: 0.1", "temperature: -1, foo: ${vars.y}")
    assert marks(lines(text, "train.epochs=0")) == [
        "a.yaml:2:7: seed: [C302]",
        "a.yaml:9:17: encoders.anchor.use: [R201]",
        "a.yaml:10:19: paths.labelled: [C308]",
        "a.yaml:15:13: losses.adapt.weight: [C302]",
        "a.yaml:16:27: losses.adapt.params.temperature: [C302]",
        "a.yaml:16:36: losses.adapt.params.foo: [C306]",
        "--set train.epochs=0: train.epochs: [C302]",
    ]


def test_unused_corpora_and_encoders_are_warnings(read: Read, good: str) -> None:
    text = good.replace("encoders:", "encoders:\n  spare: {use: tiny}")
    text = text.replace("corpora:", "corpora:\n  third: {use: folder, params: {root: /x}}")
    found = marks(str(warning) for warning in read(text).warnings)
    assert found == ["a.yaml:4:3: corpora.third: [C308]", "a.yaml:9:3: encoders.spare: [C308]"]


def test_a_batch_larger_than_the_labelled_set_is_a_warning(read: Read, good: str) -> None:
    text = good.replace("target: italian", "target: italian, classes: [fear, anger], shots: 5") + "train: {batch: {labelled: %d}}\n"
    assert read(text % 10).warnings == ()
    (warning,) = read(text % 11).warnings
    assert (warning.code, warning.place.path) == ("C311", "train.batch.labelled")


def test_a_component_in_a_file_is_named_from_the_folder_of_the_config(read: Read, lines: Lines, good: str) -> None:
    component = """
    from sere_registry import ComponentSpec, Params, param
    class MineParams(Params):
        power: int = param(2, "of what", ge=1)
    SPEC = ComponentSpec(kind="loss", name="mine", factory="builtins:dict", params=MineParams, summary="mine")
    """
    text = "extends: sub/b.yaml\n"
    base = good.replace("use: plain", "use: 'file:./mine.py:SPEC', params: {power: 3}")
    bound = read(text, files={"sub/b.yaml": base, "sub/mine.py": dedent(component)}).components["losses.classify"]
    assert (bound.full_name, bound.params.model_dump(), bound.distribution[-11:]) == ("local.mine", {"power": 3}, "sub/mine.py")
    (line,) = lines(text, "losses.classify.params.power=0")
    assert line.startswith("--set losses.classify.params.power=0: losses.classify.params.power: [C302]")
    (line,) = lines(text, "losses.classify.use='file:./mine.py:SPEC'")
    assert "[C304]" in line and "mine.py" in line, "the command line's folder is the working directory"


def test_a_package_of_another_api_is_one_line_however_many_of_its_components_are_named(lines: Lines, good: str) -> None:
    old = ComponentSpec(kind="loss", name="old", factory="builtins:dict", summary="old", api=API - 1)
    theirs = [Entry.of(old, distribution="sere-plugin-old", namespace="old", name=f"old.{name}") for name in ("old", "older")]
    known = Catalog([*theirs, *(Entry.of(spec) for spec in SPECS)], environ={})
    text = good.replace("use: plain", "use: old.old").replace("use: tric", "use: old.old")
    (line,) = lines(text, catalog=known)
    assert line.startswith("a.yaml:11:19: losses.classify.use: [P105] sere-plugin-old 1.0")
