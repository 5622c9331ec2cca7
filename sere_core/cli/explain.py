"""`sere explain CODE`: what an error code means and what to do about it."""

from __future__ import annotations

import sys
import textwrap
from argparse import Namespace

from sere_core.cli.arguments import Subparsers, add_command, print_json

_FAMILIES = {
    "P": "a plugin",
    "R": "a name in the registry",
    "C": "the config, or usage",
    "B": "building a component",
    "D": "the data: corpora and audio",
    "T": "the run itself",
    "X": "the environment",
}
#: what to do about a code, where the message's own hint cannot say it all
ADVICE: dict[str, str] = {
    "P101": "`plugins.require` of the config names it. Install the version that the config asks for, or take the line out.",
    "P102": (
        "The plugin's module raised while it was imported; the message names the distribution and the cause. `sere plugins "
        "--traceback` shows where. A run that does not name the component is not affected."
    ),
    "P103": (
        "The plugin's requirement on sere excludes this version. It was read from the plugin's metadata, before anything of it "
        "was imported."
    ),
    "P104": (
        "The entry point must lead to a `ComponentSpec` whose kind is that of the entry-point group and whose name is the last "
        "part of the entry point's name, and its `factory` must be defined in the module that it names. Entry points are frozen at "
        "installation: after a change, install the plugin again."
    ),
    "P105": "`ComponentSpec.api` states the version of the contract that the component was written for. Update the older of the two.",
    "P106": "A hook may only implement the functions of `sere_registry.hookspecs`, with arguments of those names.",
    "P107": (
        "It is named in `plugins.disable` of the config, in SERE_DISABLE or after --disable, or SERE_NO_PLUGINS=1 leaves only what comes "
        "with sere. As a warning: what is named there is not installed here. That is right where a shared config names it, else it is "
        "misspelt, and what was meant is used."
    ),
    "P108": "The component or command imports a package that sere itself does not need. The hint is the command that installs it.",
    "R201": "Names are exact, upper and lower case matter. `sere plugins` lists every component; each kind has names of its own.",
    "R202": "A short name works while only one installed component of the kind has it. Write the full name, e.g. `sere.tric`.",
    "R203": "No order of installation decides between two components of one full name: uninstall or disable one of the distributions.",
    "R204": "`sere.` is the namespace of the components that come with sere. A plugin announces its own under a prefix of its own.",
    "C301": "YAML would silently keep the last of the two. Remove one.",
    "C302": (
        "The hint names the keys that are known, or says what the value means. Values are read strictly: '5' in quotes is text,"
        " not a number."
    ),
    "C303": "Every component block names its component: `use: NAME`. Parameters stand below `params`.",
    "C304": (
        "A name is looked up relative to the file that names it (on the command line: to the working directory), then among the"
        " configs that come with sere."
    ),
    "C305": (
        "`--set a.b=VALUE` takes a path of keys with dots and a value in YAML; `--unset a.b` removes what a file has set. A "
        "list item is named by its number, from 0."
    ),
    "C306": "Only `${vars.x}` and `${env:X}` are replaced, and `${name}` and `${seed}` in output.dir. There are no expressions.",
    "C307": (
        "YAML 1.1 and 1.2 read such words differently (`no` is false or Norwegian, 010 is 8 or 10). Write true/false, a plain "
        "decimal number, or put text in quotes."
    ),
    "C308": "Ids are made up in `corpora` and `encoders` and referred to in `task` and `paths`. One that is used nowhere is a warning.",
    "C309": "The first line of a config states the version of its grammar: `sere: 1`.",
    "C310": (
        "A config is one YAML document of plain data: a mapping in UTF-8, without tags, merge keys and control characters, of "
        "bounded size and depth."
    ),
    "C311": "Each part is right by itself, but they do not fit together; the hint says what would.",
    "B401": "The component's constructor raised; the message names the distribution. `--traceback` shows where.",
    "B402": "The width that one component puts out is not the one that the other takes in.",
    "B403": "`sere_registry.protocols` says what a component of each kind must offer.",
    "D601": "Check the path in `corpora`, and that the variable behind `${env:X}` names the folder that holds the corpus.",
    "D602": "The folder is there but holds another corpus, or one folder too much or too few. `sere corpora check` says what it sees.",
    "D603": "The file is empty, cut short, or not what its name says. Fetch or convert it again; `sere corpora check` finds all of them.",
    "D604": "Take the utterance out of the manifest, or fetch the file again. A part needs a `start` before the end of its file.",
    "D605": "Take the utterance out: nothing can be learned from silence, and statistics by speaker would suffer.",
    "D606": "Samples must be finite numbers. Write the file again from its source; a failed conversion to floating point does this.",
    "D607": "Lower `task.shots`, write `shots: all`, or leave the class out with a list in `task.classes`.",
    "D608": "Name the emotions that both corpora have in `task.classes`, or map the manifest's labels to the vocabulary.",
    "D609": (
        "Ask for as many folds as there are speakers, at most; `folds: speakers` leaves one speaker out, `disjoint: none` draws folds "
        "at random and says so in the name of the row."
    ),
    "D610": "The message names the line. A manifest needs the columns path, speaker and emotion, and one line for each utterance.",
    "D611": (
        "Nothing but the scorer may open target labels, and a stage sees the streams that it declares. In a plugin: add the stream to "
        "`Stage.sees`, if the method may see it at all."
    ),
    "D612": "Take the utterance out, or use an encoder that takes shorter ones.",
    "T501": (
        "A term became NaN or infinite, or is no scalar. Lower the learning rate, set `train.clip`, and look at the utterances that the "
        "message names; the hook `divergence` tells earlier."
    ),
    "T502": "Nothing is lost up to the last checkpoint: the same command with --resume goes on.",
    "T503": "--resume goes on with the unfinished run; --fresh throws it away and begins again.",
    "T504": "Two processes cannot write one record. Wait for the other one, or give this run another `name` or `output.dir`.",
    "T505": (
        "The record was damaged, or belongs to another method or to other data. It is not repaired by guessing: --fresh begins again; "
        "of a comparison, take the folder of this record away, and the same command runs it anew."
    ),
    "T506": (
        "Run the rows that differ again under the same conditions (take their records away and call `sere compare` again), or write the "
        "name in brackets under `allow`: the difference is then printed with the table."
    ),
    "T507": "The traceback in the comparison's folder `failures/` says where; `sere compare` tries the job again.",
    "T508": (
        "A table has one protocol for each pair, one rule of selection and one way of tuning; only a ceiling may have a protocol of its "
        "own. Make the rows alike, or compare them in two comparisons."
    ),
    "X701": "Make the environment anew; `make setup` does, with the versions that sere was tried with.",
    "X702": "`train.device: auto` takes what is there; `nvidia-smi` and `torch.cuda.is_available()` tell what torch can see.",
    "X703": "Weights are never fetched silently. Name a local folder in the encoder's parameters, or fetch the model into the cache first.",
    "X704": "Name a folder that may be written: `output.dir` for records, `features.cache` or SERE_CACHE for features.",
    "X705": "Free some space, then go on with --resume: files are written whole or not at all, so nothing is damaged.",
    "X706": "Use smaller batches or fewer processes, then go on with --resume.",
    "X707": "Give `--scheduler` the address that `dask scheduler` prints, from a machine that can reach it, and start at least one worker.",
    "X708": (
        "All machines need the same versions of sere, its plugins and its libraries, the same data paths, and one shared folder whose "
        "locks reach everywhere; docs/cluster.md says how. Start the workers again after an installation."
    ),
}


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "explain", "explain an error code", run, json=True)
    parser.add_argument("code", metavar="CODE", nargs="?", help="e.g. C302; without it, all codes are listed")


def run(arguments: Namespace) -> int:
    """Print what the code means, whose mistake it is, the exit code, and what to do."""
    from sere_registry.errors import CODES, EXIT_CODES, suggest

    if arguments.code is None:
        if arguments.json:
            print_json(CODES)
        else:
            print("\n".join(f"{code}  {meaning}" for code, meaning in CODES.items()))
        return 0
    code = arguments.code.strip("[] ").upper()
    if code not in CODES:
        hint = suggest(code, CODES, "codes")
        print(f"sere explain: there is no code '{arguments.code}'\n    {hint}", file=sys.stderr)
        return 2
    family, exit_code, hint = _FAMILIES[code[0]], EXIT_CODES[code[0]], ADVICE.get(code, "")
    if arguments.json:
        print_json({"code": code, "meaning": CODES[code], "about": family, "exit_code": exit_code, "hint": hint})
        return 0
    print(f"{code}: {CODES[code]}.\nIt is about {family}; the exit code is {exit_code}.")
    if hint:
        print("\n" + textwrap.fill(hint, width=100))
    return 0
