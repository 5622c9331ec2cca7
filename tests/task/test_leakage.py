"""What is warned of before a run, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sere_core.config.model import Task
from sere_core.data.leakage import audio_warnings, checked, confounded_speakers, confounded_texts, few_utterances, shared_speakers
from sere_core.data.task import make_task
from sere_registry.utterances import Utterance

Make = Callable[..., list[Utterance]]
EMOTIONS = ["anger", "fear", "sadness"]


def retext(side: list[Utterance], text: str) -> list[Utterance]:
    return [replace(each, recording=replace(each.recording, text=text.format(emotion=each.emotion, take=each.id[-1]))) for each in side]


def test_sentences_that_belong_to_one_emotion_are_warned_of(make: Make) -> None:
    side = make("enterface", ["s1", "s2", "s3"], EMOTIONS, language="en")
    (line,) = confounded_texts(retext(side, "{emotion}-{take}"))
    assert line.startswith("enterface: ") and "100% of 36" in line
    assert confounded_texts(retext(side, "{take}")) == [], "sentences that all emotions share"
    assert confounded_texts(side) == [], "unknown sentences"
    assert confounded_texts(retext(side, "{emotion}")[:4]) == [], "one emotion only"
    single = [replace(each, recording=replace(each.recording, text=each.id)) for each in side]
    assert confounded_texts(single) == [], "every sentence is spoken once: nothing can be learnt of it"


def test_speakers_are_shared_within_a_language_only(make: Make) -> None:
    german, english = make("emodb", ["03", "08"], EMOTIONS, language="de"), make("ravdess", ["03", "04"], EMOTIONS, language="en")
    assert shared_speakers(german, english) == []
    (line,) = shared_speakers(make("tess", ["03"], EMOTIONS, language="en"), english)
    assert line.startswith("tess and ravdess ") and line.endswith(": 03")
    (line,) = shared_speakers(make("tess", [" S-03"], EMOTIONS, language="EN"), make("ravdess", ["s3", "s4"], EMOTIONS, language="en-GB"))
    assert line.endswith(": s3"), "whatever the spelling"
    twice = [replace(each, recording=replace(each.recording, corpus="copy")) for each in german]
    (line,) = shared_speakers(german, twice)
    assert line.startswith("emodb and copy ") and "24" in line


def test_folds_that_are_not_text_disjoint_are_noted(make: Make) -> None:
    target = make("emovo", ["f1", "f2", "m1"], EMOTIONS, texts=True)
    source = make("emodb", ["03"], EMOTIONS, language="de", texts=True)
    config = Task(source="emodb", target="emovo", shots=1, folds=3)
    plan = make_task(config, source, target, 0)
    (note,) = plan.notes
    assert note.startswith("emovo: ") and "100%" in note and "T_u" in note
    assert plan.warnings == (), "sentence s0 of a German corpus is not sentence s0 of an Italian one"
    same = make("emodb", ["03"], EMOTIONS, language="it", texts=True)
    assert any(" of 4 " in warning and "S_l" in warning for warning in make_task(config, same, target, 0).warnings)


def test_a_target_of_few_utterances_is_warned_of(make: Make) -> None:
    source = make("emodb", ["03"], EMOTIONS, language="de")
    target = [replace(each, emotion="") for each in make("emovo", ["f1"], EMOTIONS)]
    config = Task(source="emodb", target="emovo", shots=1)
    assert [line for line in make_task(config, source, target[:3], 0).warnings if "T_u has 3 utterances" in line]
    assert not [line for line in make_task(config, source, target[:4], 0).warnings if "T_u has" in line]


def test_identical_audio_across_folds_is_named(make: Make) -> None:
    target = make("emovo", ["f1", "f2"], EMOTIONS, each=1)
    source = make("emodb", ["03"], EMOTIONS, language="de", each=1)
    plan = make_task(Task(source="emodb", target="emovo", shots=1, folds=2), source, target, 0)
    digests = {each.recording.key: each.id for each in (*target, *source)}
    assert audio_warnings(plan.folds, digests) == ()
    digests["emovo/f1-anger-0"] = digests["emovo/f2-fear-0"]
    assert audio_warnings(plan.folds, digests) == tuple(
        f"fold {fold}: identical audio in T_u and T_e: emovo/f1-anger-0, emovo/f2-fear-0" for fold in (1, 2)
    )
    one_speaker = {**digests, "emovo/f1-anger-0": "x", "emovo/f1-fear-0": "x"}
    assert audio_warnings(plan.folds, one_speaker) == (), "duplicates of one speaker stay in one fold"


def test_a_class_that_a_fold_lacks_is_named(make: Make) -> None:
    target = [each for each in make("emovo", ["f1", "f2"], EMOTIONS) if (each.speaker, each.emotion) != ("f1", "fear")]
    plan = make_task(Task(source="emodb", target="emovo", shots=1, folds="speakers"), make("emodb", ["03"], EMOTIONS), target, 0)
    assert "emovo: fold 1 has no test utterance of: fear" in plan.warnings


def test_all_four_checks_say_what_they_found_and_that_they_found_nothing(make: Make) -> None:
    target = make("emovo", ["f1", "f2", "m1"], EMOTIONS, each=2, texts=True)
    source = make("emodb", ["03"], EMOTIONS, language="de", each=2, texts=True)
    plan = make_task(Task(source="emodb", target="emovo", shots=1, folds=3), source, target, 0)
    digests = {each.recording.key: each.recording.key for each in (*source, *target)}
    assert checked(plan.folds, digests, ["corpus statistics of T_u"]) == {
        "speakers of T_e": "none of 3 in S_l or S_u; none of 3 in T_u",
        "identical audio": "none of 18 in S_l or S_u; none of 18 in T_u",
        "sentences of T_e": "none of 6 in S_l or S_u; 6 of 6 in T_u",
        "normalisation": "corpus statistics of T_u",
    }
    digests["emodb/03-anger-0"] = digests["emovo/f1-anger-0"] = digests["emovo/m1-fear-1"]
    found = checked(plan.folds, digests, [])
    assert found["identical audio"] == "2 of 18 in S_l or S_u; 2 of 18 in T_u"
    assert found["normalisation"] == "features are not standardised"
    wild = make_task(Task(source="emodb", target="emovo", shots=1, setting="transductive"), source, target, 0)
    assert checked(wild.folds, {}, [])["identical audio"] == "unknown", "no audio was read"
    assert checked(wild.folds, {}, [])["speakers of T_e"] == "none of 3 in S_l or S_u", "T_u is T_e itself"


def renamed(side: list[Utterance], name: Callable[[Utterance], str]) -> list[Utterance]:
    return [replace(each, recording=replace(each.recording, speaker=name(each))) for each in side]


def test_speakers_of_one_emotion_each_are_warned_of(make: Make) -> None:
    side = make("tv", ["s1", "s2", "s3"], EMOTIONS)
    assert confounded_speakers(side) == [] and few_utterances([each.recording for each in side]) == []
    (line,) = confounded_speakers(renamed(side, lambda each: f"{each.speaker}{each.emotion}"))
    assert line.startswith("tv: ") and "100% of 36" in line and "9 of 9 speakers" in line
    mixed = {"s1", "s2"}
    nearly = [*make("tv", [f"x{number}" for number in range(3)], EMOTIONS, each=1), *side]
    (line,) = confounded_speakers(renamed(nearly, lambda each: each.speaker + each.emotion * (each.speaker in {*mixed, "s3"})))
    assert "9 of 12 speakers" in line
    assert confounded_speakers(renamed(side, lambda each: "")) == [], "unknown speakers"
    assert confounded_speakers(renamed(side, lambda each: each.id)) == [], "one utterance each: nothing can be learnt of it"
    much = [each for each in side if each.emotion == "anger" or each.id == "s1-fear-0"]
    assert confounded_speakers(much) == [], "one emotion is nearly all there is"


def test_what_speaks_against_statistics_by_speaker_is_said_where_they_are_used(make: Make) -> None:
    source = renamed(make("tv", ["s1", "s2"], EMOTIONS, language="de"), lambda each: f"{each.speaker}{each.emotion}")
    target = make("emovo", ["f1", "f2", "m1"], EMOTIONS, each=1)
    confounded = renamed(make("emovo", ["f1", "f2", "m1"], EMOTIONS), lambda each: f"{each.speaker}{each.emotion}")

    def warnings(target: list[Utterance], **settings: object) -> list[str]:
        config = Task.model_validate({"source": "tv", "target": "emovo", "shots": 1, "folds": 3, **settings})
        return [line for line in make_task(config, source, target, 0).warnings if "speaker" in line]

    by_speaker = warnings(target)
    assert [line.partition(":")[0] for line in by_speaker] == ["tv", "emovo"] and "3 of 3 speakers have fewer than 4" in by_speaker[1]
    assert len(warnings(target, shrinkage=5)) == 1 and warnings(target, normalise="corpus") == []
    assert len(warnings(confounded)) == 1, "the target's labels are not looked at"
